"""The page shows of each sweep what failed and why, however large it was and whatever daemons say."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sweep_samples
from report_page import Page, words
from report_samples import HOSTILE, check, report, scenario
from sweep_samples import SAMPLES, failure, sweep, trial

from pytest_ocap.report import html, sweeps
from pytest_ocap.report.picture import CAUSES, by_call_and_fault, replay


@pytest.fixture(params=list(SAMPLES))
def data(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give each sample."""
    return SAMPLES[request.param]


def test_the_page_shows_each_sweep_with_its_verdict_counts_and_bound(data: dict[str, Any]) -> None:
    page = Page(html.render(report(sweeps=[data])))
    ((attrs, text),) = page.find("article", "sweep")
    said = words(text)
    assert attrs["data-verdict"] == data["verdict"]
    assert sweeps.counts_line(data) in said
    assert f"{data['bound']}." in said
    assert len(page.find("use")) == len(data["places"]) + len(page.find("svg", "shape"))
    for group in data["failures"]:
        assert group["check"] in said
        assert words(group["message"]) in said
        assert words(group["detail"]) in said
        assert f"{group['requires']}." in said
        assert replay(group["cases"][0]) in said
    assert not page.find("article", "run")
    assert "No scenario was run" not in html.render(report(sweeps=[data]))


@pytest.mark.parametrize(
    ("again", "told"),
    [(2, "2 cases, of which each failed again"), (1, "of which 1 failed again"), (0, "of which none failed again")],
)
def test_of_a_cause_it_is_told_how_often_it_came_again(again: int, told: str) -> None:
    bad = ("session:write:a#1=kill", "session:write:a#2=kill")
    cause = failure("recovers", "no", *bad, again=again)
    found = sweep(*(trial(name.partition("=")[0], "kill", "failed") for name in bad), failures=[cause])
    ((_, text),) = Page(html.render(report(sweeps=[found]))).find("li", "cause")
    assert told in words(text)


def test_what_broke_the_harness_was_not_tried_once_more() -> None:
    causes = [words(text) for _, text in Page(html.render(report(sweeps=[SAMPLES["mixed"]]))).find("li", "cause")]
    assert [" once more" in text for text in causes] == [True, False]


def test_each_point_that_did_not_pass_is_listed_with_its_faults_and_the_check() -> None:
    page = Page(html.render(report(sweeps=[SAMPLES["mixed"]])))
    rows = {str(attrs["data-point"]): words(text) for attrs, text in page.find("tr") if "data-point" in attrs}
    assert list(rows) == ["session:sync:a#1", "session:bind:.#1", "session:open:tmp*#2"]
    assert "failed kill (recovers) beside 1 passed" in rows["session:sync:a#1"]
    assert "the harness broke hang (harness)" in rows["session:bind:.#1"]
    assert rows["session:open:tmp*#2"].endswith("0.410 slaunch? not reached kill beside 1 passed")


def test_the_table_by_call_and_fault_counts_every_case_once(data: dict[str, Any]) -> None:
    table = by_call_and_fault(data)
    cells = [cell for row in table.rows.values() for cell in row.values()]
    assert sum(cell.total() for cell in cells) == data["tried"]
    assert sum(table.left.values()) == data["left"]
    for result, key in (("passed", "passed"), ("failed", "failed"), ("harness-broken", "harness_broken")):
        assert sum(cell[result] for cell in cells) == data[key]
    page = Page(html.render(report(sweeps=[data])))
    assert len(page.find("span", "count")) == sum(len(cell) for cell in cells) + 2 * bool(data["states"])


def test_states_of_the_disk_are_counted_by_what_was_lost_beside_how_far_they_were_searched() -> None:
    page = Page(html.render(report(sweeps=[SAMPLES["green"]])))
    ((_, table),) = page.find("table", "power")
    assert words(table) == "what was loststatesof them all lost3 3 passed torn3 3 passed"
    ((_, searched),) = page.find("p", "searched")
    assert "6 distinct crash states out of 40 losses (ext4-ordered, strict)" in searched


def test_of_many_recordings_each_is_told_how_far_it_was_searched() -> None:
    page = Page(html.render(report(sweeps=[sweep_samples.green(searched=["7 states", "8 states"])])))
    ((_, told),) = page.find("details", "searched")
    assert words(told).endswith("in each of 2 recordings of session 7 states 8 states")


def test_red_sweeps_come_first_and_the_first_of_them_is_open() -> None:
    page = Page(html.render(report(sweeps=[SAMPLES["green"], SAMPLES["red"], SAMPLES["mixed"]])))
    assert [attrs["data-verdict"] for attrs, _ in page.find("article", "sweep")] == ["failed", "failed", "passed"]
    opened = ["open" in attrs for tag, attrs, _ in page.elements if tag == "details"]
    assert opened[0] is True
    assert sum(opened) == 1


def test_what_daemons_and_paths_say_makes_no_element_and_ids_are_unique() -> None:
    point = "session:write:%3Cimg src=x%3E#1"
    hostile = sweep(
        trial(point, "kill", "failed") | {"path": HOSTILE, "kind": HOSTILE},
        failures=[failure(HOSTILE, HOSTILE, f"{point}=kill", HOSTILE, directory=f"/tmp/{HOSTILE}", least=HOSTILE)],
        notes=[HOSTILE], searched=[HOSTILE], does=HOSTILE, workload=HOSTILE,
    )  # fmt: skip
    text = html.render(report(sweeps=[hostile, hostile]))
    page = Page(text)
    assert not page.find("img")
    assert len(page.find("script")) == 2
    assert "\x1b" not in text
    ids = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs, _ in page.elements:
        target = attrs.get("href") or ""
        assert not target.startswith("#") or target[1:] in ids
        labels = [attrs.get(key) or "" for key in ("aria-labelledby", "aria-describedby")]
        assert set(" ".join(labels).split()) <= set(ids)


def test_a_page_without_sweeps_has_nothing_of_them() -> None:
    text = html.render(report(scenario("x", check("boots"))))
    assert "sweep" not in text.partition("<footer>")[0].lower()


def test_a_large_sweep_makes_a_page_of_less_than_two_megabytes_that_lists_what_did_not_pass() -> None:
    big = sweep_samples.large()
    assert (len(big["places"]), big["cases"]) == (3000, 25_000)
    text = html.render(report(sweeps=[big]))
    assert len(text.encode()) < 2_000_000
    page = Page(text)
    troubled = {entry["point"] for entry in big["trials"] if entry["result"] != "passed"}
    assert {attrs["data-point"] for attrs, _ in page.find("tr") if "data-point" in attrs} == troubled
    assert f"… and {250 - CAUSES} more, which the JSON report names" in text
    ((_, embedded),) = [pair for pair in page.find("script") if pair[0].get("id") == "ocap-report"]
    (kept,) = json.loads(embedded)["sweeps"]
    assert [entry for entry in big["trials"] if entry["result"] != "passed"] == kept["trials"]
    assert kept == big | {"trials": kept["trials"]}


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("start:write:a#1=kill-after", "kill"),
        ("start:write:a#1=hang", "hang"),
        ("start:write:a#1=EIO+", "errno"),
        ("start:write:a#1=short", "errno"),
        ("start:write:a#1=slow=0.5", "slow"),
        ("start:write:a#1=powerloss~torn~0a1b", "powerloss"),
    ],
)
def test_a_failure_is_replayed_with_its_kind_of_fault(case: str, kind: str) -> None:
    assert replay(case) == f"pytest --pyargs pytest_ocap.sweeps --ocap-sweep {kind} --ocap-point '{case}'"
