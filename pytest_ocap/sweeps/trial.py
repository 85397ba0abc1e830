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
from pytest_ocap.driver import PLAIN, Capability, has
from pytest_ocap.examination import Examination
from pytest_ocap.homes import copy_tree
from pytest_ocap.journal import Journal
from pytest_ocap.persisted import ANSWER_SECONDS
from pytest_ocap.recording import recorded
from pytest_ocap.report.sweeps import brought_onto
from pytest_ocap.scenarios.crashed_init import PATIENCE_SECONDS
from pytest_ocap.sweeps.cases import Case
from pytest_ocap.sweeps.copies import FAULTED
from pytest_ocap.sweeps.course import as_steps, steps_of
from pytest_ocap.sweeps.moments import Unharmed
from pytest_ocap.sweeps.oracles import judge_recovery, judge_struck_run
from pytest_ocap.sweeps.promises import ORACLES, Normal, Strike, normal_of, promised
from pytest_ocap.sweeps.writings import lasting_pid_file_problem, log_state
from pytest_ocap.verdict import Finding, HarnessBrokenError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver, Outcome, Setting
    from pytest_ocap.homes import Homes
    from pytest_ocap.persisted import Templates
    from pytest_ocap.sweeps.cases import Armed, Injector
    from pytest_ocap.sweeps.course import Step
    from pytest_ocap.sweeps.ledger import Ledger
    from pytest_ocap.sweeps.powercuts import PowerCuts
    from pytest_ocap.sweeps.workloads import Workload
    from pytest_ocap.verdict import Check

