"""The documentation, run: every console block of every page, in order, in a fresh folder and home.

A page is a transcript.  In a ``console`` block, a line after ``$`` is a command and what follows is what it prints,
where ``…`` stands for anything.  A block of any language whose opening fence also has a file name is written to that
file first.  A command must succeed, unless ``echo $?`` follows it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import kernel

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

_FENCE = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_MARK = "@@ocap-docs@@"
PAGE_SECONDS = 180


class Step(NamedTuple):
    """One thing that a reader of a page does: write a file, or give a command and see what it prints."""

    line: int
    command: str
    expected: str
    file: str | None = None


def steps_of(text: str) -> list[Step]:
    steps: list[Step] = []
    for block in _FENCE.finditer(text):
        language, _, file = block["info"].strip().partition(" ")
        line = text.count("\n", 0, block.start()) + 1
        if file:
            steps.append(Step(line, block["body"], "", file))
        elif language == "console":
            steps.extend(_commands(block["body"], line))
    return steps


def _commands(body: str, line: int) -> list[Step]:
    steps: list[Step] = []
    for number, text in enumerate(body.splitlines(), start=line + 1):
        if text.startswith("$ "):
            steps.append(Step(number, text[2:], ""))
        elif text.startswith("> ") and steps and not steps[-1].expected:
            steps[-1] = steps[-1]._replace(command=f"{steps[-1].command}\n{text[2:]}")
        elif steps:
            steps[-1] = steps[-1]._replace(expected=f"{steps[-1].expected}{text}\n")
    return steps


def matches(expected: str, printed: str) -> bool:
    """Compare by words, so that how a page wraps does not matter; ``…`` stands for any text."""
    parts = [r"\s+".join(re.escape(word) for word in part.split()) for part in expected.split("…")]
    pattern = r".*?".join(rf"\s*{part}\s*" for part in parts)
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


@pytest.fixture
def reader(short_tmp: Path) -> tuple[Path, dict[str, str]]:
    """Give a reader's folder, with the examples in it, and an environment with ``ocap`` and ``pytest``."""
    work = short_tmp / "w"
    work.mkdir()
    (short_tmp / "home").mkdir()
    shutil.copytree(ROOT / "examples", work / "examples", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    commands = short_tmp / "bin"
    commands.mkdir()
    # Neither the order of tests nor a word of other plugins belongs into a transcript.
    for name, module in {
        "ocap": "kernel.cli",
        "pytest": "pytest -p pytest_ocap -p xdist -p no:randomly -p no:cacheprovider",
    }.items():
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        (commands / name).chmod(0o755)
    (commands / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')  # a link would lose the environment
    (commands / "python").chmod(0o755)
    environment = {
        "HOME": str(short_tmp / "home"),
        "PATH": f"{commands}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(Path(kernel.__file__).parents[1]),
        "TMPDIR": "/tmp",
        "TERM": "dumb",
        "COLUMNS": "120",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "LC_ALL": "C.UTF-8",
    }
    environment |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return work, environment


@pytest.mark.parametrize("page", [p for p in PAGES if steps_of(p.read_text())], ids=lambda p: str(p.relative_to(ROOT)))
def test_what_a_page_shows_is_what_happens(page: Path, reader: tuple[Path, dict[str, str]]) -> None:
    work, environment = reader
    steps = steps_of(page.read_text(encoding="utf-8"))
    script = [f"cd '{work}'"]
    for number, step in enumerate(steps):
        if step.file is not None:
            script.append(f"mkdir -p \"$(dirname '{step.file}')\"")
            script.append(f"cat > '{step.file}' <<'{_MARK}'\n{step.command}{_MARK}")
        else:
            script += [step.command, "status=$?", f'echo; echo "{_MARK} {number} $status"', "(exit $status)"]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=PAGE_SECONDS,
        check=False,
    )
    rest = done.stdout
    wrong: list[str] = []
    for number, step in enumerate(steps):
        if step.file is not None:
            continue
        printed, found, rest = rest.partition(f"\n{_MARK} {number} ")
        assert found, f"{page.name}:{step.line}: {step.command}: the shell ended here:\n{printed}"
        status, _, rest = rest.partition("\n")
        asked = number + 1 < len(steps) and steps[number + 1].command == "echo $?"
        if (status != "0" and not asked) or not matches(step.expected, printed):
            wrong.append(f"{page.name}:{step.line}: $ {step.command}\n(exit status {status})\n{printed.strip()}\n")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    dead = []
    for link in _LINK.finditer(text):
        target, _, anchor = link["target"].partition("#")
        if "://" in target:
            continue
        other = (page.parent / target).resolve() if target else page
        if not other.exists() or (anchor and anchor not in _anchors(other)):
            dead.append(link["target"])
    assert not dead


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_page_of_the_documentation_is_linked_from_its_front_page() -> None:
    front = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {link["target"].partition("#")[0] for link in _LINK.finditer(front)}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - linked == {"README.md"}


def test_commands_that_need_a_package_index_are_those_that_ci_runs() -> None:
    known = (ROOT / ".ci" / "run").read_text() + (ROOT / "tox.ini").read_text()
    readme = (ROOT / "README.md").read_text()
    for command in ("pip install '.[test]' && pytest --pyargs pytest_ocap.suite", "pip install tox && tox"):
        assert command in readme
    assert "pip install '.[test]' && pytest --pyargs pytest_ocap.suite" in known
    assert "pytest --pyargs pytest_ocap.suite" in known


def test_the_reader_of_transcripts_compares_by_words() -> None:
    assert matches("ready, … quarantined: s2\n", "ready, degraded: 1 subcluster quarantined:\n s2\n")
    assert not matches("1\n", "10\n")
    assert not matches("", "something")
    assert steps_of("```console\n$ a \\\n> b\nc\n$ d\n```\n```py x.py\n1\n```\n") == [
        Step(2, "a \\\nb", "c\n"),
        Step(5, "d", ""),
        Step(7, "1\n", "", "x.py"),
    ]
