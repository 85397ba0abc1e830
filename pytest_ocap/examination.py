"""An examination: one run of a scenario, check by check.

Invariant: the checks that a variant promises are known before it runs, each is made once, and one that was not
reached is in the verdict as *not-measured*.  Whatever happens, faults are undone, in the reverse of their order.
"""

from __future__ import annotations

import contextlib
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_ocap.clock import Clock
from pytest_ocap.verdict import (
    Check,
    Finding,
    HarnessBrokenError,
    NotMeasuredError,
    UnsupportedError,
    Verdict,
    lone_finding,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_ocap.driver import Capability, KernelDriver, Outcome
    from pytest_ocap.faults import Fault


HANDED = ("store", "running")
"""Parameters by which a caller hands over what it has prepared; they make no variant."""


class Examination:
    """Collects the checks of one run."""

    def __init__(self) -> None:
        self.checks: dict[str, Check] = {}
        self.expected: tuple[str, ...] = ()
        self.interrupted: Check | None = None

    def expect(self, *checks: str) -> None:
        """Say which checks this variant makes, in their order; called once, before the first check."""
        self.expected = checks

    def check(self, name: str, held: bool, detail: str) -> bool:
        """Record a check and give whether it held.

        Raises:
            HarnessBrokenError: The check was not promised, or was made already.
        """
        if name not in self.expected or name in self.checks:
            raise HarnessBrokenError(f"the scenario made the check {name!r} twice or without having promised it")
        self.checks[name] = Check(name, Finding.PASSED if held else Finding.FAILED, detail)
        return held

    def outcome(self, name: str, outcome: Outcome, *, within: float | None = None) -> bool:
        """Record as a check that a verb worked, within so many seconds when that is given."""
        late = within is not None and outcome.seconds > within
        return self.check(
            name, outcome.ok and not late, (f"later than {within:g} s: " if late else "") + outcome.describe()
        )

    @contextlib.contextmanager
    def armed(self, *faults: Fault) -> Iterator[None]:
        """Arrange faults, prove that each fired, and undo them at the end.

        Raises:
            NotMeasuredError: One of them did not fire.
            UnsupportedError: One of them cannot be arranged here.
        """
        with contextlib.ExitStack() as stack:
            for fault in faults:
                stack.callback(fault.undo)
                fault.arrange()
            for fault in faults:
                prove(fault)
            yield

    def conclude(self) -> tuple[Finding, tuple[Check, ...]]:
        """Give the finding and the checks, with those that were not reached."""
        checks = [self.interrupted] if self.interrupted else []
        for name in self.expected:
            unreached = Check(name, Finding.NOT_MEASURED, "not reached")
            checks.append(self.checks.get(name, unreached))
        findings = {check.verdict for check in checks}
        if Finding.FAILED in findings:
            return Finding.FAILED, tuple(checks)
        if self.interrupted is not None:
            return self.interrupted.verdict, tuple(checks)
        if not checks or findings != {Finding.PASSED}:
            return Finding.HARNESS_BROKEN, tuple(checks)  # nothing failed, and yet a promised check was not made
        return Finding.PASSED, tuple(checks)


def prove(fault: Fault) -> str:
    """Insist that a fault fired, and give its evidence.

    Raises:
        NotMeasuredError: It did not.
    """
    evidence = fault.fired()
    if evidence is None:
        raise NotMeasuredError(f"the fault {fault.id!r} was arranged and did not fire")
    return evidence


@dataclass(frozen=True)
class Scenario:
    """A scenario as the harness runs it.

    Attributes:
        name: Its name, which is its marker's too.
        edition: The edition in which it appeared.
        needs: The capabilities without which it cannot be run.
        checks: Every check that one of its variants can make, each with what it requires, in words.
        body: What is done.
        supported: Says why a variant cannot be run with a driver.
        shared: Says whether a variant can be run on a daemon that serves others too.
    """

    name: str
    edition: str
    needs: frozenset[Capability]
    checks: Mapping[str, str]
    body: Callable[..., None]
    supported: Callable[..., str | None]
    shared: Callable[..., bool]

    def __call__(self, driver: KernelDriver, home: Path, **parameters: Any) -> Verdict:
        """Run the scenario on a home and judge it.

        Args:
            driver: The daemon under test.
            home: The daemon's home: it does not exist yet (its parent directory does and is the scenario's to use), or
                is that of the ``store`` among the parameters.
            parameters: The scenario's own, see its signature.  A daemon that was handed in ``running`` is left running
                when nothing is wrong with it; any other is ended.
        """
        from pytest_ocap import processes
        from pytest_ocap.driver import lacks

        clock = Clock()
        began = clock.now()
        name = scenario_id(self, parameters)
        variant = {key: value for key, value in parameters.items() if key not in HANDED}
        lacking = lacks(driver, self.needs) or self.supported(driver, **variant)
        if lacking:
            return lone_finding(name, Finding.UNSUPPORTED, "capability", lacking)
        examination = Examination()
        try:
            self.body(examination, driver, home, **parameters)
        except UnsupportedError as error:
            return lone_finding(name, Finding.UNSUPPORTED, "platform", str(error), clock.now() - began)
        except NotMeasuredError as error:
            examination.interrupted = Check("fired", Finding.NOT_MEASURED, str(error))
        except HarnessBrokenError as error:
            examination.interrupted = Check("baseline", Finding.HARNESS_BROKEN, str(error))
        except Exception:  # noqa: BLE001 (whatever the harness itself did wrong is told, with its traceback)
            examination.interrupted = Check("harness", Finding.HARNESS_BROKEN, traceback.format_exc())
        finally:
            finding, checks = examination.conclude()
            if not (parameters.get("running") and finding is Finding.PASSED):
                processes.end(home)
        return Verdict(name, finding, clock.now() - began, checks)


def _always(_driver: KernelDriver, **_parameters: Any) -> str | None:
    return None


def _never(**_parameters: Any) -> bool:
    return False


def scenario(
    *needs: Capability,
    edition: str,
    checks: Mapping[str, str],
    supported: Callable[..., str | None] = _always,
    shared: Callable[..., bool] = _never,
) -> Callable[[Callable[..., None]], Scenario]:
    """Make a scenario of a function ``(examination, driver, home, *, store=None, **parameters)``.

    Args:
        needs: The capabilities without which it cannot be run.
        edition: The edition in which it appears, one of :data:`pytest_ocap.editions.EDITIONS`.
        checks: Every check that one of its variants makes, each with what it requires, in words: one sentence without
            a capital or a full stop, which reports show beside a check that did not pass.
        supported: Says for a driver and the scenario's parameters why that variant cannot be run; ``None`` when it can.
        shared: Says for the scenario's parameters whether that variant only asks something of a running daemon and
            leaves it as it was, so that one daemon can serve them all, handed in as ``running``.
    """

    def make(body: Callable[..., None]) -> Scenario:
        return Scenario(body.__name__, edition, frozenset(needs), checks, body, supported, shared)

    return make


def scenario_id(scenario: Scenario, parameters: Mapping[str, Any]) -> str:
    """Name a scenario with its variant: the words among its parameters, then the numbers that are not the defaults."""
    defaults = scenario.body.__kwdefaults__ or {}
    values = {key: parameters.get(key, default) for key, default in defaults.items() if key not in HANDED}
    words = [value for value in values.values() if isinstance(value, str)]
    numbers = [f"{key}={value}" for key, value in values.items() if isinstance(value, int) and value != defaults[key]]
    variant = "-".join(words + numbers)
    return f"{scenario.name}[{variant}]" if variant else scenario.name
