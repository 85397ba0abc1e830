"""Crash states of a script, and what they can hold."""

from __future__ import annotations

from collections.abc import Iterable

from scripts import Script

from pytest_ocap.sweeps.crash import Bound, CrashState, CrashStates, Image, Model
from pytest_ocap.sweeps.crash.image import Entry, Type
from pytest_ocap.sweeps.crash.pages import Pages

OLD, NEW = b"old", b"new" * 500
EMPTY_HOME = Image({"": Entry(Type.DIRECTORY, 0o700)})


def home(**files: bytes) -> Image:
    entries = {name: Entry(Type.FILE, 0o600, Pages.of(data)) for name, data in files.items()}
    return Image({"": Entry(Type.DIRECTORY, 0o700), **entries})


def search(script: Script, before: Image = EMPTY_HOME, *models: Model, bound: Bound | None = None) -> CrashStates:
    return CrashStates(before, script.recording(), models=models or (Model.EXT4, Model.STRICT), bound=bound)


def cut_at(states: CrashStates, place: int, model: Model = Model.STRICT) -> list[CrashState]:
    """Give the states that a cut can last have left after the call of that number."""
    return [state for state in states if model in state.possible and state.possible[model][1].place == place]


def promised(script: Script, model: Model, before: Image = EMPTY_HOME) -> list[CrashState]:
    """Give the states that a cut can have left after the first answer."""
    return [state for state in search(script, before, model) if state.exchange(model).sent]


def acknowledge(script: Script) -> None:
    """Let a client be told that all is well."""
    script.accept(1)
    script.send(1, b"ok\n")


def contents(states: CrashStates, path: str, model: Model) -> set[bytes | None]:
    """What a file can hold under a model; ``None`` when it can be missing."""
    found: set[bytes | None] = set()
    for state in states:
        if model in state.possible:
            entry = state.image().entries.get(path)
            found.add(None if entry is None else entry.content.to_bytes())
    return found


def the(states: Iterable[CrashState], path: str, data: bytes | None, model: Model = Model.STRICT) -> CrashState:
    """The first state in which a file holds something."""
    for state in states:
        entry = state.image().entries.get(path)
        if model in state.possible and (None if entry is None else entry.content.to_bytes()) == data:
            return state
    raise AssertionError(f"no state has {path} so")
