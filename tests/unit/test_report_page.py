"""The page says what the JSON report says, all of it, and what daemons wrote stays text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from report_page import Page, assert_same, words
from report_samples import HOSTILE, check, evidence, green, mixed, red, report, scenario, timeline

from pytest_ocap.report import html, summary
from pytest_ocap.report.chart import CROWDED, LANES, LASTING, LETTER, MOST_ROWS, NARROWEST, draw
from pytest_ocap.report.json import schema

SAMPLES = {"green": green(), "red": red(), "mixed": mixed(), "empty": report()}


@pytest.fixture(params=list(SAMPLES))
def data(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give each sample."""
    return SAMPLES[request.param]


def test_it_says_what_the_report_says(data: dict[str, Any]) -> None:
    assert_same(html.render(data), data)


def test_a_lane_of_a_report_has_its_title_on_the_page() -> None:
    lanes = schema()["$defs"]["event"]["properties"]["lane"]["enum"]
    assert sorted(lanes) == sorted(LANES)
    assert set(lanes) > LASTING | CROWDED.keys()


def test_the_matrix_has_a_cell_for_every_check_with_its_verdict(data: dict[str, Any]) -> None:
    page = Page(html.render(data))
    for number, entry in enumerate(data["scenarios"], 1):
        cells = [
            words(text)
            for attrs, text in page.find("td", "cell")
            if attrs["data-run"] == f"run-{number}" and words(text) != "not made"
        ]
        verdicts = [cell.split()[-1] for cell in cells]
        assert verdicts[0] == summary.standing(entry)
        assert sorted(verdicts[1:]) == sorted(made["verdict"] for made in entry["checks"])


def test_each_verdict_is_told_by_a_sign_and_a_word() -> None:
    page = Page(html.render(mixed()))
    for _, text in page.find("span", "mark"):
        sign, word = words(text).split(maxsplit=1)
        assert not sign.isalnum()
        assert word.isascii()


def test_the_counts_and_the_sentence_are_those_of_the_data(data: dict[str, Any]) -> None:
    page = Page(html.render(data))
    counts = summary.counted(data)
    tally = [words(text).split(maxsplit=2) for _, text in page.find("span", "mark") if words(text).split()[1].isdigit()]
    assert {text: int(number) for _, number, text in tally} == {
        summary.STANDINGS[where]: number for where, number in counts.items()
    }
    ((_, banner),) = page.find("p", "banner")
    assert words(banner).endswith(summary.sentence(data))


@pytest.mark.parametrize("part", ["not-running", "kernel.sqlite", "0.213 s", "ready within 40 s", "run-2-check-1"])
def test_a_page_from_which_something_is_missing_does_not_say_the_same(part: str) -> None:
    embedded = '<script type="application/json"'
    shown, rest = html.render(red()).split(embedded)
    assert part in shown
    with pytest.raises((AssertionError, KeyError)):
        assert_same(shown.replace(part, "") + embedded + rest, red())


def test_machines_find_the_report_itself_in_the_page(data: dict[str, Any]) -> None:
    ((attrs, text),) = [pair for pair in Page(html.render(data)).find("script") if pair[0].get("id") == "ocap-report"]
    assert attrs["type"] == "application/json"
    assert json.loads(text) == data


def test_what_daemons_wrote_makes_no_element(data: dict[str, Any]) -> None:
    page = Page(html.render(data))
    assert not page.find("img")
    assert [attrs.get("type") for attrs, _ in page.find("script")] == ["application/json", None]


def test_hostile_names_are_text_wherever_they_stand() -> None:
    name = f'x[" onmouseover="alert(1)] {HOSTILE}'
    made = check(HOSTILE, "failed", HOSTILE, evidence(HOSTILE))
    declared = {"checks": {HOSTILE: HOSTILE}, "mended": [HOSTILE]}
    hostile = report(
        scenario(name, made, scenario=HOSTILE, declared=declared, nodeid=HOSTILE, timeline=timeline(HOSTILE))
    )
    hostile["driver"] = {"name": HOSTILE, "version": HOSTILE}
    hostile["run"] = dict.fromkeys(hostile["run"], HOSTILE) | {"seconds": 1.0}
    page = Page(html.render(hostile))
    assert not page.find("img")
    assert len(page.find("script")) == 2
    assert [attrs for _, attrs, _ in page.elements if any(key.startswith("on") for key in attrs)] == []
    assert "\x1b" not in html.render(hostile)


