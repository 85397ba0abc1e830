"""Puts tables into ``docs/performance.md``, each between two comments that name it.

Invariant: nothing outside the comments is touched, and a page that lacks them is an error, not a page without a table.
"""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def put(name: str, text: str, page: Path = PAGE) -> None:
    """Write a text in place of what stands between the comments of that name (ValueError when there are none)."""
    before, _old, after = _parts(name, page)
    page.write_text(f"{before}\n\n{text.strip()}\n\n{after}")


def text_of(name: str, page: Path = PAGE) -> str:
    """Give what stands between the comments of that name (ValueError when there are none)."""
    return _parts(name, page)[1]


def _parts(name: str, page: Path) -> tuple[str, str, str]:
    """Give what comes before the text, its comment included, the text, and what comes after, its comment included."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    content = page.read_text()
    if content.count(begin) != 1 or content.count(end) != 1:
        raise ValueError(f"{page} has to have each of {begin} and {end} once")
    before, rest = content.split(begin)
    text, after = rest.split(end)
    return before + begin, text.strip(), end + after
