"""One trial: a workload run with a fault on its way, and judged.

Invariant: each trial has its home put back as it was, and takes back whatever runs in it.  A trial whose fault did not
strike is *not reached*, whatever else was seen; one in which the harness itself went wrong says so and blames nobody.
"""

from __future__ import annotations

import enum
import traceback
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_ocap.clock import Clock
from pytest_ocap.examination import Examination
from pytest_ocap.homes import copy_tree
from pytest_ocap.journal import Journal
from pytest_ocap.persisted import ANSWER_SECONDS
from pytest_ocap.recording import recorded
from pytest_ocap.scenarios.crashed_init import PATIENCE_SECONDS
from pytest_ocap.sweeps.cases import Case
from pytest_ocap.sweeps.moments import Unharmed
from pytest_ocap.sweeps.oracles import (
    ORACLES,
    Normal,
    Strike,
    judge_recovery,
    judge_struck_run,
    normal_of,
    promised,
)
from pytest_ocap.verdict import Finding, HarnessBrokenError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.homes import Homes
    from pytest_ocap.persisted import Templates
    from pytest_ocap.sweeps.cases import Armed, Injector
    from pytest_ocap.sweeps.ledger import Ledger
    from pytest_ocap.sweeps.workloads import Workload
    from pytest_ocap.verdict import Check

FAULTED = ".faulted"
"""Beside a home: what the fault had left in it, before anything was started again."""


