"""Of cases that are alike a few are tried, and the most telling first; no point is left out."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pytest_ocap.sweeps.cases import Case
from pytest_ocap.sweeps.kinds import KINDS
from pytest_ocap.sweeps.representatives import most_telling_first, representatives

FAULTS = {
    "kill": ("kill", "kill-after"),
    "hang": ("hang",),
    "errno": ("EIO", "EIO+", "ENOSPC"),
    "slow": ("slow=0.3",),
    "powerloss": ("powerloss~torn~a1", "powerloss~torn~b2", "powerloss~all-lost~c3"),
}


def case(ordinal: int = 1, fault: str = "kill", path: str = "store") -> Case:
    (sweep,) = (sweep for sweep, faults in FAULTS.items() if fault in faults or fault.partition("~")[0] == sweep)
    return Case("start", f"start:write:{path}#{ordinal}", fault, sweep, kind="write", path=path)


@st.composite
def swept(draw: st.DrawFn) -> list[Case]:
    """Draw what a workload may have: calls to a few paths in some order, each with the faults of some kinds."""
    faults = [fault for kind in draw(st.sets(st.sampled_from(KINDS), min_size=1)) for fault in FAULTS[kind]]
    calls = Counter[str]()
    found = []
    for path in draw(st.lists(st.sampled_from(("store", "log", "lock")), max_size=40)):
        calls[path] += 1
        found += [case(calls[path], fault, path) for fault in faults]
    return found


def test_of_cases_alike_each_is_tried_whose_number_is_a_power_of_two_and_each_point_is_struck() -> None:
    errors = [case(ordinal, "EIO") for ordinal in range(1, 21)]
    kills = [case(ordinal) for ordinal in range(1, 21)]
    chosen = [found.id for found in representatives([*errors, *kills])]
    doubling = (1, 2, 4, 8, 16)
    assert [name for name in chosen if name.endswith("EIO")] == [
        f"start:write:store#{number}=EIO" for number in doubling
    ]
    assert [name for name in chosen if name.endswith("kill")] == [case.id for case in kills], (
        "one at each point: a kill"
    )


def test_what_is_lost_at_power_cuts_makes_their_sort_and_not_the_state() -> None:
    torn = [case(1, f"powerloss~torn~{number:04x}") for number in range(1, 10)]
    lost = [case(1, f"powerloss~all-lost~{number:04x}") for number in range(20, 23)]
    assert representatives([*torn, *lost]) == [torn[0], torn[1], torn[3], torn[7], lost[0], lost[1]]
    assert most_telling_first([*torn[:3], *lost[:2]]) == [torn[0], lost[0], torn[1], lost[1], torn[2]]


@given(swept())
def test_no_sort_and_no_point_is_left_out_and_nothing_is_chosen_twice(cases: list[Case]) -> None:
    chosen = representatives(cases)
    assert chosen == [found for found in cases if found in chosen]
    assert len({found.id for found in chosen}) == len(chosen)
    assert {found.point for found in chosen} == {found.point for found in cases}
    assert {found.sort for found in chosen} == {found.sort for found in cases}
    assert representatives(chosen[:1]) == chosen[:1]


@given(swept())
def test_how_many_of_a_sort_are_chosen_grows_with_the_logarithm_of_how_many_there_are(cases: list[Case]) -> None:
    chosen = representatives(cases)
    most_telling = min((found.sweep for found in cases), key=KINDS.index, default="")
    for sort, number in Counter(found.sort for found in cases if found.sweep != most_telling).items():
        assert sum(found.sort == sort for found in chosen) == number.bit_length()


@given(swept())
def test_the_order_of_a_budget_leaves_nothing_out_and_sees_each_sort_before_the_second_of_any_of_its_kind(
    cases: list[Case],
) -> None:
    ordered = most_telling_first(cases)
    assert sorted(found.id for found in ordered) == sorted(found.id for found in cases)
    for kind in KINDS:
        rounds, seen = [], Counter[tuple[str, ...]]()
        for found in (found for found in ordered if found.sweep == kind):
            seen[found.sort] += 1
            rounds.append(seen[found.sort])
        assert rounds == sorted(rounds)


def test_a_budget_sees_one_of_each_sort_of_every_kind_before_the_second_of_any() -> None:
    cases = [case(1), case(2), case(3), case(1, path="log"), case(1, "EIO"), case(2, "EIO")]
    assert [found.id for found in most_telling_first(cases)] == [
        "start:write:store#1=kill",
        "start:write:store#1=EIO",
        "start:write:log#1=kill",
        "start:write:store#2=EIO",
        "start:write:store#2=kill",
        "start:write:store#3=kill",
    ]
