"""The report's page in a real browser: whole at every size, reached by keyboard, heard, filtered, and harmless."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from report_samples import HOSTILE, check, evidence, green, mixed, red, report, scenario, timeline

from pytest_ocap.report import summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.conftest import Shown

pytestmark = pytest.mark.browser

SIZES = {"telephone": (360, 740), "tablet": (820, 1180), "desk": (1440, 900)}


def wide() -> dict[str, Any]:
    """Give a report with many variants, long words, and a crowded time line."""
    word = "x" * 300
    crowd = [{"at": number / 50, "lane": "log", "what": f"event-{number}", "detail": word} for number in range(60)]
    runs = [
        scenario(f"wide[variant-{number}]", *(check(f"check-{row}", detail=word) for row in range(12)), timeline=crowd)
        for number in range(14)
    ]
    broken = check(word, "failed", word, evidence(word))
    return report(*runs, scenario(f"long[{word}]", broken, nodeid=word, timeline=timeline(word)))


SAMPLES: dict[str, Callable[[], dict[str, Any]]] = {"green": green, "red": red, "mixed": mixed, "wide": wide}


@pytest.mark.parametrize("sample", SAMPLES)
def test_it_fits_every_size_asks_for_nothing_and_has_nothing_to_complain_of(
    show: Callable[..., Shown], sample: str
) -> None:
    shown = show(SAMPLES[sample]())
    for step in ("as it opens", "with everything open"):
        for size, (width, height) in SIZES.items():
            shown.page.set_viewport_size({"width": width, "height": height})
            taken = shown.page.evaluate("document.documentElement.scrollWidth")
            assert taken <= width, f"{size}, {step}"
        shown.open_all()
    assert shown.said == []
    assert [url for url in shown.asked if not url.startswith("data:")] == [shown.page.url]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_those_who_hear_it_and_those_who_see_little_can_read_it(show: Callable[..., Shown], scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    shown = show(mixed(), SIZES["tablet"], color_scheme=scheme)
    shown.open_all()
    found = axe.run(shown.page).response
    looked_at = {rule["id"] for rule in found["passes"]}
    assert looked_at >= {"color-contrast", "th-has-data-cells", "region", "landmark-one-main"}
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]] == []


def test_the_page_counts_as_the_report_does(show: Callable[..., Shown]) -> None:
    shown = show(mixed())
    page, data = shown.page, shown.data
    embedded = json.loads(page.locator("#ocap-report").text_content() or "")
    assert embedded == data
    assert page.locator("article.run").count() == len(data["scenarios"])
    assert page.locator("li.check").count() == sum(len(entry["checks"]) for entry in data["scenarios"])
    cells = page.locator("td.cell:has(.mark)").count()
    assert cells == sum(1 + len(entry["checks"]) for entry in data["scenarios"])
    numbers = dict(
        zip(
            page.locator("#filter .mark").all_inner_texts(),
            page.locator("#filter .number").all_inner_texts(),
            strict=True,
        )
    )
    counts = summary.counted(data)
    assert {mark.split()[-1]: int(number) for mark, number in numbers.items()} == dict(counts)
    assert page.locator(".banner").inner_text().split("\n")[-1] == summary.sentence(data)


def test_the_filter_shows_the_runs_that_were_asked_for(show: Callable[..., Shown]) -> None:
    shown = show(mixed())
    page = shown.page
    everything = shown.visible_runs()
    assert len(everything) == len(shown.data["scenarios"])

    page.get_by_role("checkbox", name="failed").uncheck()
    assert set(everything) - set(shown.visible_runs()) == {"missing_bundle[delete]"}
    assert page.locator("h3:visible", has_text="missing_bundle").count() == 0
    page.get_by_role("checkbox", name="failed").check()

    page.get_by_role("searchbox", name="Text").fill("KILL restore")
    assert shown.visible_runs() == ["crashed_init[kill-restore]"]
    headings = page.locator("thead th:visible").all_inner_texts()
    assert headings == ["check", "kill-restore"]
    assert page.locator("#shown").inner_text() == "1 of 8 runs shown"

    page.get_by_role("searchbox", name="Text").fill("no such words")
    assert shown.visible_runs() == []
    assert page.get_by_text("No run matches the filter.").is_visible()
    page.get_by_role("searchbox", name="Text").fill("")
    assert shown.visible_runs() == everything


def test_the_filter_reads_the_evidence_of_runs_that_are_closed(show: Callable[..., Shown]) -> None:
    shown = show(mixed())
    shown.page.get_by_role("button", name="Close all").click()
    shown.page.get_by_role("searchbox", name="Text").fill("kernel.sqlite undefined")
    assert shown.visible_runs() == ["legible_fatal[store-newer]"]
    shown.page.get_by_role("button", name="Open all").click()
    assert shown.page.get_by_text("upstream issue 12").is_visible()


def test_everything_is_reached_by_keyboard(show: Callable[..., Shown]) -> None:
    page = show(mixed()).page
    focus = "(document.activeElement.textContent || document.activeElement.name || '').trim()"
    page.keyboard.press("Tab")
    assert page.evaluate(focus) == "Skip to the runs"
    reached = []
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.tagName + ' ' + (document.activeElement.value || '')"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"the focus is not seen on {reached[-1]}"
        if page.evaluate("document.activeElement.matches('#run-1 > details > summary')"):
            break
    assert {"INPUT failed", "INPUT passed", "BUTTON "} <= set(reached)
    opened = "document.querySelector('#run-1 > details').open"
    assert page.evaluate(opened) is False
    page.keyboard.press("Enter")
    assert page.evaluate(opened) is True

    page.get_by_role("checkbox", name="passed").focus()
    page.keyboard.press("Space")
    assert not page.get_by_role("checkbox", name="passed").is_checked()


def test_a_cell_leads_to_its_check_and_opens_the_run(show: Callable[..., Shown]) -> None:
    page = show(mixed()).page
    detail = page.locator("#run-5 li.check pre.detail")
    assert not detail.is_visible()
    page.locator("td[data-run=run-5] a").click()
    detail.wait_for(state="visible")
    assert detail.inner_text() == "undefined"


def test_it_is_read_without_a_script(show: Callable[..., Shown]) -> None:
    shown = show(mixed(), java_script_enabled=False)
    page = shown.page
    assert not page.locator("#filter").is_visible()
    assert page.locator(".tally").is_visible()
    assert len(shown.visible_runs()) == len(shown.data["scenarios"])
    page.locator("#run-5 > details > summary").click()
    assert page.get_by_text("upstream issue 12").is_visible()
    assert shown.said == []


def test_colours_follow_the_reader_and_the_switch(show: Callable[..., Shown]) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page = show(green(), color_scheme="light").page
    light = page.evaluate(ground)
    page.get_by_role("radio", name="Dark").check()
    dark = page.evaluate(ground)
    assert dark != light
    assert show(green(), color_scheme="dark").page.evaluate(ground) == dark


def test_what_a_daemon_wrote_does_nothing_and_is_read_as_it_was_written(show: Callable[..., Shown]) -> None:
    shown = show(red())
    shown.open_all()
    assert shown.page.locator("main pre", has_text="<script>alert(1)</script>").first.is_visible()
    assert shown.page.locator("main img, main script").count() == 0
    assert shown.said == []


def test_even_a_script_that_got_in_would_not_run(show: Callable[..., Shown]) -> None:
    shown = show(report(scenario("x", check("a", "failed", HOSTILE))))
    shown.page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<b onclick=\"window.harmed = 1\" id=bad>x</b>')"
    )
    shown.page.locator("#bad").click()
    assert shown.page.evaluate("window.harmed") is None
    assert any("Content Security Policy" in text for text in shown.said)


def test_a_print_shows_what_is_closed_on_the_screen(show: Callable[..., Shown]) -> None:
    page = show(mixed()).page
    page.emulate_media(media="print")
    height = page.locator("#run-5 pre.detail").bounding_box()
    assert height is not None
    assert height["height"] > 0
    assert not page.locator("#filter").is_visible()
