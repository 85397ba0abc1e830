"""The picture of a sweep in a real browser: whole at every size, led through by keyboard and pointer, heard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sweep_samples
from report_samples import check, report, scenario

from pytest_ocap.report.picture import WORSTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator

    from tests.browser.conftest import Shown

pytestmark = pytest.mark.browser

SIZES = {"telephone": (360, 740), "tablet": (820, 1180), "desk": (1440, 900)}


def wide() -> dict[str, Any]:
    """Give a sweep with many faults, long words without a space, and as many paths as there can be."""
    word = "x" * 300
    found = [
        sweep_samples.trial(f"session:call-{number}:{word[:40]}{number}#1", f"E{fault}", "failed", number / 50)
        for number in range(40)
        for fault in range(15)
    ]
    cases = [f"{entry['point']}={entry['fault']}" for entry in found]
    cause = sweep_samples.failure(word, word, *cases, detail=word, requires=word, directory=f"/{word}")
    return sweep_samples.sweep(*found, failures=[cause], notes=[word], searched=[word, word], does=word)


def everything() -> dict[str, Any]:
    return report(
        scenario("x", check("boots")),
        sweeps=[sweep_samples.green(workload="start"), sweep_samples.red(), sweep_samples.mixed(workload="restore")],
    )


SAMPLES: dict[str, Callable[[], dict[str, Any]]] = {
    "green": lambda: report(sweeps=[sweep_samples.green()]),
    "everything": everything,
    "wide": lambda: report(sweeps=[wide()]),
}


def picture_of(shown: Shown, workload: str) -> Locator:
    """Give the picture of a sweep, which is opened where it is not."""
    sweep = shown.page.locator("article.sweep", has=shown.page.get_by_role("heading", name=workload, exact=True))
    sweep.evaluate("sweep => { sweep.querySelector('details').open = true; }")
    return sweep.locator(".picture")


def marks_of(picture: Locator) -> list[tuple[float, str]]:
    """Give where the marks of a picture are, in pixels from the left, and what they say, as the workload goes."""
    found = picture.locator(".points use").evaluate_all(
        "marks => marks.map(mark => [mark.getBoundingClientRect().left, mark.textContent])"
    )
    return sorted((left, words) for left, words in found)


@pytest.mark.parametrize("sample", SAMPLES)
def test_it_fits_every_size_asks_for_nothing_and_has_nothing_to_complain_of(
    show: Callable[..., Shown], sample: str
) -> None:
    shown = show(SAMPLES[sample]())
    shown.open_all()
    for size, (width, height) in SIZES.items():
        shown.page.set_viewport_size({"width": width, "height": height})
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= width, size
        for box in shown.page.locator(".picture").all():
            place = box.bounding_box()
            assert place is not None
            assert place["x"] >= 0
            assert place["x"] + place["width"] <= width
    assert shown.said == []
    assert [url for url in shown.asked if not url.startswith("data:")] == [shown.page.url]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_those_who_hear_it_and_those_who_see_little_can_read_it(show: Callable[..., Shown], scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    shown = show(everything(), SIZES["telephone"], color_scheme=scheme)
    shown.open_all()
    shown.page.locator(".picture").first.focus()
    found = axe.run(shown.page).response
    looked_at = {rule["id"] for rule in found["passes"]}
    assert looked_at >= {"color-contrast", "svg-img-alt", "scrollable-region-focusable", "region"}
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_verdict_has_a_shape_of_its_own_and_a_colour_that_stands_out(
    show: Callable[..., Shown], scheme: str
) -> None:
    picture = picture_of(show(everything(), color_scheme=scheme), "restore")
    drawn = picture.locator(".points").evaluate_all(
        """groups => groups.map(group => {
            const shape = document.querySelector(group.querySelector('use').getAttribute('href'));
            const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
            const light = colour => {
                canvas.fillStyle = colour;
                canvas.fillRect(0, 0, 1, 1);
                const [red, green, blue] = [...canvas.getImageData(0, 0, 1, 1).data].map(part => {
                    const share = part / 255;
                    return share <= .03928 ? share / 12.92 : ((share + .055) / 1.055) ** 2.4;
                });
                return .2126 * red + .7152 * green + .0722 * blue;
            };
            const pair = [getComputedStyle(group).stroke,
                          getComputedStyle(group.closest('svg')).backgroundColor].map(light).sort((a, b) => b - a);
            return [group.classList[1], shape.outerHTML, (pair[0] + .05) / (pair[1] + .05)];
        })"""
    )
    assert {name for name, _, _ in drawn} == set(WORSTS)
    assert len({shape.replace(name, "") for name, shape, _ in drawn}) == len(WORSTS)
    assert {name: contrast for name, _, contrast in drawn if contrast < 3} == {}, "WCAG 1.4.11"


def test_marks_stand_in_the_order_of_the_workload_within_their_step(show: Callable[..., Shown]) -> None:
    shown = show(report(sweeps=[sweep_samples.mixed()]))
    picture = picture_of(shown, "session")
    marks = marks_of(picture)
    order = [place["point"].partition(":")[2] for place in shown.data["sweeps"][0]["places"]]
    assert [words.split(" ")[0].removesuffix(":") for _, words in marks] == order
    launch = picture.locator(".step", has_text="launch").locator("rect").bounding_box()
    assert launch is not None
    ((left, _),) = [mark for mark in marks if mark[1].startswith("open:tmp*#2")]
    assert launch["x"] < left + 4 < launch["x"] + launch["width"]


def test_arrow_keys_lead_through_the_points_and_enter_to_the_row(show: Callable[..., Shown]) -> None:
    shown = show(report(sweeps=[sweep_samples.mixed()]))
    page, picture = shown.page, picture_of(shown, "session")
    told = page.locator("output.told")
    assert told.inner_text().startswith("Point at a mark, or go through them with the arrow keys")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.picture')"):
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    words = [said for _, said in marks_of(picture)]
    heard = [told.inner_text()]
    for _ in range(len(words)):
        page.keyboard.press("ArrowRight")
        heard.append(told.inner_text())
    assert heard == [*words, words[-1]], "each once, and no further than the last"
    assert told.get_attribute("aria-live") == "polite"
    page.keyboard.press("Home")
    assert told.inner_text() == words[0]
    while not told.inner_text().startswith("bind:.#1"):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    row = page.locator("tr:target")
    assert row.get_attribute("data-point") == "session:bind:.#1"
    assert "the harness broke hang (harness)" in row.inner_text().replace("\xa0", " ")
    assert shown.said == []


def test_who_points_at_a_mark_or_taps_it_is_told_what_it_is(show: Callable[..., Shown]) -> None:
    shown = show(report(sweeps=[sweep_samples.red()]), SIZES["telephone"], has_touch=True)
    picture, told = picture_of(shown, "session"), shown.page.locator("output.told")
    failed = picture.locator(".points.failed use").first
    failed.scroll_into_view_if_needed()
    place = failed.bounding_box()
    assert place is not None
    shown.page.mouse.move(place["x"] + place["width"] / 2 + 5, place["y"] + place["height"] / 2 + 5)
    assert told.inner_text() == failed.text_content()
    other = picture.locator(".points.passed use").first.bounding_box()
    assert other is not None
    shown.page.touchscreen.tap(other["x"] + 2, other["y"] + 2)
    assert told.inner_text() == picture.locator(".points.passed use").first.text_content()


def test_a_link_opens_the_sweep_that_it_leads_into(show: Callable[..., Shown]) -> None:
    page = show(report(sweeps=[sweep_samples.red(), sweep_samples.mixed(workload="restore")])).page
    row = page.locator("#sweep-2-point-1")
    assert not row.is_visible()
    page.evaluate("location.hash = 'sweep-2-point-1'")
    row.wait_for(state="visible")


def test_the_command_that_replays_is_selected_whole_by_a_click(show: Callable[..., Shown]) -> None:
    page = show(report(sweeps=[sweep_samples.red()])).page
    command = page.locator("pre.words").first
    command.click(position={"x": 40, "y": 20})
    assert page.evaluate("getSelection().toString().trim()") == command.inner_text().strip()
    assert "--ocap-point 'session:write:store.sqlite-wal#4=kill'" in command.inner_text()


def test_it_is_read_without_a_script(show: Callable[..., Shown]) -> None:
    shown = show(report(sweeps=[sweep_samples.mixed()]), java_script_enabled=False)
    page = shown.page
    assert page.get_by_text("Points at which something did not pass").is_visible()
    assert not page.get_by_text("arrow keys").is_visible()
    page.get_by_text("The picture as a table").click()
    assert page.locator(".lanes tbody tr").count() == 3
    assert shown.said == []


def test_a_large_sweep_is_little_work_for_a_browser_and_is_led_through(show: Callable[..., Shown]) -> None:
    shown = show(report(sweeps=[sweep_samples.large()]))
    page, picture = shown.page, picture_of(shown, "session")
    assert picture.locator(".points use").count() == 3000
    assert page.evaluate("document.querySelectorAll('*').length") < 10_000
    picture.focus()
    page.keyboard.press("End")
    assert page.locator("output.told").inner_text() == "rename:kernel.sqlite-shm#3000 at 0.550 s (stop): 8 passed"
    assert shown.said == []


def test_a_print_shows_the_picture_and_every_row(show: Callable[..., Shown]) -> None:
    page = show(report(sweeps=[sweep_samples.green(), sweep_samples.red(workload="start")])).page
    page.emulate_media(media="print")
    for picture in page.locator(".picture svg").all():
        place = picture.bounding_box()
        assert place is not None
        assert place["height"] > 0
    assert not page.locator("output.told").first.is_visible()