def test_the_page_refers_to_nothing_outside_itself(data: dict[str, Any]) -> None:
    for _, attrs, _ in Page(html.render(data)).elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (attrs.get(name) or "#").startswith(("#", "data:,"))


def test_every_link_within_the_page_leads_somewhere_and_every_id_is_given_once() -> None:
    page = Page(html.render(mixed()))
    ids = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs, _ in page.elements:
        target = attrs.get("href") or ""
        assert not target.startswith("#") or target[1:] in ids
        for labels in (attrs.get("aria-labelledby") or "").split():
            assert labels in ids


def test_an_older_report_without_the_newer_keys_is_shown() -> None:
    old: dict[str, Any] = {
        "schema": 1,
        "edition": "2026.1",
        "driver": {"name": "k", "version": "1"},
        "scenarios": [{"id": "x[y]", "verdict": "passed", "seconds": 0.4, "checks": [check("boots")]}],
    }
    del old["scenarios"][0]["checks"][0]["evidence"]
    assert "k 1 passed the only scenario of edition 2026.1." in html.render(old)


def test_labels_of_a_time_line_never_overlap_on_the_narrowest_page() -> None:
    events = [
        {"at": number / 40, "lane": "log", "what": f"event.number.{number}", "detail": ""} for number in range(41)
    ] + [
        {"at": number / 9, "until": (number + 2) / 9, "lane": "client", "what": "start" * 9, "detail": ""}
        for number in range(8)
    ]
    chart = draw(events)
    assert chart is not None
    for lane in chart.lanes:
        rows: dict[int, list[tuple[float, float]]] = {}
        for mark in (mark for mark in lane.marks if mark.label):
            length = 100 * LETTER * len(mark.label) / NARROWEST
            start = mark.label_left - length if mark.label_before else mark.label_left
            assert all(start >= end or start + length <= begin for begin, end in rows.setdefault(mark.top, []))
            rows[mark.top].append((start, start + length))
            assert start >= 0
            assert start + length <= 100
        assert len(rows) <= (CROWDED["log"] if lane.name == "log" else MOST_ROWS)
        assert {mark.top for mark in lane.marks if not mark.label}.isdisjoint(rows)
    assert sum(len(lane.marks) for lane in chart.lanes) == len(events)


def test_what_has_no_end_goes_on_to_the_edge_and_the_table_says_so() -> None:
    began = {"at": 1.0, "lane": "process", "what": "node", "detail": "pid 7"}
    last = {"at": 4.0, "lane": "log", "what": "x", "detail": "", "ok": None}
    chart = draw([began, last])
    assert chart is not None
    (process,), (log,) = (lane.marks for lane in chart.lanes)
    assert (process.left, process.width, process.is_point, process.is_open) == (25.0, 75.0, False, True)
    assert (log.left, log.width, log.is_point) == (100.0, 0.0, True)
    page = Page(html.render(report(scenario("x", check("a"), timeline=[began, last]))))
    assert [text.strip() for _, text in page.find("tr") if "pid 7" in text] == ["1.000 sno endprocessnodepid 7"]


def test_a_label_for_which_there_is_no_room_beside_its_bar_stands_over_it() -> None:
    chart = draw([{"at": 0.0, "until": 1.0, "lane": "client", "what": "start", "detail": "", "ok": True}])
    assert chart is not None
    ((mark,),) = (lane.marks for lane in chart.lanes)
    assert (mark.label, mark.label_left, mark.label_before) == ("✓ start", 0.0, False)


@pytest.mark.parametrize("seconds", [0.0, 0.0004, 0.412, 1.0, 7.3, 95.0])
def test_a_time_line_has_few_round_moments(seconds: float) -> None:
    chart = draw([{"at": seconds, "lane": "log", "what": "x", "detail": ""}])
    assert chart is not None
    assert 2 <= len(chart.ticks) <= 6
    assert all(0 <= left <= 100.001 for left, _ in chart.ticks)