POWERLOSS = "powerloss"


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
        audit: What the daemon's own check of the home came to at the end; nothing when it was not asked.
        broken: The checks that did not pass, each with its detail.
        failure: The directory in which the failure is kept.
        again: Whether it failed in the same way when it was tried once more; None when it was not.
        least: The case with fewer faults that fails in the same way, where there is one.
        struck: Of one that failed, a case for each call that the fault has struck; known only where it was tried.
    """

    case: Case
    result: Result
    seconds: float = 0.0
    proof: str = ""
    entered: tuple[str, ...] = ()
    audit: str = ""
    broken: tuple[tuple[str, str], ...] = ()
    failure: str | None = None
    again: bool | None = None
    least: str | None = None
    struck: tuple[Case, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON data."""
        return {
            "case": asdict(self.case),
            "result": str(self.result),
            "seconds": round(self.seconds, 3),
            "proof": self.proof,
            "entered": list(self.entered),
            "audit": self.audit,
            "broken": [{"id": name, "detail": detail} for name, detail in self.broken],
            "failure": self.failure,
            "again": self.again,
            "least": self.least,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trial:
        """Rebuild what :meth:`to_json` gave."""
        broken = tuple((entry["id"], entry["detail"]) for entry in data["broken"])
        case = Case(**{**data["case"], "besides": tuple(data["case"].get("besides", ()))})
        more = {"case": case, "result": Result(data["result"]), "entered": tuple(data["entered"])}
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
        cuts: Cuts the power; None where nothing can be recorded.

    Attributes:
        steps: For each workload whose cases were asked for, what its clients asked for, and the phases of its starts.
    """

    def __init__(
        self,
        driver: KernelDriver,
        homes: Homes,
        templates: Templates,
        injector: Injector,
        cuts: PowerCuts | None = None,
    ) -> None:
        self.driver = driver
        self.injector = injector
        self.cuts = cuts
        self._homes = homes
        self._templates = templates
        self._normal: dict[str, Normal] = {}
        self.steps: dict[str, tuple[Step, ...]] = {}

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
            said = log_state(self.driver, ledger.store.home)
            audit = judge_recovery(examination, self.driver, ledger, None)
            finding, checks = examination.conclude()
            if audit == "not-made":
                raise HarnessBrokenError(
                    f"nothing was done to the daemon, and yet after {workload.name} no audit can be made"
                )
            if finding is not Finding.PASSED:
                broken = "\n".join(
                    f"{check.id}: {check.detail}" for check in checks if check.verdict is not finding.PASSED
                )
                raise HarnessBrokenError(f"nothing was done to the daemon, and yet after {workload.name}:\n{broken}")
            home = ledger.store.home
            keeps_log = bool(said.lines) and not said.lost(self.driver, home)
            self._normal[workload.name] = normal_of(home, keeps_log=keeps_log)
        return Clock().now() - began

    def notes(self, workload: Workload) -> tuple[str, ...]:
        """Say what could not be done or followed."""
        cuts = () if self.cuts is None else self.cuts.notes(workload.name)
        return (*self.injector.notes, *cuts)

    def searched(self, workload: Workload) -> str:
        """Say which states of the disk were looked for after power cuts, and how far; nothing where none were."""
        return "" if self.cuts is None else self.cuts.searched(workload.name)

    def close(self) -> None:
        """End what was started for the sake of injecting."""
        if self.cuts is not None:
            self.cuts.close()
        self.injector.close()

    def cases(self, workload: Workload, kinds: Iterable[str], *, asked: bool = False) -> list[Case]:
        """Give the cases of a workload that the means can make.

        Args:
            workload: The workload.
            kinds: Of these kinds of faults.
            asked: Whether those belong to them that are tried only when their point is asked for by name.

        Raises:
            HarnessBrokenError: The workload does not come to its end unharmed.
        """

        def run(ledger: Ledger, armed: Armed) -> None:
            journal = Journal(self.driver, ledger.store.home)
            stopped = workload.run(recorded(self.driver, journal), ledger, armed.start)
            if stopped is not None:
                raise HarnessBrokenError(f"{workload.name} stopped while it was merely recorded: {stopped}")
            courses.append(steps_of(journal))

        found: list[Case] = []
        courses: list[tuple[Step, ...]] = []
        if set(kinds) - {POWERLOSS}:
            with workload.prepared(self.driver, self._homes, self._templates) as ledger:
                home = ledger.store.home
                made = self.injector.cases(self.driver, workload, home, lambda armed: run(ledger, armed))
                found += [case for case in made if case.sweep in kinds and (asked or not case.asked)]
        if POWERLOSS in kinds and self.cuts is not None:
            prepared = workload.prepared(self.driver, self._homes, self._templates)
            cut = self.cuts.record(workload.name, prepared, run)
            first, own = as_steps(courses[0]), as_steps(courses[-1])
            found += [replace(case, at=brought_onto(first, own, case.at)) for case in cut]
        self.steps[workload.name] = courses[0] if courses else ()
        return found

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
            if case.sweep == POWERLOSS:
                outcome = self._cut(workload, case, keep)
            else:
                with workload.prepared(self.driver, self._homes, self._templates) as ledger:
                    outcome = self._struck(workload, case, ledger, keep)
        except (HarnessBrokenError, UnsupportedError) as error:
            outcome = replace(outcome, broken=(("harness", str(error)),))
        except Exception:  # noqa: BLE001 (whatever the harness itself did wrong is told, with its traceback)
            outcome = replace(outcome, broken=(("harness", traceback.format_exc()),))
        return replace(outcome, seconds=Clock().now() - began)

    def _struck(self, workload: Workload, case: Case, ledger: Ledger, keep: Callable[[Scene], str | None]) -> Trial:
        """Run the workload with the fault on its way, and judge that run and the next start."""
        home, hang = ledger.store.home, "hang" in case.kinds
        journal = Journal(self.driver, home)
        driver = recorded(self.driver, journal)
        patience = PATIENCE_SECONDS if hang else self.driver.start_timeout
        answer = PATIENCE_SECONDS if hang or case.deaf else ANSWER_SECONDS
        examination = Examination(ORACLES, journal)
        pid_problem: str | None = None

        def start(driver: KernelDriver, home: Path, *, timeout: float, setting: Setting = PLAIN) -> Outcome:
            nonlocal pid_problem
            outcome = armed.start(driver, home, timeout=timeout, setting=setting)
            if outcome.ok and has(driver, Capability.PIDFILE):
                pid_problem = lasting_pid_file_problem(driver, home)
            return outcome

        with self.injector.armed(self.driver, home, case) as armed:
            workload.run(driver, ledger, start, patience=patience, answer=answer)
            proof = armed.fired()
            if proof is None:
                return Trial(case, Result.NOT_REACHED)
            strike = Strike(
                hang,
                case.client,
                case.harmless,
                case.lasting,
                case.deaf,
                tuple(armed.stopped()),
                tuple(armed.running()),
                patience,
                pid_problem,
            )
            examination.expect(*promised(driver, strike, self._normal[workload.name]))
            told = judge_struck_run(examination, driver, ledger, strike)
            met = Trial(case, Result.PASSED, proof=proof)
            met = self._recover(workload, examination, driver, ledger, met, told)
            concluded = _conclude(examination, met, ledger, armed.around, strike, keep)
            return replace(concluded, struck=tuple(armed.struck())) if concluded.broken else concluded

    def _cut(self, workload: Workload, case: Case, keep: Callable[[Scene], str | None]) -> Trial:
        """Put in place what a power cut has left, and judge the next start."""
        assert self.cuts is not None, "a case of a power cut comes from its recording"
        cuts = self.cuts
        with cuts.arranged(case) as ledger:
            journal = Journal(self.driver, ledger.store.home)
            driver = recorded(self.driver, journal)
            examination = Examination(ORACLES, journal)
            examination.expect(*promised(driver, None, self._normal[workload.name]))
            met = Trial(case, Result.PASSED, proof=cuts.proof(case))
            met = self._recover(workload, examination, driver, ledger, met)
            return _conclude(examination, met, ledger, lambda: cuts.around(case), None, keep)

    def _recover(
        self,
        workload: Workload,
        examination: Examination,
        driver: KernelDriver,
        ledger: Ledger,
        met: Trial,
        told: Sequence[str] = (),
    ) -> Trial:
        """Judge the next start; gives the trial with what that found in the home, and what was found afterwards."""
        home, normal = ledger.store.home, self._normal[workload.name]
        copy_tree(home, home.parent / FAULTED)
        entered = tuple(normal.strangers(home) + normal.lacking(home))
        audit = judge_recovery(examination, driver, ledger, normal, told)
        return replace(met, entered=entered, audit=audit)


def _conclude(
    examination: Examination,
    met: Trial,
    ledger: Ledger,
    around: Callable[[], Sequence[str]],
    strike: Strike | None,
    keep: Callable[[Scene], str | None],
) -> Trial:
    """Give the trial with its finding; a failure is kept while everything is still there."""
    finding, checks = examination.conclude()
    if finding is Finding.PASSED:
        return met
    failed = tuple((check.id, check.detail) for check in checks if check.verdict is Finding.FAILED)
    kept = keep(Scene(met.case, ledger, checks, tuple(around()), met.proof, strike))
    return replace(met, result=Result.FAILED, broken=failed, failure=kept)
