"""The states in which a power cut during a recording could leave the disk.

Invariant: each state is a different content of the disk, is possible under each model that it names, and the order is
always the same: of each kind of loss in turn, those first that lose what was there when something was sent later.

All states are found when they are first asked for, as small descriptions; a state's bytes are made when it is.
"""

from __future__ import annotations

import bisect
import itertools
import math
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.crash.contents import Contents
from pytest_ocap.sweeps.crash.filesystem import read_recording
from pytest_ocap.sweeps.crash.losses import Bound, Family, Losses
from pytest_ocap.sweeps.crash.mending import Loss
from pytest_ocap.sweeps.crash.models import Durability, Model
from pytest_ocap.sweeps.crash.words import say_lost, say_torn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pytest_ocap.sweeps.calls import Call, Recording
    from pytest_ocap.sweeps.crash.image import Image

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Cut:
    """A moment at which the power may be cut.

    Attributes:
        moment: In seconds of the recording.
        place: The place of the last call that had begun.
        during: Whether that call is under way; else it is the moment at which the next one begins.
    """

    moment: float
    place: int
    during: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """What had gone through the sockets of the home when the power was cut.

    Attributes:
        sent: The sends that had come back, on connections that were accepted.
        in_flight: Those that had not.
        received: What had been received through the same connections.
    """

    sent: tuple[Call, ...]
    in_flight: tuple[Call, ...]
    received: tuple[Call, ...]


class CrashState:
    """One state.

    Attributes:
        digest: Tells it from the others of its recording: 16 bytes.
        family: The kind of loss.
        loss: What was lost of the operations that had begun at the first cut.
        possible: For each model that allows it, the first and the last cut that could leave it; those between need not.
    """

    def __init__(self, of: CrashStates, digest: bytes, family: Family, upto: int, loss: Loss) -> None:
        self._of = of
        self._upto = upto
        self.digest = digest
        self.family = family
        self.loss = loss
        self.possible: dict[Model, tuple[Cut, Cut]] = {}

    @property
    def model(self) -> Model:
        """The model under which it is most likely met: ext4's, if that allows it."""
        return max(self.possible, key=_LIKELIHOOD.index)

    def image(self) -> Image:
        """Give what is on the disk."""
        return self._of.contents.image(self._upto, self.loss)

    def materialise(self, directory: Path) -> None:
        """Put it into an empty directory."""
        self.image().materialise(directory)

    def exchange(self, model: Model | None = None) -> Exchange:
        """Give what had been sent and received at the last cut that leaves this state: the most that must be there."""
        return self._of.exchange(self.possible[model or self.model][1])

    def missing(self, model: Model | None = None) -> list[int]:
        """Give the operations, by number, that were lost whole at the last cut that leaves this state."""
        last = self.possible[model or self.model][1]
        return [*sorted(self.loss.dropped), *range(self._upto, self._of.operations_until(last))]

    def lost(self, model: Model | None = None) -> list[str]:
        """Say in words, one by one, what was lost whole at the last cut that leaves this state."""
        return [self._of.log.operations[number].words for number in self.missing(model)]

    def describe(self, model: Model | None = None) -> str:
        """Say in a line when the power was cut and what was lost."""
        chosen = model or self.model
        cut = self.possible[chosen][1]
        call = self._of.recording.calls[cut.place]
        named = call.path if call.target is None else f"{call.path} -> {call.target}"
        parts = [f"cut {'during' if cut.during else 'after'} call {call.number} {call.name}({named or ''})"]
        operations, upto = self._of.log.operations, self._upto
        dropped = [operations[number] for number in sorted(self.loss.dropped)]
        lost = say_lost(self._of.recording.calls, dropped, operations[upto : self._of.operations_until(cut)])
        if lost:
            parts.append(f"lost: {lost}")
        if self.loss.torn is not None:
            parts.append(say_torn(self.loss.torn, operations[self.loss.torn.operation]))
        if len(parts) == 1:
            parts.append("nothing lost")
        return "; ".join([*parts, f"possible under {', '.join(sorted(self.possible))}"])


_LIKELIHOOD = [Model.FAILS_CLEAN, Model.STRICT, Model.EXT4]


