"""Write the tables of the documentation from the code that they describe.

Each page has places of the form ``<!-- generated: NAME -->`` ... ``<!-- end of NAME -->``; what stands between is
replaced.  ``python -m docs.generate`` rewrites the pages, ``python -m docs.generate --check`` only compares and fails
with the difference; CI does the latter.

This script knows where each table comes from, and nothing of what the words around it say.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DOCS = Path(__file__).parent
_PLACE = re.compile(
    r"(?P<open><!-- generated: (?P<name>[a-z-]+) -->\n)(?P<body>.*?)(?P<close><!-- end of (?P=name) -->)", re.DOTALL
)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Make a Markdown table; bars in cells are escaped."""
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("|" + "---|" * lines[0].count(" | ") + "---|")
    lines += ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def first_sentence(text: str | None) -> str:
    """Take the first paragraph of a docstring, on one line."""
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())


def error_codes() -> str:
    """Every error of the kernel: its code, class, exit status and what it says when nothing more is known."""
    from kernel.errors import OcapError

    kinds = sorted(OcapError.by_code.items())
    return table(
        ("code", "class", "exit status of `ocap`", "meaning"),
        (
            (f"`{code}`", f"`{kind.__name__}`", str(kind.exit_code), first_sentence(kind.__doc__))
            for code, kind in kinds
        ),
    )


TABLES: dict[str, Callable[[], str]] = {
    "error-codes": error_codes,
}


def render(page: str) -> str:
    """Give a page's text with each generated place filled in."""

    def fill(place: re.Match[str]) -> str:
        return place["open"] + TABLES[place["name"]]() + place["close"]

    return _PLACE.sub(fill, page)


def pages() -> Iterator[Path]:
    """List the pages of the documentation, in order of their names."""
    return iter(sorted(DOCS.rglob("*.md")))


def main(argv: list[str] | None = None) -> int:
    """Rewrite the pages, or compare them; 1 when a page is not as the code says."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail with the difference")
    options = parser.parse_args(argv)
    stale = 0
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = render(before)
        if before == after:
            continue
        stale += 1
        if options.check:
            name = str(page.relative_to(DOCS.parent))
            sys.stdout.writelines(
                difflib.unified_diff(before.splitlines(True), after.splitlines(True), name, f"{name} (generated)")
            )
        else:
            page.write_text(after, encoding="utf-8")
            print(f"rewritten: {page}")
    if options.check and stale:
        print(f"{stale} pages are not as the code says; run: python -m docs.generate")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
