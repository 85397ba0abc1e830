"""An examination: one run of a scenario, check by check.

Invariant: the checks that a variant promises are known before it runs, each is made once, and one that was not
reached is in the verdict as *not-measured*.  Whatever happens, faults are undone, in the reverse of their order.
"""

from __future__ import annotations

import contextlib
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_ocap.evidence import Event, Evidence
from pytest_ocap.verdict import (
    NOT_REACHED,
    WORKS_UNHARMED,
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
    from pytest_ocap.journal import Journal


FIRES = "the fault that was arranged is in force, so that something can be learned"
"""What the check ``fired`` requires, by which a scenario says that its fault was not."""

HANDED = ("store", "running")
"""Parameters by which a caller hands over what it has prepared; they make no variant."""


class Examination:
    """Collects the checks of one run.

    Args:
        requires: What each check requires, in words.
        journal: Where the run is written down; without one there is no evidence.
    """

    def __init__(self, requires: Mapping[str, str] | None = None, journal: Journal | None = None) -> None:
        self.checks: dict[str, Check] = {}
        self.expected: tuple[str, ...] = ()
        self.interrupted: Check | None = None
        self._requires = requires or {}
        self._journal = journal
        self._seen: Evidence | None = None
        self._proofs: dict[str, str] = {}

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
        finding = Finding.PASSED if held else Finding.FAILED
        self._note("check", name, detail.partition("\n")[0], ok=held)
        self.checks[name] = Check(name, finding, detail, None if held else self._evidence(self._requires.get(name, "")))
        return held

    def waive(self, name: str, why: str) -> None:
        """Leave out a check that was promised: what it would ask could not be found out, and is held against nobody."""
        self._note("check", name, f"left out: {why}".partition("\n")[0])
        self.expected = tuple(expected for expected in self.expected if expected != name)

    def interrupt(self, name: str, finding: Finding, requires: str, detail: str) -> None:
        """Record that the run came to an early end, and why."""
        self._note("check", name, detail.partition("\n")[0], ok=False)
        seen = None if finding is Finding.UNSUPPORTED else self._seen or self._evidence(requires)
        self.interrupted = Check(name, finding, detail, None if seen is None else replace(seen, expected=requires))

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
            try:
                for fault in faults:
                    stack.enter_context(self._arranged(fault))
                for fault in faults:
                    self._proofs[fault.id] = prove(fault)
                yield
            except Exception:
                self._seen = self._evidence("")  # afterwards the faults are undone, and it would not be what was met
                raise

    @contextlib.contextmanager
    def _arranged(self, fault: Fault) -> Iterator[None]:
        began = 0.0 if self._journal is None else self._journal.now()
        try:
            fault.arrange()
            yield
        finally:
            fault.undo()
            if self._journal is not None:
                proof = self._proofs.get(fault.id, "it did not fire")
                self._journal.note(Event(began, "fault", fault.id, proof, until=self._journal.now()))

    def _note(self, lane: str, what: str, detail: str, *, ok: bool | None = None) -> None:
        if self._journal is not None:
            self._journal.note(Event(self._journal.now(), lane, what, detail[:300], ok=ok))

    def _evidence(self, requires: str) -> Evidence | None:
        if self._journal is None:
            return None
        from pytest_ocap.witness import gather

        return gather(self._journal, requires)

    def conclude(self) -> tuple[Finding, tuple[Check, ...]]:
        """Give the finding and the checks, with those that were not reached."""
        checks = [self.interrupted] if self.interrupted else []
        for name in self.expected:
            unreached = Check(name, Finding.NOT_MEASURED, NOT_REACHED, Evidence(self._requires.get(name, "")))
            checks.append(self.checks.get(name, unreached))
        findings = {check.verdict for check in checks}
        if Finding.FAILED in findings:
            return Finding.FAILED, tuple(checks)
        if self.interrupted is not None:
            unsupported = self.interrupted.verdict is Finding.UNSUPPORTED
            return self.interrupted.verdict, (self.interrupted,) if unsupported else tuple(checks)
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
        from pytest_ocap.journal import Journal
        from pytest_ocap.observer import Observer
        from pytest_ocap.recording import recorded
        from pytest_ocap.timeline import compose

        name = scenario_id(self, parameters)
        variant = {key: value for key, value in parameters.items() if key not in HANDED}
        lacking = lacks(driver, self.needs) or self.supported(driver, **variant)
        if lacking:
            return replace(lone_finding(name, Finding.UNSUPPORTED, "capability", lacking), edition=self.edition)
        journal = Journal(driver, home)
        examination = Examination(self.checks, journal)
        with Observer(journal, running=bool(parameters.get("running"))):
            try:
                self._examine(examination, recorded(driver, journal), home, parameters)
            finally:
                finding, checks = examination.conclude()
                seconds = journal.now()
                if not (parameters.get("running") and finding is Finding.PASSED):
                    processes.end(home)
        return Verdict(name, finding, seconds, checks, self.edition, compose(journal))

    def _examine(
        self, examination: Examination, driver: KernelDriver, home: Path, parameters: Mapping[str, Any]
    ) -> None:
        try:
            self.body(examination, driver, home, **parameters)
        except UnsupportedError as error:
            examination.interrupt("platform", Finding.UNSUPPORTED, "this platform can arrange the fault", str(error))
        except NotMeasuredError as error:
            examination.interrupt("fired", Finding.NOT_MEASURED, FIRES, str(error))
        except HarnessBrokenError as error:
            examination.interrupt("baseline", Finding.HARNESS_BROKEN, WORKS_UNHARMED, str(error))
        except Exception:  # noqa: BLE001 (whatever the harness itself did wrong is told, with its traceback)
            examination.interrupt("harness", Finding.HARNESS_BROKEN, "the harness works", traceback.format_exc())


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
