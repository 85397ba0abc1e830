"""Reads a report's page as a program does, and compares it with the data that it was made from."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

from pytest_ocap.report import summary
from pytest_ocap.report.visible import visible

VOID = {"meta", "link", "input", "br", "wbr", "hr", "img"}


class Page(HTMLParser):
    """The elements of a page: each with its attributes and all text in it; wrong nesting fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = (tag, dict(attrs), list[str]())
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, _, texts in self._open:
            texts.append(data)

    def find(self, tag: str, kind: str = "") -> list[tuple[dict[str, str | None], str]]:
        return [
            (attrs, "".join(texts))
            for name, attrs, texts in self.elements
            if name == tag and (not kind or kind in (attrs.get("class") or "").split())
        ]


def words(text: str) -> str:
    return " ".join(text.split())


def assert_same(text: str, data: dict[str, Any]) -> None:
    """Insist that a page says what the report says: no run, check or piece of evidence more or less."""
    page = Page(text)
    (embedded,) = [said for attrs, said in page.find("script") if attrs.get("id") == "ocap-report"]
    assert json.loads(embedded) == data
    runs = {str(attrs["id"]): (attrs, said) for attrs, said in page.find("article", "run")}
    checks = {str(attrs["id"]): said for attrs, said in page.find("li", "check")}
    assert len(runs) == len(page.find("article", "run")) == len(data["scenarios"])
    assert len(checks) == len(page.find("li", "check")) == sum(len(entry["checks"]) for entry in data["scenarios"])
    assert len(page.find("g", "event")) == sum(len(entry["timeline"]) for entry in data["scenarios"])
    for number, entry in enumerate(data["scenarios"], 1):
        attrs, run = runs[f"run-{number}"]
        assert attrs["data-standing"] == summary.standing(entry)
        assert f"{entry['seconds']:.2f} s" in run
        for event in entry["timeline"]:
            _missing(run, event["lane"], event["what"], event["detail"], f"{event['at']:.3f} s")
        declared = entry["declared"] or {"checks": {}}
        _missing(run, entry["id"], entry["nodeid"], *declared["checks"], *declared["checks"].values())
        for place, made in enumerate(entry["checks"]):
            check = checks[f"run-{number}-check-{place}"]
            assert made["verdict"] in words(check)
            _missing(check, made["id"], made["detail"])
            if made["evidence"] is not None:
                _compare(check, made["evidence"])


def _compare(check: str, evidence: dict[str, Any]) -> None:
    _missing(check, evidence["expected"], *evidence["log"], *evidence.get("cut", ()))
    for call in evidence["client"]:
        _missing(check, call["verb"], call["text"], call.get("asked", ""), f"after {call['seconds']:.3f} s")
        _missing(check, "" if call["status"] is None else f"exit status {call['status']}", call["code"] or "")
    for process in evidence["processes"]:
        _missing(check, *(str(process[key]) for key in ("pid", "ppid", "name", "command", "state", "role")))
        _missing(check, f"{process['age']:.2f} s")
    for file in evidence["files"]:
        _missing(check, file["path"], file["kind"], str(file["bytes"]), file["mode"], file.get("target", ""))
        _missing(check, *(f"pid {pid}" for pid in file["locked_by"]))


def _missing(text: str, *wanted: str) -> None:
    assert [part for part in wanted if visible(part) not in text] == []
