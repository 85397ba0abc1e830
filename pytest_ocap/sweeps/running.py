"""A shard of a sweep, run: the points whose names fall to it, the most telling first, as long as there is time.

Invariant: which case belongs to which shard depends on the case's name alone, so that shards can be run in any process,
on any machine, in any order, and still make one sweep.  A workload is recorded once in each process.  What was not
tried is counted and said, whatever the reason.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ocap.clock import Clock
from pytest_ocap.sweeps import failures
from pytest_ocap.sweeps.cases import TOGETHER, shard_of, together
from pytest_ocap.sweeps.course import Place, Step, as_steps, places_of
from pytest_ocap.sweeps.reducing import least_of
from pytest_ocap.sweeps.representatives import most_telling_first, representatives
from pytest_ocap.sweeps.results import unsure
from pytest_ocap.sweeps.trial import POWERLOSS, Result, Trial, Trials
from pytest_ocap.sweeps.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.sweeps.cases import Case
    from pytest_ocap.sweeps.options import Wishes
    from pytest_ocap.sweeps.results import Results
    from pytest_ocap.sweeps.trial import Scene
    from pytest_ocap.sweeps.workloads import Workload


@dataclass(frozen=True)
class Shard:
    """What came of one shard.

    Attributes:
        workload: The workload's name.
        number: The shard's number, from 0.
        means: The name of the means by which faults were injected.
        points_are: What its points are, in words.
        kinds: The kinds of faults that can be made to happen somewhere in the workload.
        notes: What could not be done or followed, in words.
        points: How many points fell to it.
        cases: How many cases.
        trials: What came of each that was tried.
        taken_over: How many of those were tried before, in a sweep that was stopped.
        left: The cases that were not tried, since the time was up.
        floor: The seconds of one unharmed run with all its judging, beside which the rate is seen.
        seconds: How long the trials of this run took.
        places: Where the points lie that fell to it.
        steps: What went on meanwhile in the recording to which their moments belong.
        searched: Which states of the disk were looked for after power cuts, and how far, in words.
        alike: How many cases fell to it for which its own stand, being like them; they are none of its cases.
    """

    workload: str
    number: int
    means: str
    points_are: str
    kinds: tuple[str, ...]
    notes: tuple[str, ...]
    points: int
    cases: int
    trials: tuple[Trial, ...]
    taken_over: int
    left: int
    floor: float
    seconds: float
    places: tuple[Place, ...] = ()
    steps: tuple[Step, ...] = ()
    searched: str = ""
    alike: int = 0

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON data."""
        data = {each.name: getattr(self, each.name) for each in fields(self)}
        lists = {"kinds": list(self.kinds), "notes": list(self.notes), "steps": as_steps(self.steps)}
        lists["places"] = [asdict(place) for place in self.places]
        return {**data, **lists, "trials": [trial.to_json() for trial in self.trials]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Shard:
        """Rebuild what :meth:`to_json` gave."""
        trials = tuple(Trial.from_json(entry) for entry in data["trials"])
        course = {
            "places": tuple(Place.from_json(entry) for entry in data["places"]),
            "steps": tuple(Step.from_json(entry) for entry in data["steps"]),
        }
        more = {"kinds": tuple(data["kinds"]), "notes": tuple(data["notes"]), "trials": trials}
        return cls(**{**data, **more, **course})

    @property
    def red(self) -> tuple[Trial, ...]:
        """The trials that fail the run."""
        return tuple(trial for trial in self.trials if trial.result in (Result.FAILED, Result.HARNESS_BROKEN))


class PointError(Exception):
    """There is no such point."""


MOST_SETS = 24
"""How many sets of faults are tried at most to find the least that still fails."""

ATTEMPTS = 4
"""How often a workload is recorded at most when one point is looked for that a recording did not come by."""


@dataclass(frozen=True)
class Plan:
    """What one process knows of a workload.

    Attributes:
        cases: Each case.
        tried: Those that are to be tried.
        floor: The seconds of an unharmed run.
    """

    cases: tuple[Case, ...]
    tried: tuple[Case, ...]
    floor: float


@dataclass
class Allowance:
    """How much of a budget one process may have spent by when.

    Attributes:
        share: The seconds that each of its shards may take; what one leaves is the next one's.  None: no limit.
        clock: The clock.
        began: When the first shard began.
        shards: How many shards have begun.
    """

    share: float | None
    clock: Clock = field(default_factory=Clock)
    began: float | None = None
    shards: int = 0

    def next(self) -> float | None:
        """Begin a shard, and give the moment at which it has to end."""
        if self.share is None:
            return None
        if self.began is None:
            self.began = self.clock.now()
        self.shards += 1
        return self.began + self.shards * self.share

    def over(self, deadline: float | None) -> bool:
        """Say whether a shard's time is up."""
        return deadline is not None and self.clock.now() >= deadline


class Sweeper:
    """Runs shards in one process.

    Args:
        trials: Tries cases.
        wishes: What is swept.
        results: What is known, and where results go.
        allowance: How much time there is.
        replay: Gives for a case the words of the command that replays it, the directory for it first.
        environment: What that command needs in its environment.
        told: Called after each trial, with the trial.
    """

    def __init__(
        self,
        trials: Trials,
        wishes: Wishes,
        results: Results,
        allowance: Allowance,
        replay: Callable[[Case], Sequence[str]],
        environment: Mapping[str, str],
        told: Callable[[Trial], None],
    ) -> None:
        self._trials = trials
        self._wishes = wishes
        self._results = results
        self._allowance = allowance
        self._replay = replay
        self._environment = environment
        self._told = told
        self._plans: dict[str, Plan] = {}
        self._reduced_causes: set[tuple[str, str]] = set()
        self._clock = Clock()

    @property
    def driver(self) -> KernelDriver:
        """The daemon."""
        return self._trials.driver

    def close(self) -> None:
        """End what the injector has started for itself."""
        self._trials.close()

    def shard(self, name: str, number: int) -> Shard:
        """Run one shard of a workload.

        Raises:
            HarnessBrokenError: The workload does not run unharmed.
            PointError: The one point that is wished for is none of the workload's.
        """
        deadline = self._allowance.next()
        workload = WORKLOADS[name]
        plan = self._plan(workload)
        cases = self._chosen(plan, number)
        for _ in range(ATTEMPTS - 1):
            if cases or self._wishes.point is None:
                break
            self._plans.pop(name)  # another recording may come by it: daemons do not do the same each time
            plan = self._plan(workload)
            cases = self._chosen(plan, number)
        if not cases and self._wishes.point is not None:
            raise PointError(_unknown(self._wishes.point, plan))
        known = {} if self._wishes.results is None else self._results.known(name, self._wishes.kinds)
        over = [known[case.id] for case in cases if case.id in known]
        fresh = [case for case in cases if case.id not in known]
        began = self._clock.now()
        tried: list[Trial] = []
        for case in fresh:
            if self._allowance.over(deadline):
                break
            tried.append(self._attempt(workload, case))
        return Shard(
            name,
            number,
            self._trials.injector.name,
            self._trials.injector.points_are,
            tuple(dict.fromkeys(case.sweep for case in plan.cases)),
            (*self._trials.notes(workload), *unsure(self.driver, len(over))),
            len({case.point for case in cases}),
            len(cases),
            tuple(over + tried),
            len(over),
            len(fresh) - len(tried),
            plan.floor,
            self._clock.now() - began,
            places_of(cases),
            self._trials.steps[name],
            self._trials.searched(workload),
            0 if self._wishes.point is not None else len(self._dealt(plan.cases, number)) - len(cases),
        )

    def _plan(self, workload: Workload) -> Plan:
        if workload.name not in self._plans:
            floor = self._trials.unharmed(workload)
            cases = self._trials.cases(workload, self._wishes.kinds, asked=self._wishes.point is not None)
            tried = cases if self._wishes.every else representatives(cases)
            self._plans[workload.name] = Plan(tuple(cases), tuple(tried), floor)
        return self._plans[workload.name]

    def _chosen(self, plan: Plan, number: int) -> list[Case]:
        if self._wishes.point is None:
            return most_telling_first(self._dealt(plan.tried, number))
        return named(self._wishes.point, plan.cases)

    def _dealt(self, cases: Iterable[Case], number: int) -> list[Case]:
        return [case for case in cases if shard_of(case.dealt_by, self._wishes.shards) == number]

    def _attempt(self, workload: Workload, case: Case) -> Trial:
        """Try a case, and once more when it failed: to know whether it does so each time."""

        def keep(scene: Scene) -> str:
            directory = Path(self._wishes.directory)
            return str(failures.keep(scene, directory, self.driver, workload, self._replay(case), self._environment))

        trial = self._trials.attempt(workload, case, keep)
        if trial.result is Result.FAILED:
            second = self._trials.attempt(workload, case)
            trial = replace(trial, again=_alike(trial, second), least=self._reduced(workload, trial))
        self._results.add(trial)
        self._told(trial)
        return trial

    def _reduced(self, workload: Workload, failed: Trial) -> str | None:
        """Find out which of the calls that a lasting fault has struck would have been enough; gives their case's name.

        Of failures of one cause the first is looked at to the end; of the others it is tried only whether the first
        call would have been enough.
        """
        if not failed.struck or not (failed.case.lasting or failed.case.besides):
            return None
        ((cause, _),) = failures.grouped([failed])
        most = MOST_SETS if cause not in self._reduced_causes else 2
        self._reduced_causes.add(cause)
        found = least_of(
            failed.struck, lambda cases: _alike(failed, self._trials.attempt(workload, together(cases))), most
        )
        if failed.failure is not None:
            again = None if found is None else self._replay(together(found.faults))
            failures.keep_least(Path(failed.failure), found, again, self._environment)
        return None if found is None or len(found.faults) == found.of > 1 else together(found.faults).id


def named(wanted: str, cases: Sequence[Case]) -> list[Case]:
    """Give the cases that a name means: those of a point, or one; a delay may be of any length.

    Several names are one case: the faults of the first case of each, in one run.  A power cut is none of them.
    """
    if TOGETHER in wanted:
        runs = [case for case in cases if case.sweep != POWERLOSS]
        each = [named(name, runs) for name in wanted.split(TOGETHER)]
        return [together([found[0] for found in each])] if all(each) else []
    point, _, fault = wanted.partition("=")
    found = [case for case in cases if wanted in (case.id, case.point)]
    if found or not fault.startswith("slow="):
        return found
    return [replace(case, fault=fault) for case in cases if case.point == point and case.sweep == "slow"]


def _alike(one: Trial, other: Trial) -> bool:
    """Say whether two trials failed in the same way: some check failed in both."""
    return bool({check for check, _ in one.broken} & {check for check, _ in other.broken})


def _unknown(wanted: str, plan: Plan) -> str:
    import difflib

    names = [case.id for case in plan.cases] + list(dict.fromkeys(case.point for case in plan.cases))
    close = difflib.get_close_matches(wanted, names, n=3)
    return (
        f"--ocap-point: {wanted!r} is none of the {len(plan.cases)} cases of these kinds of faults, "
        f"in {ATTEMPTS} recordings" + (f"; close to it: {', '.join(close)}" if close else "")
    )