class Result(enum.StrEnum):
    """What a trial came to."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_REACHED = "not-reached"
    HARNESS_BROKEN = "harness-broken"


@dataclass(frozen=True)
class Trial:
    """What came of one case.

    Attributes:
        case: The case.
        result: What it came to.
        seconds: How long it took.
        proof: The evidence that the fault struck.
        entered: What a daemon found at the start after the fault that a clean stop does not leave.
        broken: The checks that did not pass, each with its detail.
        failure: The directory in which the failure is kept.
        again: Whether it failed in the same way when it was tried once more; None when it was not.
    """

    case: Case
    result: Result
    seconds: float = 0.0
    proof: str = ""
    entered: tuple[str, ...] = ()
    broken: tuple[tuple[str, str], ...] = ()
    failure: str | None = None
    again: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON data."""
        return {
            "case": asdict(self.case),
            "result": str(self.result),
            "seconds": round(self.seconds, 3),
            "proof": self.proof,
            "entered": list(self.entered),
            "broken": [{"id": name, "detail": detail} for name, detail in self.broken],
            "failure": self.failure,
            "again": self.again,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trial:
        """Rebuild what :meth:`to_json` gave."""
        broken = tuple((entry["id"], entry["detail"]) for entry in data["broken"])
        more = {"case": Case(**data["case"]), "result": Result(data["result"]), "entered": tuple(data["entered"])}
        return cls(**{**data, **more, "broken": broken})


@dataclass(frozen=True)
class Scene:
    """A trial that has been judged, while its home is still there: what a failure's account is made of."""

    case: Case
    ledger: Ledger
    checks: tuple[Check, ...]
    around: tuple[str, ...]
    proof: str
    strike: Strike | None

    @property
    def home(self) -> Path:
        """The home, as it was after everything."""
        return self.ledger.store.home

    @property
    def faulted(self) -> Path:
        """The home as the fault had left it."""
        return self.home.parent / FAULTED

    @property
    def before(self) -> Path:
        """The home as it was before; it need not exist."""
        return self.home.parent / f".{self.home.name}"


class Trials:
    """Tries cases on one driver.

    Args:
        driver: The daemon.
        homes: Where homes come from.
        templates: Where persisted stores come from.
        injector: Finds points and injects faults.
    """

    def __init__(self, driver: KernelDriver, homes: Homes, templates: Templates, injector: Injector) -> None:
        self.driver = driver
        self.injector = injector
        self._homes = homes
        self._templates = templates
        self._normal: dict[str, Normal] = {}

    def unharmed(self, workload: Workload) -> float:
        """Run a workload without any fault, judge it as if there had been one, and learn from it what is normal.

        Returns:
            The seconds that it took.

        Raises:
            HarnessBrokenError: A check does not hold although nothing was done to the daemon.
        """
        began = Clock().now()
        with workload.prepared(self.driver, self._homes, self._templates) as ledger:
            stopped = workload.run(self.driver, ledger, Unharmed().start)
            if stopped is not None:
                raise HarnessBrokenError(f"nothing was done to the daemon, and yet {workload.name} stopped: {stopped}")
            examination = Examination(ORACLES)
            examination.expect(*promised(self.driver, None))
            judge_recovery(examination, self.driver, ledger, None)
            finding, checks = examination.conclude()
            if finding is not Finding.PASSED:
                broken = "\n".join(
                    f"{check.id}: {check.detail}" for check in checks if check.verdict is not finding.PASSED
                )
                raise HarnessBrokenError(f"nothing was done to the daemon, and yet after {workload.name}:\n{broken}")
            self._normal[workload.name] = normal_of(ledger.store.home)
        return Clock().now() - began

    def cases(self, workload: Workload) -> list[Case]:
        """Give the cases of a workload that the means can make.

        Raises:
            HarnessBrokenError: The workload does not come to its end unharmed.
        """
        with workload.prepared(self.driver, self._homes, self._templates) as ledger:

            def run(armed: Armed) -> None:
                stopped = workload.run(self.driver, ledger, armed.start)
                if stopped is not None:
                    raise HarnessBrokenError(f"{workload.name} stopped while it was merely recorded: {stopped}")

            return list(self.injector.cases(self.driver, workload, ledger.store.home, run))

    def attempt(self, workload: Workload, case: Case, keep: Callable[[Scene], str | None] = lambda _: None) -> Trial:
        """Try one case.

        Args:
            workload: Its workload, which has been run :meth:`unharmed` before.
            case: The case.
            keep: Called with a trial that failed, while everything is still there; gives where it was kept.
        """
        began = Clock().now()
        outcome = Trial(case, Result.HARNESS_BROKEN)
        try:
            with workload.prepared(self.driver, self._homes, self._templates) as ledger:
                outcome = self._judged(workload, case, ledger, outcome, keep)
        except (HarnessBrokenError, UnsupportedError) as error:
            outcome = replace(outcome, broken=(("harness", str(error)),))
        except Exception:  # noqa: BLE001 (whatever the harness itself did wrong is told, with its traceback)
            outcome = replace(outcome, broken=(("harness", traceback.format_exc()),))
        return replace(outcome, seconds=Clock().now() - began)

    def _judged(
        self, workload: Workload, case: Case, ledger: Ledger, outcome: Trial, keep: Callable[[Scene], str | None]
    ) -> Trial:
        home, hang = ledger.store.home, case.sweep == "hang"
        journal = Journal(self.driver, home)
        driver = recorded(self.driver, journal)
        patience = PATIENCE_SECONDS if hang else self.driver.start_timeout
        answer = PATIENCE_SECONDS if hang else ANSWER_SECONDS
        examination = Examination(ORACLES, journal)
        with self.injector.armed(self.driver, home, case) as armed:
            workload.run(driver, ledger, armed.start, patience=patience, answer=answer)
            proof = armed.fired()
            if proof is None:
                return replace(outcome, result=Result.NOT_REACHED)
            strike = Strike(hang, case.client, case.lasting, case.deaf, tuple(armed.stopped()), patience)
            examination.expect(*promised(driver, strike))
            told = judge_struck_run(examination, driver, ledger, strike)
            around = tuple(armed.around())
        copy_tree(home, home.parent / FAULTED)
        normal = self._normal[workload.name]
        entered = tuple(normal.strangers(home) + normal.lacking(home))
        judge_recovery(examination, driver, ledger, normal, told)
        finding, checks = examination.conclude()
        outcome = replace(outcome, result=Result.PASSED, proof=proof, entered=entered)
        if finding is Finding.PASSED:
            return outcome
        failed = tuple((check.id, check.detail) for check in checks if check.verdict is Finding.FAILED)
        kept = keep(Scene(case, ledger, checks, around, proof, strike))
        return replace(outcome, result=Result.FAILED, broken=failed, failure=kept)
