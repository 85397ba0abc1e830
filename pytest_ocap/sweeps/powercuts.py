"""Power cuts: a workload is recorded once, and the daemon is started on each state in which a cut could leave the disk.

Invariant: the states are put back at the very path at which the recording was made, since a daemon may write absolute
paths into its store.  Recording and harness read one clock, so what clients had been told at a cut is known exactly,
however long it took until the recording began.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_ocap import processes
from pytest_ocap.homes import copy_tree, remove_tree
from pytest_ocap.sweeps.cases import Case
from pytest_ocap.sweeps.copies import FAULTED
from pytest_ocap.sweeps.crash import CrashStates, Image
from pytest_ocap.sweeps.points import all_kinds, points
from pytest_ocap.sweeps.systemcalls import AFTER, BEFORE, Supervised, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_ocap.sweeps.cases import Armed
    from pytest_ocap.sweeps.crash import CrashState
    from pytest_ocap.sweeps.ledger import Ledger
    from pytest_ocap.sweeps.supervisor import Supervisor

KEPT = ".bundles-of-the-recording"


@dataclass(frozen=True)
class Recorded:
    """A workload that was recorded.

    Attributes:
        ledger: What its clients asked for and were told.
        began: When the recording began, by the harness's clock.
        states: The states.
        by_case: The same, by the ids of their cases.
    """

    ledger: Ledger
    began: float
    states: CrashStates
    by_case: Mapping[str, CrashState]

    @property
    def home(self) -> Path:
        """The home, at the path of the recording."""
        return self.ledger.store.home

    def moment(self, state: CrashState) -> float:
        """Give the last moment, in seconds of the recording, at which a cut could have left a state."""
        return state.possible[state.model][1].moment


class PowerCuts:
    """The power cuts of the workloads of one process.

    Args:
        supervisor: By which a workload is recorded.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._recorded: dict[str, Recorded] = {}
        self._stacks: dict[str, contextlib.ExitStack] = {}

    def record(
        self,
        workload: str,
        prepared: contextlib.AbstractContextManager[Ledger],
        run: Callable[[Ledger, Armed], None],
    ) -> list[Case]:
        """Record a workload and find the states; its home is kept until :meth:`close`.

        Args:
            workload: Its name.
            prepared: Puts its home in place, and takes it back.
            run: Runs it there.
        """
        if workload in self._stacks:
            self._stacks.pop(workload).close()
        stack = self._stacks[workload] = contextlib.ExitStack()
        ledger = stack.enter_context(prepared)
        home = ledger.store.home
        home.mkdir(mode=0o700, exist_ok=True)
        image = Image.read(home)
        with self._supervisor.record(home, workload) as session:
            run(ledger, Supervised(session, workload))
            recording = session.recording()
        copy_tree(home.parent / "bundles", home.parent / KEPT)
        states = CrashStates(image, recording)
        names = {call.number: str(point) for point, call in points(recording, workload, all_kinds())}
        by_case: dict[str, CrashState] = {}
        cases = []
        for state in states:
            case = _case(workload, state, states, names)
            while case.id in by_case:  # the same was lost of calls that did something else in between
                case = replace(case, fault=f"{case.fault}+")
            by_case[case.id] = state
            cases.append(case)
        self._recorded[workload] = Recorded(ledger, session.began, states, by_case)
        return cases

    def searched(self, workload: str) -> str:
        """Say how far the search for states went; nothing where there was none."""
        recorded = self._recorded.get(workload)
        return "" if recorded is None else recorded.states.words()

    def notes(self, workload: str) -> list[str]:
        """Say what the recording could not say."""
        recorded = self._recorded.get(workload)
        return [] if recorded is None else recorded.states.notes

    @contextlib.contextmanager
    def arranged(self, case: Case) -> Iterator[Ledger]:
        """Put a state in place, and take it away again; gives what clients knew when the power was cut."""
        recorded = self._recorded[case.workload]
        state = recorded.by_case[case.id]
        home = recorded.home
        self._clear(home)
        home.mkdir()
        state.materialise(home)
        copy_tree(home.parent / KEPT, home.parent / "bundles")
        try:
            yield recorded.ledger.before(recorded.began + recorded.moment(state))
        finally:
            self._clear(home)

    def proof(self, case: Case) -> str:
        """Say when the power was cut and what was lost."""
        return self._recorded[case.workload].by_case[case.id].describe()

    def around(self, case: Case) -> list[str]:
        """Give the calls around the cut, and then all that was lost."""
        recorded = self._recorded[case.workload]
        state = recorded.by_case[case.id]
        place = state.possible[state.model][1].place
        calls = recorded.states.recording.calls[max(0, place - BEFORE) : place + AFTER]
        number = recorded.states.recording.calls[place].number
        lines = [("> " if call.number == number else "  ") + describe(call) for call in calls]
        return [*lines, "", state.describe(), *(f"lost: {words}" for words in state.lost())]

    def close(self) -> None:
        """Take the homes back."""
        while self._stacks:
            self._stacks.popitem()[1].close()
        self._recorded.clear()
        self._supervisor.close()

    def _clear(self, home: Path) -> None:
        processes.end(home.parent)
        for folder in (home, home.parent / "bundles", home.parent / FAULTED):
            if folder.exists():
                remove_tree(folder)


def _case(workload: str, state: CrashState, states: CrashStates, names: Mapping[int, str]) -> Case:
    """Name a state by the calls whose effects were lost, and not by what they wrote, which differs from run to run."""
    cut = state.possible[state.model][1]
    calls = states.recording.calls
    operations = states.log.operations
    named = next((names[call.number] for call in reversed(calls[: cut.place + 1]) if call.number in names), "")
    parts = [names.get(operations[number].call, "?") for number in state.missing()]
    torn = state.loss.torn
    if torn is not None:
        offset = getattr(operations[torn.operation], "offset", 0) or 0
        torn_call = names.get(operations[torn.operation].call, "?")
        parts.append(f"{torn_call} {torn.start - offset}-{torn.end - offset} {torn.length}")
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]
    kind, _, path = named.partition(":")[2].rpartition("#")[0].partition(":")
    return Case(
        workload,
        named or f"{workload}:begin:#1",
        f"powerloss~{state.family.name.lower().replace('_', '-')}~{digest}",
        "powerloss",
        kind=kind,
        path=path,
        at=round(calls[cut.place].began, 4),
    )
