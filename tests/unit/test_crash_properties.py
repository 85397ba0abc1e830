"""Crash states of programs that nobody thought of: against a real file system, and a search without cleverness."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import naive_disk
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scripts import Script

from pytest_ocap.sweeps.crash import Bound, CrashStates, Image, Model

FILES = ("a", "b", "d/a", "d/b")
UNBOUNDED = Bound(reordered=20, window=20, tears=20)
ALL_MODELS = (Model.EXT4, Model.STRICT)


class Step(NamedTuple):
    """One thing that a random program does; what it cannot do at that point is skipped."""

    verb: str
    path: str
    other: str
    offset: int
    size: int


VERBS = (
    *("create", "write", "write", "write", "write_through", "append", "truncate", "chmod"),
    *("fsync", "fdatasync", "fsync_dir", "settle", "sync"),
    *("rename", "link", "unlink", "mkdir", "rmdir", "move_dir"),
)

steps = st.lists(
    st.builds(
        Step,
        verb=st.sampled_from(VERBS),
        path=st.sampled_from(FILES),
        other=st.sampled_from(FILES),
        offset=st.sampled_from([0, 100, 512, 1000, 4000, 4096, 9000]),
        size=st.sampled_from([1, 300, 512, 700, 1200, 5000]),
    ),
    max_size=14,
)
few_steps = st.lists(
    st.builds(
        Step,
        verb=st.sampled_from(VERBS),
        path=st.sampled_from(("a", "d/a")),
        other=st.sampled_from(("a", "b", "d/a")),
        offset=st.sampled_from([0, 100, 512, 1000]),
        size=st.sampled_from([1, 300, 700, 1200]),
    ),
    max_size=6,
)


class Program:
    """A random program, run for real in a home, with what it made sure of."""

    def __init__(self, home: Path, wanted: list[Step]) -> None:
        (home / "d").mkdir()
        (home / "a").write_bytes(b"\x01" * 1500)
        self.before = Image.read(home)
        self.home = home
        self.script = Script(home)
        self.settled: list[dict[str, bytes]] = [{}]
        """After each call: the files that were synced with all their names, and not touched since."""
        self.fill = 1
        for step in wanted:
            with contextlib.suppress(OSError, KeyError):
                self._do(step)
            missing = len(self.script.calls) + 1 - len(self.settled)
            self.settled += [self.settled[-1]] * missing
        self.script.close()

    def _do(self, step: Step) -> None:
        settled = dict(self.settled[-1])
        parent = step.path.rpartition("/")[0]
        self.fill = self.fill % 250 + 1
        data = bytes([self.fill]) * step.size
        script, before = self.script, len(self.script.calls)
        touched = {step.path}
        if step.verb in ("write", "append", "write_through"):
            self._need(step.path)
            offset = None if step.verb == "append" else step.offset
            script.write(step.path, offset, data, durable=step.verb == "write_through")
        elif step.verb == "create":
            script.open(step.path, create=True)
        elif step.verb == "truncate":
            self._need(step.path)
            script.truncate(step.path, step.size)
        elif step.verb in ("fsync", "fdatasync"):
            self._need(step.path)
            getattr(script, step.verb)(step.path)
            touched = set()
        elif step.verb == "fsync_dir":
            script.fsync_dir(parent if (self.home / parent).is_dir() else "")
            touched = set()
        elif step.verb in ("rename", "link"):
            getattr(script, step.verb)(step.path, step.other)
            touched |= {step.other}
        elif step.verb == "unlink":
            script.unlink(step.path)
        elif step.verb == "chmod":
            script.chmod(step.path, 0o600 | step.size % 64)
        elif step.verb in ("mkdir", "rmdir"):
            getattr(script, step.verb)("d")
            touched = set(FILES)
        elif step.verb == "move_dir":
            script.rename("d", "e") if (self.home / "d").exists() else script.rename("e", "d")
            touched = set(FILES)
        elif step.verb == "sync":
            script.sync()
            touched = set()
        elif step.verb == "settle":
            self._need(step.path)
            script.fsync(step.path)
            for directory in dict.fromkeys([parent, ""]):
                script.fsync_dir(directory)
            touched = set()
            settled[step.path] = (self.home / step.path).read_bytes()
        # A file with two names may be touched through the other.
        many = {path for path in settled if (self.home / path).exists() and (self.home / path).stat().st_nlink > 1}
        kept = {path: data for path, data in settled.items() if path not in touched | many}
        calls = len(script.calls) - before
        was = {path: data for path, data in self.settled[-1].items() if path in kept}
        self.settled += [was] * (calls - 1) + [kept] if calls else []

    def _need(self, path: str) -> None:
        """Open the file that is at a path now."""
        self.script.open(path)

    def states(self, models: tuple[Model, ...] = ALL_MODELS, bound: Bound | None = None) -> CrashStates:
        return CrashStates(self.before, self.script.recording(), models=models, bound=bound)


@contextlib.contextmanager
def ran(wanted: list[Step]) -> Iterator[Program]:
    home = Path(tempfile.mkdtemp(prefix="oc-", dir="/tmp"))
    try:
        yield Program(home, wanted)
    finally:
        shutil.rmtree(home)


many_examples = settings(max_examples=150, deadline=None)
some_examples = settings(max_examples=60, deadline=None)


@many_examples
@given(steps)
def test_with_nothing_lost_the_end_is_what_a_real_file_system_has(wanted: list[Step]) -> None:
    with ran(wanted) as program:
        states = program.states()
        assert states.final() == Image.read(program.home)
        assert naive_disk.plain(states.final()) == naive_disk.final(states.log)


@some_examples
@given(few_steps)
def test_the_strict_states_are_those_of_a_search_without_cleverness(wanted: list[Step]) -> None:
    with ran(wanted) as program:
        states = program.states((Model.STRICT,), UNBOUNDED)
        found = {naive_disk.plain(state.image()) for state in states}
        recording = program.script.recording()
        if states.log.operations:
            assert naive_disk.strict_states(states.log, recording, tears=False) <= found
        assert found <= naive_disk.strict_states(states.log, recording, tears=True)


def with_links(image: Image) -> tuple[naive_disk.Disk, frozenset[tuple[str, str]]]:
    """Tell apart what :func:`naive_disk.plain` does not: two files of one content, and one file with two names."""
    links = frozenset((path, entry.first) for path, entry in image.entries.items() if entry.first is not None)
    return naive_disk.plain(image), links


def step(verb: str, path: str) -> Step:
    return Step(verb=verb, path=path, other="a", offset=0, size=1)


@many_examples
@given(steps, st.sampled_from([Bound(), Bound(reordered=1, window=2, tears=1), UNBOUNDED]))
@example([step("create", "a"), step("create", "d/a"), step("rename", "d/a"), step("create", "d/a")], Bound())
def test_merging_loses_no_content_and_keeps_no_content_twice(wanted: list[Step], bound: Bound) -> None:
    with ran(wanted[:8]) as program:
        states = program.states(bound=bound)
        images = [with_links(state.image()) for state in states]
        assert len(set(images)) == len(images)
        for durability in states._durabilities.values():
            for place, _family, loss in states._search(durability):
                assert with_links(states.contents.image(states._upto[place], loss)) in set(images)


@many_examples
@given(steps)
def test_what_was_synced_with_its_names_is_in_every_state(wanted: list[Step]) -> None:
    with ran(wanted) as program:
        for state in program.states():
            image = state.image()
            for _first, last in state.possible.values():
                for path, data in program.settled[last.place + 1].items():
                    assert image.bytes_of(path) == data, state.describe()


@many_examples
@given(steps)
def test_no_state_has_bytes_that_nobody_wrote(wanted: list[Step]) -> None:
    with ran(wanted) as program:
        written = {0, 1} | {byte for call in program.script.calls for byte in set(call.data or b"")}
        for state in program.states():
            for entry in state.image().entries.values():
                assert set(entry.content.to_bytes()) <= written, state.describe()


@many_examples
@given(steps)
def test_strict_allows_what_ext4_allows(wanted: list[Step]) -> None:
    with ran(wanted) as program:
        strict = {state.digest for state in program.states((Model.STRICT,))}
        for state in program.states():
            assert Model.STRICT in state.possible
            assert state.digest in strict
        assert {state.digest for state in program.states((Model.EXT4,))} <= strict


@some_examples
@given(few_steps)
def test_the_states_of_ext4_are_among_those_of_a_search_without_cleverness(wanted: list[Step]) -> None:
    with ran(wanted) as program:
        states = program.states((Model.EXT4,), UNBOUNDED)
        allowed = naive_disk.strict_states(states.log, program.script.recording(), tears=True)
        assert {naive_disk.plain(state.image()) for state in states} <= allowed


@some_examples
@given(steps)
def test_a_state_that_is_put_on_a_disk_is_read_back_as_itself(wanted: list[Step]) -> None:
    with ran(wanted) as program:
        for number, state in enumerate(program.states().first(5)):
            directory = program.home / f"state-{number}"
            directory.mkdir()
            state.materialise(directory)
            assert Image.read(directory) == state.image()


@pytest.mark.parametrize("models", [(Model.EXT4,), ALL_MODELS, (Model.FAILS_CLEAN,)])
@settings(max_examples=30, deadline=None)
@given(wanted=steps)
def test_the_order_is_always_the_same(models: tuple[Model, ...], wanted: list[Step]) -> None:
    with ran(wanted) as program:
        once, again = (program.states(models) for _ in range(2))
        assert [state.describe() for state in once] == [state.describe() for state in again]