class CrashStates:
    """All states up to a bound, the most telling first.

    Attributes:
        recording: The recording.
        log: Its operations.
        contents: What they put on the disk.
        bound: How far the search goes.
        models: Which models it takes in turn.
    """

    def __init__(
        self,
        image: Image,
        recording: Recording,
        *,
        models: Sequence[Model] = (Model.EXT4, Model.STRICT),
        bound: Bound | None = None,
    ) -> None:
        """Prepare.

        Args:
            image: The home before the recording began.
            recording: The recording.
            models: The models; ``strict`` includes what ``ext4-ordered`` allows.
            bound: How far to go.
        """
        self.recording = recording
        self.bound = bound or Bound()
        self.models = tuple(models)
        self.log = read_recording(image, recording)
        self.contents = Contents(self.log)
        self._durabilities = {model: Durability(model, self.log) for model in (*self.models, *self._implied())}
        self._cuts = list(self._find_cuts())
        self._moments = [cut.moment for cut in self._cuts]
        called = [operation.call for operation in self.log.operations]
        self._upto = [bisect.bisect_right(called, recording.calls[cut.place].number) for cut in self._cuts]
        self._sooner = {model: _suffix_minima(d.since) for model, d in self._durabilities.items()}
        self._sends = [call for call in self._through_accepted(Kind.SEND) if (call.result or 0) >= 0]
        self._sent_after = _suffix_minima([_ended(call) for call in self._sends])
        self._proposed = 0
        self._left_out = 0

    def _implied(self) -> Iterator[Model]:
        if Model.STRICT in self.models and Model.EXT4 not in self.models:
            yield Model.EXT4

    # --- what a caller asks for ----------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[CrashState]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def first(self, most: int) -> list[CrashState]:
        """Give the most telling ones."""
        return self._states[:most]

    @property
    def proposed(self) -> int:
        """How many losses were looked at; the states are the different contents among them."""
        return self._proposed if self._states else 0

    @property
    def left_out(self) -> int:
        """How many more there are within the bound on reordering, left out for its window and number of tears."""
        return self._left_out if self._states else 0

    @property
    def notes(self) -> list[str]:
        """What the recording could not say, in words."""
        return self.log.notes

    def words(self, tried: int | None = None) -> str:
        """Say in some sentences what was searched and how far.

        Args:
            tried: How many states were used, when not all.
        """
        states = len(self)
        models = ", ".join(sorted(self.models))
        said = f"{states} distinct crash states out of {self.proposed} losses ({models}): {self.bound.words()}."
        said += f" {self.left_out} losses of these kinds were left out for the bound, and all larger sets."
        if tried is not None and tried < states:
            said += f" {states - tried} of the states were not tried."
        return said

    def final(self) -> Image:
        """Give the home at the end of the recording, nothing lost."""
        return self.contents.image(len(self.log.operations), Loss())

    def operations_until(self, cut: Cut) -> int:
        """Say how many operations had begun at a cut."""
        return self._upto[bisect.bisect_left(self._cuts, cut)]

    def exchange(self, cut: Cut) -> Exchange:
        """Give what had gone through the home's sockets at a cut."""
        moment = cut.moment
        began = self.recording.calls[: cut.place + 1]
        numbers = {call.number for call in began}
        sends = [call for call in self._sends if call.number in numbers]
        received = [call for call in self._through_accepted(Kind.RECEIVE) if call.number in numbers]
        return Exchange(
            sent=tuple(call for call in sends if _ended(call) <= moment),
            in_flight=tuple(call for call in sends if _ended(call) > moment),
            received=tuple(call for call in received if _ended(call) <= moment and (call.result or 0) >= 0),
        )

    def _through_accepted(self, kind: Kind) -> list[Call]:
        calls = self.recording.calls
        accepted = {call.channel for call in calls if call.kind is Kind.ACCEPT and call.channel is not None}
        return [call for call in calls if call.kind is kind and call.channel in accepted]

    # --- the search ----------------------------------------------------------------------------------------------

    @cached_property
    def _states(self) -> list[CrashState]:
        found: dict[bytes, CrashState] = {}
        for model, durability in self._durabilities.items():
            for number, family, loss in self._search(durability):
                self._proposed += 1
                digest = self.contents.digest(self._upto[number], loss)
                self._merge(found, digest, number, family, loss, model)
        return self._in_order(found.values())

    def _find_cuts(self) -> Iterator[Cut]:
        """Give the moments to look at: before each call, at the end, and within writes that come back durable."""
        calls = self.recording.calls
        for place, call in enumerate(calls):
            if call.durable or not place:
                yield Cut(call.began, place, during=True)
            yield Cut(calls[place + 1].began if place + 1 < len(calls) else sys.float_info.max, place)

    def _search(self, durability: Durability) -> Iterator[tuple[int, Family, Loss]]:
        """Give the losses at each cut (its number), in the order of cuts, that one model allows."""
        since = durability.since
        becoming = sorted(when for when in since if when <= sys.float_info.max)
        pending: list[int] = []
        done = durable = 0
        for number, moment in enumerate(self._moments):
            upto = self._upto[number]
            fresh = bisect.bisect_right(becoming, moment)
            newest = [n for n in range(done, upto) if since[n] > moment]
            if number and upto == done and fresh == durable:
                continue
            # What was possible a moment ago was tried then, unless something became durable or nothing was tried yet.
            full = not number or fresh != durable or len(newest) != upto - done
            if fresh != durable:
                pending = [n for n in pending if since[n] > moment]
            pending += newest
            done, durable = upto, fresh
            operations = self.log.operations
            losses = Losses(operations, durability, list(pending), frozenset(() if full else newest), self.bound)
            self._left_out += losses.left_out
            for family, loss in losses:
                yield number, family, loss

    def _merge(
        self, found: dict[bytes, CrashState], digest: bytes, number: int, family: Family, loss: Loss, model: Model
    ) -> None:
        upto, cut = self._upto[number], self._cuts[number]
        allowing = {model, Model.STRICT} if model is Model.EXT4 else {model}
        possible = {m: (cut, self._last_cut(m, upto, loss)) for m in allowing & set(self.models)}
        new = CrashState(self, digest, family, upto, loss)
        old = found.get(digest)
        if old is None:
            new.possible = possible
            found[digest] = new
            return
        further = self._reach(new, possible) > self._reach(old, old.possible)
        for known, (first, last) in old.possible.items():
            mine = possible.get(known, (first, last))
            possible[known] = (min(first, mine[0]), max(last, mine[1]))
        if further:
            found[digest] = old = new
        old.possible = possible

    def _reach(self, state: CrashState, possible: dict[Model, tuple[Cut, Cut]]) -> tuple[Cut, int]:
        """Which of two ways into one state is the better account of it: the one that reaches furthest."""
        return max(last for _first, last in possible.values()), -state.family

    def _last_cut(self, model: Model, upto: int, loss: Loss) -> Cut:
        """Find the last cut that leaves a state: before any of what is lost becomes durable."""
        since = self._durabilities[model].since
        ends = min(map(since.__getitem__, loss.numbers), default=math.inf)
        ends = min(ends, self._sooner[model][upto])
        if ends > sys.float_info.max:
            return self._cuts[-1]
        return self._cuts[bisect.bisect_left(self._moments, ends) - 1]

    # --- order ---------------------------------------------------------------------------------------------------

    def _in_order(self, states: Iterable[CrashState]) -> list[CrashState]:
        kinds: dict[Family, tuple[list[CrashState], list[CrashState]]] = {}
        for state in sorted(states, key=lambda state: (state._upto, sorted(state.loss.numbers), state.digest)):
            kinds.setdefault(state.family, ([], []))[0 if self._loses_promised(state) else 1].append(state)
        rows = [[*_spread(promised), *_spread(others)] for _, (promised, others) in sorted(kinds.items())]
        turns = itertools.zip_longest(*rows)
        return [state for turn in turns for state in turn if state is not None]

    def _loses_promised(self, state: CrashState) -> bool:
        """Say whether something was sent after what is lost was begun, at the last cut that leaves the state."""
        last = max(last for _first, last in state.possible.values())
        lost = [*state.loss.numbers, *range(state._upto, min(state._upto + 1, self.operations_until(last)))]
        if not lost:
            return False
        call = self.log.operations[min(lost)].call
        place = bisect.bisect_right([send.number for send in self._sends], call)
        return self._sent_after[place] <= last.moment


def _spread(values: list[T]) -> list[T]:
    """Put into an order of which every beginning is spread over the whole: by the reversed bits of the places."""
    width = len(values).bit_length()
    return [values[i] for i in sorted(range(len(values)), key=lambda i: int(f"{i:0{width}b}"[::-1], 2))]


def _suffix_minima(values: Sequence[float]) -> list[float]:
    """For each place, the least of the values from there on; infinity after the last."""
    minima = [float("inf")]
    for value in reversed(values):
        minima.append(min(value, minima[-1]))
    return minima[::-1]


def _ended(call: Call) -> float:
    if call.ended is not None:
        return call.ended
    return float("inf") if call.result is None else call.began
