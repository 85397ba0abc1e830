import errno
from pathlib import Path
from typing import Any

import pytest

from pytest_ocap.sweeps.calls import Call, Kind
from pytest_ocap.sweeps.injection import ERRORS, TRANSIENT, Fault, How, Injection, faults, faults_at
from pytest_ocap.sweeps.points import Point, all_kinds

POINT = Point("start", Kind.WRITE, "kernel.sqlite-wal", 3)


@pytest.mark.parametrize("fault", sorted({fault for kind in all_kinds() for fault in faults(kind)}, key=str), ids=str)
def test_an_injection_can_be_written_down_and_read_back(fault: Fault) -> None:
    injection = Injection(POINT, fault)
    assert Injection.parse(str(injection)) == injection


def test_an_injection_looks_as_it_is_documented() -> None:
    assert str(Injection(POINT, Fault(How.ERRNO, errno.EIO, persistent=True))) == "start:write:kernel.sqlite-wal#3=EIO+"
    assert str(Injection(POINT, Fault(How.SLOW, seconds=0.5))) == "start:write:kernel.sqlite-wal#3=slow=0.5"


@pytest.mark.parametrize("text", ["", "explode", "EPERM", "EIO=1", "kill+", "kill=2"])
def test_what_is_no_fault_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(ValueError, match="there are kill, kill-after, hang, EIO"):
        Fault.parse(text)


def test_an_injection_without_a_fault_is_refused_with_an_example() -> None:
    with pytest.raises(ValueError, match="one looks like"):
        Injection.parse(str(POINT))


@pytest.mark.parametrize("kind", sorted(all_kinds()))
def test_every_fault_of_a_kind_can_strike_it_and_no_transient_error_lasts(kind: Kind) -> None:
    found = list(faults(kind))
    assert len(set(found)) == len(found)
    assert all(fault.can_strike(kind) for fault in found)
    assert not [fault for fault in found if fault.persistent and fault.error in TRANSIENT]


def test_a_lock_that_is_given_up_is_never_interrupted_and_in_nobody_s_way() -> None:
    taken, given_up = (set(faults_at(call(Kind.LOCK, operation=f"lock: {word} 0+0"))) for word in ("shared", "release"))
    assert {str(fault) for fault in taken - given_up} == {"EINTR", "EAGAIN"}


def test_a_write_of_one_byte_is_never_halved() -> None:
    longer, one = (set(faults_at(call(Kind.WRITE, data=data))) for data in (b"ab", b"a"))
    assert {str(fault) for fault in longer - one} == {"short"}


def test_the_close_of_a_connection_never_fails() -> None:
    file, connection = (set(faults_at(call(Kind.CLOSE, channel=channel))) for channel in (None, 1))
    assert {str(fault) for fault in file - connection} == {"EIO", "EIO+", "EINTR"}


def call(kind: Kind, **more: Any) -> Call:
    return Call(number=0, process="0", pid=1, thread=1, name="", kind=kind, began=0.0, **more)


@pytest.mark.parametrize(
    ("fault", "kind", "none"),
    [
        ("EINTR", Kind.OPEN, True),
        ("EINTR", Kind.LOCK, True),
        ("EINTR", Kind.SYNC, False),
        ("EINTR", Kind.CLOSE, False),
        ("EAGAIN", Kind.ACCEPT, True),
        ("EAGAIN", Kind.SEND, True),
        ("EAGAIN", Kind.LOCK, False),
        ("short", Kind.WRITE, True),
        ("slow=2", Kind.SYNC, True),
        ("EIO", Kind.WRITE, False),
        ("ENOSPC+", Kind.WRITE, False),
        ("kill", Kind.WRITE, False),
        ("hang", Kind.WRITE, False),
    ],
)
def test_what_has_not_failed_is_told_from_what_has(fault: str, kind: Kind, none: bool) -> None:
    assert Fault.parse(fault).can_strike(kind)
    assert Fault.parse(fault).is_none_at(kind) is none


def test_all_errors_that_sweeps_know_can_be_injected_somewhere() -> None:
    names = {errno.errorcode[number] for number in ERRORS}
    assert names == {"EIO", "ENOSPC", "EMFILE", "ENFILE", "EACCES", "EROFS", "EINTR", "EAGAIN"}


def test_the_documentation_names_every_fault_and_every_kind_of_point() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "sweeps.md").read_text(encoding="utf-8")
    words = [*(how for how in How if how not in (How.ERRNO, How.SLOW)), *(errno.errorcode[number] for number in ERRORS)]
    assert [word for word in (*words, *all_kinds()) if f"`{word}`" not in page] == []
    assert "`slow=0.5`" in page
