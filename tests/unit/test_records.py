from __future__ import annotations

import copy
import pickle
from typing import Any, NamedTuple

import pytest

from kernel.records import Record


class Point(Record):
    """A point."""

    x: int
    y: int
    name: str = "somewhere"

    @property
    def sum(self) -> int:
        return self.x + self.y


class Original(NamedTuple):
    x: int
    y: int
    name: str = "somewhere"


@pytest.mark.parametrize(
    ("values", "named"),
    [((1, 2), {}), ((1, 2, "here"), {}), ((1,), {"y": 2}), ((), {"y": 2, "name": "here", "x": 1})],
)
def test_a_record_is_made_as_a_named_tuple_is(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    record, original = Point(*values, **named), Original(*values, **named)

    assert tuple(record) == tuple(original)
    assert hash(record) == hash(original)
    assert (record.x, record.y, record.name) == tuple(original)
    assert record._asdict() == original._asdict()
    assert repr(record) == repr(original).replace("Original", "Point")


@pytest.mark.parametrize(
    ("values", "named", "wrong"),
    [
        ((1,), {}, "lacks y"),
        ((1, 2, "a", 4), {}, "cannot take 4 values for 3 fields"),
        ((1, 2), {"x": 1}, "cannot take x"),
        ((1, 2), {"z": 1}, "cannot take z"),
    ],
)
def test_what_it_is_made_of_has_to_be_its_fields(values: tuple[Any, ...], named: dict[str, Any], wrong: str) -> None:
    with pytest.raises(TypeError, match=rf"^Point\(x, y, name\) {wrong}$"):
        Point(*values, **named)
    with pytest.raises(TypeError):
        Original(*values, **named)


def test_it_is_unpacked_matched_and_replaced_field_by_field() -> None:
    point = Point(1, 2)
    x, y, name = point
    match point:
        case Point(1, second):
            assert second == 2
        case _:
            pytest.fail("it does not match")

    assert (x, y, name) == (1, 2, "somewhere")
    assert point._replace(y=5) == (1, 5, "somewhere")
    assert point.sum == 3
    with pytest.raises(TypeError, match="cannot take z"):
        point._replace(z=1)  # type: ignore[call-arg]  # what is tried


def test_it_cannot_be_changed_and_has_no_room_for_more() -> None:
    with pytest.raises(AttributeError):
        Point(1, 2).x = 3  # type: ignore[misc]  # what is tried
    with pytest.raises(AttributeError):
        Point(1, 2).more = 3  # type: ignore[attr-defined]  # what is tried


def test_it_survives_copies_and_pickles() -> None:
    point = Point(1, 2)

    assert copy.copy(point) == copy.deepcopy(point) == point
    again = pickle.loads(pickle.dumps(point))
    assert again == point
    assert type(again) is Point
