"""Delta debugging: the least of several faults that still fails."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from pytest_ocap.sweeps.reducing import Least, least_of

MANY = 10_000


def test_one_fault_that_is_enough_is_found_at_once_when_it_is_the_first() -> None:
    assert least_of("abc", lambda chosen: "a" in chosen, MANY) == Least(("a",), 3, 1, minimal=True)


def test_what_does_not_fail_fault_by_fault_needs_the_one_that_lasts() -> None:
    assert least_of("abc", lambda _: False, MANY) is None
    assert least_of("", lambda _: True, MANY) is None


def test_faults_that_need_each_other_stay_together_in_their_order() -> None:
    found = least_of("abcdefgh", lambda chosen: {"b", "g"} <= set(chosen), MANY)
    assert found is not None
    assert (found.faults, found.of, found.minimal) == (("b", "g"), 8, True)


def test_a_search_that_may_go_no_further_gives_what_it_has_seen_fail_and_says_so() -> None:
    tried: list[tuple[int, ...]] = []

    def fails(chosen: tuple[int, ...]) -> bool:
        tried.append(chosen)
        return {7, 40} <= set(chosen)

    found = least_of(range(64), fails, 4)
    assert found is not None
    assert not found.minimal
    assert found.tried == len(tried) == 4
    assert {7, 40} <= set(found.faults)


@given(st.sets(st.integers(0, 30), min_size=1), st.integers(31, 50))
def test_where_more_faults_never_heal_it_is_exactly_those_that_matter(needed: set[int], size: int) -> None:
    found = least_of(range(size), lambda chosen: needed <= set(chosen), MANY)
    assert found is not None
    assert found.faults == tuple(sorted(needed))
    assert found.minimal


@given(st.integers(1, 12), st.integers(0, 1000))
def test_whatever_fails_or_not_leaving_any_one_out_of_a_minimal_set_does_not_fail(size: int, seed: int) -> None:
    def fails(chosen: tuple[int, ...]) -> bool:
        return zlib.crc32(bytes([seed % 256, *chosen])) % 3 == 0

    found = least_of(range(size), fails, MANY)
    if found is not None:
        assert fails(found.faults)
        rest = [tuple(one for one in found.faults if one != left) for left in found.faults]
        assert not any(fails(chosen) for chosen in rest if chosen)
