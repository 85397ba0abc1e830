"""Reports are read again, joined, and shown in other forms, by a command that needs nothing but their files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from report_samples import check, green, mixed, red, report, scenario

from pytest_ocap.report import html, markdown, stored, summary
from pytest_ocap.report.__main__ import DONE, FAILED, USAGE, main


def written(path: Path, data: object) -> str:
    path.write_text(json.dumps(data))
    return str(path)


def test_each_form_is_made_from_the_file_as_it_would_have_been_at_once(short_tmp: Path) -> None:
    source = written(short_tmp / "r.json", mixed())
    page, verdict, image = (str(short_tmp / "out" / name) for name in ("r.html", "v.md", "b.svg"))
    assert main([source, "--html", page, "--markdown", verdict, "--badge", image]) == DONE
    assert Path(page).read_text() == html.render(mixed())
    assert Path(verdict).read_text() == markdown.render(mixed())
    assert Path(image).read_text().startswith("<svg")


def test_shards_become_one_report(short_tmp: Path) -> None:
    first, second = report(*green()["scenarios"]), report(*red()["scenarios"])
    first["summary"], second["summary"] = {"passed": 3, "failed": 0}, {"passed": 0, "failed": 2}
    second["run"] |= {"started": "2026-11-24T08:44:40Z", "seconds": 10.0, "python": "3.13.1"}
    one, two = written(short_tmp / "1.json", first), written(short_tmp / "2.json", second)
    assert main([one, two, "--json", str(short_tmp / "whole.json")]) == DONE
    whole = json.loads((short_tmp / "whole.json").read_text())
    ids = [entry["id"] for entry in whole["scenarios"]]
    assert ids == sorted(entry["id"] for data in (first, second) for entry in data["scenarios"])
    assert whole["summary"] == {"passed": 3, "failed": 2}
    assert whole["run"] == first["run"] | {"seconds": 14.0, "python": "3.11.7, 3.13.1"}
    assert summary.outcome(whole) == "failed"


def test_one_report_stays_as_it_is(short_tmp: Path) -> None:
    source = written(short_tmp / "r.json", mixed())
    assert stored.merged({source: stored.read(source)}) == mixed()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"edition": "2027.1"}, "edition 2027.1 there, 2026.2 here"),
        ({"driver": {"name": "other", "version": "2"}}, "driver other 2 there, my-kernel 1.4.2 here"),
        ({"pinned": "2026.1"}, "pinned 2026.1 there, None here"),
    ],
)
def test_reports_that_do_not_belong_together_are_refused(
    short_tmp: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], told: str
) -> None:
    one, two = written(short_tmp / "1.json", green()), written(short_tmp / "2.json", green() | change)
    assert main([one, two, "--markdown", str(short_tmp / "v.md")]) == USAGE
    assert f"{two} and {one} do not belong together: {told}" in capsys.readouterr().err
    assert not (short_tmp / "v.md").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "r.json: Expecting"),
        ("[]", "r.json: no report that --ocap-report wrote"),
        ('{"schema": 2}', "r.json: a report of schema 2; this release knows 1"),
        ('{"schema": 1, "driver": {"name": "k", "version": "1"}, "scenarios": [{}]}', "r.json: no report that"),
        ('{"schema": 1, "driver": {"name": "k", "version": "1"}, "scenarios": 3}', "r.json: no report that"),
    ],
)
def test_what_is_no_report_is_refused_by_name(
    short_tmp: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    (short_tmp / "r.json").write_text(text)
    assert main([str(short_tmp / "r.json"), "--markdown", str(short_tmp / "v.md")]) == USAGE
    assert told in capsys.readouterr().err


def test_wrong_usage_is_told(short_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written(short_tmp / "r.json", green())
    assert main([source]) == USAGE
    assert main([source, "--badge", str(short_tmp / "b.png")]) == USAGE
    assert main([str(short_tmp / "none.json"), "--markdown", str(short_tmp / "v.md")]) == USAGE
    assert main([source, source, "--markdown", str(short_tmp / "v.md")]) == USAGE
    said = capsys.readouterr().err
    assert "nothing to write" in said
    assert "r.json is given twice" in said
    assert "b.png ends in none of: .svg, .json" in said
    assert "none.json" in said


def test_a_file_that_cannot_be_written_after_all_is_told(short_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written(short_tmp / "r.json", green())
    long = str(short_tmp / ("x" * 300 + ".md"))
    assert main([source, "--markdown", long, "--html", str(short_tmp / "r.html")]) == FAILED
    assert "cannot be written: File name too long" in capsys.readouterr().err
    assert (short_tmp / "r.html").exists()


def test_the_command_needs_no_pytest(short_tmp: Path) -> None:
    source = written(short_tmp / "r.json", report(scenario("x", check("boots"))))
    script = (
        "import runpy, sys\nsys.argv[0] = 'report'\n"
        "try:\n    runpy.run_module('pytest_ocap.report', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "assert not {'pytest', '_pytest', 'kernel', 'psutil'} & set(sys.modules), sorted(sys.modules)\n"
    )
    page = str(short_tmp / "r.html")
    subprocess.run([sys.executable, "-c", script, source, "--html", page], check=True, timeout=60)
    assert "passed the only scenario" in Path(page).read_text()
