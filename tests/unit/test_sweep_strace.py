"""strace's notation, taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ocap.sweeps import strace_lines
from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.strace_reading import Reading


def escaped(words: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in words)


HOME, FILE = escaped(b"/home"), escaped(b'/home/a, <b> "c" = -1 ->')
OPEN = f'7  100.000000 openat(-100<{HOME}>, "{escaped(b"a")}", 0x241, 0644) = 3<{FILE}> <0.000340>'


def test_a_call_has_its_arguments_its_result_and_its_duration() -> None:
    (line,) = strace_lines.read([OPEN])
    assert (line.thread, line.began, line.name) == (7, 100.0, "openat")
    assert (line.number(0), line.text(1), line.number(2), line.number(3)) == (-100, b"a", 0x241, 0o644)
    assert (line.result, line.seconds, line.injected) == (3, 0.00034, False)
    assert strace_lines.described(f"3{line.returned}") == (3, '/home/a, <b> "c" = -1 ->', False)


def test_a_failed_call_has_its_error() -> None:
    (line,) = strace_lines.read([f"7  1.5 fsync(3<{FILE}>) = -1 EIO (Input/output error) (INJECTED) <0.000011>"])
    assert (line.result, line.injected) == (-5, True)


def test_a_call_that_another_thread_interrupts_is_one_call_where_it_began() -> None:
    first, second, third = strace_lines.read(
        [
            f'7  1.0 write(3<{FILE}>, "{escaped(b"x")}", 1 <unfinished ...>',
            f"8  1.1 fsync(3<{FILE}>)   = 0 <0.000001>",
            "7  1.2 <... write resumed>) = 1 <0.200000>",
            "8  1.3 exit_group(3)   = ?",
        ]
    )
    assert (first.name, first.began, first.result, first.text(1)) == ("write", 1.0, 1, b"x")
    assert (second.name, third.name, third.result) == ("fsync", "exit_group", None)


def test_a_thread_that_is_killed_leaves_its_last_call_without_a_result() -> None:
    lines = strace_lines.read(
        [
            f'7  1.0 write(3<{FILE}>, "{escaped(b"x")}", 1 <unfinished ...>',
            "8  1.1 --- SIGCHLD {si_signo=17} ---",
            "7  1.2 <... write resumed>) = ? <unavailable>",
            "7  1.3 +++ killed by SIGKILL +++",
            "8  1.4 +++ exited with 0 +++",
        ]
    )
    assert [(line.name, line.result, line.killed) for line in lines] == [("write", None, True)]


@pytest.mark.parametrize("raw", ["nonsense", "7  1.0 write(3", "7  1.0 write(3) = what"])
def test_what_cannot_be_taken_apart_is_never_skipped(raw: str) -> None:
    with pytest.raises(ValueError, match="strace"):
        strace_lines.read([raw])


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_vectors_are_read_whole(parts: list[bytes]) -> None:
    words = ", ".join(f'{{iov_base="{escaped(part)}", iov_len={len(part)}}}' for part in parts)
    assert strace_lines.vector(f"[{words}]") == b"".join(parts)


def test_a_string_that_strace_has_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="whole string"):
        strace_lines.text('"\\x61"...')


def test_sockets_are_read_with_and_without_names() -> None:
    name = escaped(b"sock")
    assert strace_lines.socket("UNIX-STREAM:[12]") == ("12", None)
    assert strace_lines.socket(f'UNIX-STREAM:[12->13,"{name}"]') == ("12", name)
    assert strace_lines.socket("/home/file") is None


def test_a_child_seen_before_its_parent_s_clone_has_come_back_has_its_name() -> None:
    lines = strace_lines.read(
        [
            "7  1.0 clone(child_stack=NULL, flags=0x1200011, child_tidptr=0x7f) = 9 <0.000340>",
            "7  1.1 vfork( <unfinished ...>",
            f'10  1.2 mkdir("{escaped(b"/home/d")}", 0777) = 0 <0.000001>',
            "7  1.3 <... vfork resumed>) = 10 <0.000340>",
            f'9  1.4 mkdir("{escaped(b"/home/e")}", 0777) = 0 <0.000001>',
        ]
    )
    recording, kept = Reading("/home").recording(lines)
    made = {call.path: call.process for call in recording.calls if call.kind is Kind.MKDIR}
    assert made == {"d": "0.2", "e": "0.1"}
    assert len(kept) == len(recording.calls)
