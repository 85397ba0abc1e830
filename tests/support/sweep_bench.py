"""Trials of single cases of sweeps, on any driver, with what each workload's cases are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pytest_ocap.driver import KernelDriver
from pytest_ocap.homes import Homes
from pytest_ocap.persisted import Templates
from pytest_ocap.sweeps.cases import TOGETHER, Case
from pytest_ocap.sweeps.choosing import cuts_for, injector_for
from pytest_ocap.sweeps.kinds import KINDS
from pytest_ocap.sweeps.running import named
from pytest_ocap.sweeps.trial import POWERLOSS, Trial, Trials
from pytest_ocap.sweeps.workloads import WORKLOADS


@dataclass
class Bench:
    """Trials on one driver, with what each workload's cases are."""

    trials: Trials
    known: dict[tuple[str, bool], list[Case]] = field(default_factory=dict)

    def cases(self, workload: str, kind: str) -> list[Case]:
        """Give the cases of a kind; a workload is run unharmed once, and recorded once for all kinds but powerloss."""
        alike = [POWERLOSS] if kind == POWERLOSS else [other for other in KINDS if other != POWERLOSS]
        key = workload, kind == POWERLOSS
        if key not in self.known:
            if (workload, not key[1]) not in self.known:
                self.trials.unharmed(WORKLOADS[workload])
            self.known[key] = self.trials.cases(WORKLOADS[workload], alike, asked=True)
        return [case for case in self.known[key] if case.sweep == kind]

    def attempt(self, case: Case) -> Trial:
        return self.trials.attempt(WORKLOADS[case.workload], case)

    def one(self, text: str, kind: str) -> Trial:
        (case,) = named(text, self.cases(text.partition(":")[0], kind))
        return self.attempt(case)

    def several(self, *texts: str) -> Trial:
        """Have several faults strike in one run."""
        workload = texts[0].partition(":")[0]
        self.cases(workload, "kill")  # of whatever kind they are, but powerloss
        (case,) = named(TOGETHER.join(texts), self.known[workload, False])
        return self.attempt(case)


def bench(driver: KernelDriver, means: str | None = None) -> Iterator[Bench]:
    homes = Homes("sweeps")
    trials = Trials(driver, homes, Templates(homes), injector_for(driver, means), cuts_for(means))
    yield Bench(trials)
    trials.close()
    homes.close()
