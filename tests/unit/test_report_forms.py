"""The badge, the paragraph in Markdown, and the words that every form of the report has in common."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from report_samples import HOSTILE, check, green, mixed, red, report, scenario

from pytest_ocap.report import badge, files, markdown, outputs, summary, transport
from pytest_ocap.report.visible import encodable, visible
from pytest_ocap.verdict import Check, Declared, Finding, Verdict


def test_where_a_scenario_stands_heeds_what_was_declared_and_its_edition() -> None:
    stands = {entry["id"]: summary.standing(entry) for entry in mixed()["scenarios"]}
    assert stands == {
        "bundle_fetch_error[fifo]": "unsupported",
        "crashed_init[hang-log]": "harness-broken",
        "crashed_init[kill-restore]": "not-measured",
        "degraded_boot": "passed",
        "legible_fatal[store-newer]": "declared",
        "missing_bundle[delete]": "failed",
        "slow_init": "new",
        "stale_socket[dead]": "mended",
    }


def test_a_failure_beside_a_declared_one_is_a_failure() -> None:
    declared = {"checks": {"ping": "known"}, "mended": []}
    broken = scenario("x", check("boots", "failed"), check("ping", "failed"), declared=declared)
    assert summary.standing(broken) == "failed"


def test_what_is_mended_in_a_scenario_that_does_not_count_yet_fails_no_report() -> None:
    declared = {"checks": {"ping": "known"}, "mended": ["ping"]}
    ahead = report(scenario("x", check("ping"), declared=declared, new=True, red=False, edition="2026.2"))
    assert (summary.standing(ahead["scenarios"][0]), summary.outcome(ahead)) == ("passed", "passed")


@pytest.mark.parametrize(
    ("data", "outcome", "sentence"),
    [
        (green(), "passed", "my-kernel 1.4.2 passed all 3 scenarios of edition 2026.2."),
        (red(), "failed", "my-kernel 1.4.2 passed 0 of 2 scenarios of edition 2026.2: 2 failed."),
        (report(), "nothing measured", "No scenario of edition 2026.2 was run on my-kernel 1.4.2."),
        (
            report(scenario("x", check("capability", "unsupported"))),
            "nothing measured",
            "my-kernel 1.4.2 passed 0 of 1 scenario of edition 2026.2: 1 unsupported.",
        ),
    ],
    ids=["green", "red", "empty", "unsupported"],
)
def test_the_verdict_of_a_run_is_one_sentence(data: dict[str, Any], outcome: str, sentence: str) -> None:
    assert (summary.outcome(data), summary.sentence(data)) == (outcome, sentence)


def test_the_sentence_counts_every_kind_and_names_the_edition_that_counts() -> None:
    assert summary.sentence(mixed()) == (
        "my-kernel 1.4.2 passed 1 of 8 scenarios of edition 2026.1: 1 failed, 1 not judged as the harness broke, "
        "1 not measured, 1 passed though declared as failing, 1 of a newer edition not passed, "
        "1 failed as declared, 1 unsupported."
    )


def test_what_is_hidden_is_shown() -> None:
    assert visible("a\tb\n\x1b[0m\x00\x7f\u202e\udcff\u2028ü") == "a\tb\n\\x1b[0m\\x00\\x7f\\u202e\\udcff\\u2028ü"
    assert visible("a\tb\n", lines=False) == "a\\x09b\\x0a"


def test_data_whose_texts_cannot_be_encoded_can_be_when_they_are_escaped() -> None:
    data = {"\udcff": ["a\ud800ü\x00", 1, None, {"b": 0.5, "c": ("\udc80",)}]}
    assert encodable(data) == {"\\udcff": ["a\\ud800ü\x00", 1, None, {"b": 0.5, "c": ["\\udc80"]}]}


def test_markdown_is_one_paragraph_and_the_failures() -> None:
    assert markdown.render(green()) == (
        "✅ **ocap: passed.** my-kernel 1.4.2 passed all 3 scenarios of edition 2026.2.\n"
    )
    lines = markdown.render(mixed()).splitlines()
    assert lines[0].startswith(
        "❌ **ocap: failed.** my-kernel 1.4.2 passed 1 of 8 scenarios of edition 2026.1: 1 failed"
    )
    assert lines[1] == ""
    assert [line.partition(":")[0] for line in lines[2:]] == [
        "- `crashed_init[hang-log]`",
        "- `crashed_init[kill-restore]`",
        "- `missing_bundle[delete]`",
        "- `stale_socket[dead]`",
    ]


def test_markdown_stays_short_and_says_how_many_more_there_are() -> None:
    many = report(*(scenario(f"x[{number:02}]", check("boots", "failed", "y" * 1000)) for number in range(30)))
    text = markdown.render(many)
    assert "- … and 20 more" in text
    assert len(text) < 4000


def test_what_daemons_wrote_is_no_markup() -> None:
    hostile = report(scenario(f"x[`{HOSTILE}]", check("a``b", "failed", f"{HOSTILE}\n# head @someone #12 www.x.y")))
    hostile["driver"]["name"] = "[x](javascript:alert)"
    text = markdown.render(hostile)
    tokens = [token for block in MarkdownIt("commonmark").parse(text) for token in (block, *(block.children or ()))]
    kinds = {token.type for token in tokens}
    assert kinds & {"html_inline", "html_block", "link_open", "image", "heading_open", "em_open"} == set()
    codes = [token.content for token in tokens if token.type == "code_inline"]
    detail = " ".join(f"{HOSTILE} # head @someone #12 www.x.y".split())
    assert codes == [visible(part, lines=False) for part in (f"x[`{HOSTILE}]", "a``b", detail)]
    assert "[x](javascript:\u200balert)" in "".join(token.content for token in tokens if token.type == "text")


@pytest.mark.parametrize("data", [green(), red(), mixed(), report()], ids=["green", "red", "mixed", "empty"])
def test_the_badge_says_in_words_what_its_colour_says(data: dict[str, Any]) -> None:
    image = ET.fromstring(badge.render(data, ".svg"))
    endpoint = json.loads(badge.render(data, ".json"))
    assert image.get("aria-label") == f"{endpoint['label']}: {endpoint['message']}"
    texts = [element.text for element in image.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [endpoint["label"], endpoint["message"]]
    (message,) = image.iter("{http://www.w3.org/2000/svg}path")
    assert message.get("fill") == f"#{endpoint['color']}"
    assert endpoint["schemaVersion"] == 1
    assert endpoint["isError"] is (summary.outcome(data) == "failed")


def test_the_badge_counts() -> None:
    said = [json.loads(badge.render(data, ".json"))["message"] for data in (green(), red(), mixed(), report())]
    assert said == ["3 passed", "2 of 2 failed", "4 of 8 failed", "nothing measured"]
    known = report(
        scenario("x", check("a")),
        scenario("y", check("b", "failed"), declared={"checks": {"b": "known"}, "mended": []}, red=False),
    )
    assert json.loads(badge.render(known, ".json"))["message"] == "1 passed, 1 known failure"


def test_a_badge_with_hostile_text_is_still_an_image() -> None:
    hostile = report(edition=HOSTILE)
    image = ET.fromstring(badge.render(hostile, ".svg"))
    assert image.get("aria-label") == f"ocap {visible(HOSTILE, lines=False)}: nothing measured"


def test_junit_is_told_what_was_declared_and_that_it_fails_no_run() -> None:
    found = (Check("one", Finding.FAILED, "broken"), Check("two", Finding.PASSED, ""))
    verdict = Verdict("x[y]", Finding.FAILED, 0.25, found, "2026.1", declared=Declared({"one": "upstream issue 12"}))
    assert transport.properties(verdict) == [
        ("ocap_scenario", "x[y]"),
        ("ocap_verdict", "failed"),
        ("ocap_edition", "2026.1"),
        ("ocap_seconds", "0.250"),
        ("ocap_broken_checks", "one (failed)"),
        ("ocap_declared_checks", "one (upstream issue 12)"),
        ("ocap_red", "false"),
    ]


def test_a_file_is_replaced_whole_or_not_at_all(short_tmp: Path) -> None:
    path = short_tmp / "deep" / "down" / "r.txt"
    files.replace(str(path), "one")
    files.replace(str(path), "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    (short_tmp / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        files.replace(str(short_tmp / "taken"), "three")
    assert sorted(entry.name for entry in short_tmp.rglob("*")) == ["deep", "down", "r.txt", "taken"]


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(short_tmp: Path) -> None:
    (short_tmp / "kept").mkdir()
    (short_tmp / "r.json").symlink_to("kept/r.json")
    files.replace(str(short_tmp / "r.json"), "{}")
    assert (short_tmp / "r.json").is_symlink()
    assert (short_tmp / "kept" / "r.json").read_text() == "{}"
    assert list((short_tmp / "kept").iterdir()) == [short_tmp / "kept" / "r.json"]


def test_what_stands_in_the_way_is_told_before_it_is_tried(short_tmp: Path) -> None:
    (short_tmp / "file").write_text("")
    assert files.obstacle(str(short_tmp / "a" / "b" / "r.json")) is None
    assert files.obstacle(str(short_tmp)) == f"{short_tmp} is a directory"
    os.mkfifo(short_tmp / "fifo")
    for special in (short_tmp / "fifo", "/dev/null"):
        assert files.obstacle(str(special)) == f"{special} is not a regular file"
    assert files.obstacle(str(short_tmp / "file" / "r.json")) == f"{short_tmp / 'file'} is not a directory"
    assert files.obstacle(str(short_tmp / "file" / "a" / "r.json")) == f"{short_tmp / 'file'} is not a directory"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as somebody else")
def test_a_directory_that_is_somebody_elses_is_told_before_it_is_tried(short_tmp: Path) -> None:
    short_tmp.chmod(0o755)
    os.setresuid(65534, 0, 0)
    try:
        found = files.obstacle(str(short_tmp / "r.json"))
    finally:
        os.setresuid(0, 0, 0)
    assert found == f"{short_tmp} cannot be written to"


def test_two_forms_in_one_file_and_a_wrong_ending_are_told(short_tmp: Path) -> None:
    forms = {output.name: output for output in outputs.OUTPUTS}
    same, image = str(short_tmp / "r.json"), str(short_tmp / "r.png")
    assert outputs.problems({forms["report"]: same, forms["badge"]: same}) == [f"badge: {same} is also that of report"]
    assert outputs.problems({forms["badge"]: image}) == [f"badge: {image} ends in none of: .svg, .json"]
    assert outputs.problems({forms["report"]: same}) == []


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
