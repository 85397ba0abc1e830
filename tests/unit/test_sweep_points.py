import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ocap.sweeps.calls import Call, Kind, Recording
from pytest_ocap.sweeps.points import POINT_KINDS, UNNAMED, Namer, Point, all_kinds, normal, points

KINDS = sorted(all_kinds())


def call(number: int, kind: Kind, path: str | None) -> Call:
    return Call(number=number, process="0", pid=1, thread=1, name="…", kind=kind, path=path, began=0.0)


@given(
    workload=st.text(min_size=1, max_size=20),
    kind=st.sampled_from(KINDS),
    path=st.text(min_size=1, max_size=40),
    ordinal=st.integers(1, 10**9),
)
def test_a_point_can_be_written_down_and_read_back(workload: str, kind: Kind, path: str, ordinal: int) -> None:
    point = Point(workload, kind, path, ordinal)
    assert Point.parse(str(point)) == point
    assert not any(character.isspace() for character in str(point))


def test_a_point_at_a_file_whose_name_is_no_utf_8_has_a_name_that_is() -> None:
    point = Point("start", Kind.OPEN, os.fsdecode(b"vats/\xff"), 1)
    assert str(point) == "start:open:vats/%FF#1"
    assert Point.parse(str(point)) == point


def test_a_point_looks_as_it_is_documented() -> None:
    assert str(Point("start", Kind.WRITE, "kernel.sqlite-wal", 3)) == "start:write:kernel.sqlite-wal#3"


@pytest.mark.parametrize(
    "text", ["", "start", "start:write:file", "start:write:file#0", "a:dance:file#1", "a:write:f#x"]
)
def test_what_is_no_point_is_refused_with_an_example_or_the_kinds(text: str) -> None:
    with pytest.raises(ValueError, match=r"start:write:kernel\.sqlite-wal#3|none of accept"):
        Point.parse(text)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("kernel.sqlite-wal", "kernel.sqlite-wal"),
        ("daemon.log.1", "daemon.log.1"),
        ("appendonly.aof.1.base.rdb", "appendonly.aof.1.base.rdb"),
        ("KernelStore", "KernelStore"),
        ("block12/sha256", "block12/sha256"),
        ("tmpab_c12xz", "tmp*"),
        ("temp-31415.rdb", "temp-*.rdb"),
        ("etilqs_0123456789abcdef", "etilqs_*"),
        ("state.XkQzPw", "state.*"),
        ("123e4567-e89b-12d3-a456-426614174000.json", "*.json"),
        ("level/000012.log", "level/*.log"),
        ("", "."),
    ],
)
def test_what_is_random_in_a_path_is_starred(path: str, expected: str) -> None:
    assert normal(path) == expected


def test_ordinals_count_calls_of_one_kind_to_one_path() -> None:
    namer = Namer("w")
    seen = [
        namer.name(kind, path)
        for kind, path in [
            (Kind.WRITE, "a"),
            (Kind.WRITE, "b"),
            (Kind.WRITE, "a"),
            (Kind.SYNC, "a"),
            (Kind.WRITE, "tmp01234567"),
            (Kind.WRITE, "tmp76543210"),
            (Kind.WRITE, None),
        ]
    ]
    assert [str(point) for point in seen] == [
        "w:write:a#1",
        "w:write:b#1",
        "w:write:a#2",
        "w:sync:a#1",
        "w:write:tmp*#1",
        "w:write:tmp*#2",
        f"w:write:{UNNAMED}#1",
    ]


def test_a_point_says_what_came_before_it_and_is_no_other_point_for_that() -> None:
    namer = Namer("w")
    namer.name(Kind.SYNC, "a")
    namer.name(Kind.WRITE, "b")
    again = namer.name(Kind.WRITE, "b")
    assert again is not None
    assert again.after == "sync a"
    assert again == Point("w", Kind.WRITE, "b", 2)


def test_a_recording_has_the_points_of_the_kinds_asked_for() -> None:
    calls = (
        call(0, Kind.EXEC, None),
        call(1, Kind.OPEN, "a"),
        call(2, Kind.SEND, "s"),
        call(3, Kind.CLOSE, "a"),
        call(4, Kind.OPEN, "a"),
    )
    recording = Recording("by hand", calls)
    assert [str(point) for point, _ in points(recording, "w")] == ["w:open:a#1", "w:open:a#2"]
    assert [found.number for _, found in points(recording, "w", {Kind.CLOSE})] == [3]
    assert Kind.CLOSE not in POINT_KINDS
