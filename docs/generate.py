"""Write the tables of the documentation from the code that they describe.

Each page has places of the form ``<!-- generated: NAME -->`` ... ``<!-- end of NAME -->``; what stands between is
replaced.  ``python -m docs.generate`` rewrites the pages, ``python -m docs.generate --check`` only compares and fails
with the difference; CI does the latter.

This script knows where each table comes from, and nothing of what the words around it say.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import inspect
import itertools
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pytest

    from pytest_ocap.drivers.command_keys import Key
    from pytest_ocap.marker_table import Parameter

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


def cli_help() -> str:
    """Each command of ``ocap`` with its arguments and examples, read from the parser.

    Not what ``--help`` prints: argparse words that differently from one Python to the next.
    """
    from kernel.cli.parser import build_parser

    return "\n".join(_command(parser) for parser in _commands(build_parser()))


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _commands(child)


def _command(parser: argparse.ArgumentParser) -> str:
    hidden = (argparse._HelpAction, argparse._SubParsersAction)
    arguments = [
        action for action in parser._actions if action.help != argparse.SUPPRESS and not isinstance(action, hidden)
    ]
    if parser.prog != "ocap":
        arguments = [action for action in arguments if "--home" not in action.option_strings]
    epilog = (parser.epilog or "").strip()
    parts = [f"## `{parser.prog}`", " ".join((parser.description or "").split())]
    if arguments:
        rows = ((_argument(action), action.help or "") for action in arguments)
        parts.append(table(("argument", "meaning"), rows).strip())
    parts += [f"```text\n{epilog}\n```"] if epilog else []
    return "\n\n".join(part for part in parts if part) + "\n"


def _argument(action: argparse.Action) -> str:
    name = action.metavar if isinstance(action.metavar, str) else ("" if action.nargs == 0 else action.dest.upper())
    if action.option_strings:
        words = ", ".join(action.option_strings) + (f" {name}" if name else "")
    else:
        words = {"?": f"[{name}]", "*": f"[{name} …]", "+": f"{name} …"}.get(str(action.nargs), name)
    return f"`{words}`"


def markers() -> str:
    """Each marker: as it is written with every default, what it arranges, and what its arguments may be."""
    from pytest_ocap.marker_table import MARKERS

    rows = []
    for marker in MARKERS.values():
        allowed = [
            f"`{parameter.name}`: " + (", ".join(f"`{word}`" for word in parameter.words) or _range(parameter))
            for parameter in marker.parameters
        ]
        rows.append((f"`{marker.signature}`", marker.arranges, "; ".join(allowed) or "none"))
    return table(("marker, with its defaults", "arranges", "arguments"), rows)


def scenarios() -> str:
    """Each scenario: what it is about, its marker, edition and needs, and each check with what it requires."""
    from pytest_ocap.marker_table import MARKERS
    from pytest_ocap.scenarios import SCENARIOS

    parts = []
    for name, scenario in SCENARIOS.items():
        about = inspect.getdoc(sys.modules[scenario.body.__module__])
        needs = ", ".join(f"`{need}`" for need in sorted(scenario.needs)) or "nothing beyond `start`, `stop` and `ping`"
        parts += [
            f"## `{name}`",
            (about or "").strip(),
            (
                f"`@pytest.mark.{MARKERS[name].signature}` arranges {MARKERS[name].arranges}. "
                f"Edition {scenario.edition}; needs {needs}."
            ),
            table(("check", "what is required"), ((f"`{check}`", text) for check, text in scenario.checks.items())),
        ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def sweep_mutants() -> str:
    """Each mutant of sweeps: its defect, the cases and the oracles that catch it, and whether they did at once."""
    import tomllib

    files = sorted((DOCS.parent / "tests" / "mutants" / "sweeps").glob("*.toml"))
    mutants = [mutant for file in files for mutant in tomllib.loads(file.read_text(encoding="utf-8"))["mutant"]]
    late = [mutant for mutant in mutants if "mended" in mutant["caught"]]
    rows = []
    for mutant in mutants:
        caught = mutant["caught"]
        first = f"no: {caught['mended']}" if "mended" in caught else "yes"
        oracles = ", ".join(f"**{check}**" for check in caught["checks"])
        rows.append((mutant["defect"].removesuffix("."), f"`{caught['cases']}`", oracles, first))
    head = (
        f"There are {len(mutants)}. {len(mutants) - len(late)} were caught by the oracles as they stood, "
        f"{len(late)} only when an oracle had been mended or added.\n\n"
    )
    return head + table(("defect", "cases", "what turns red, and nothing else", "at the first try"), rows)


def _range(parameter: Parameter) -> str:
    if isinstance(parameter.default, int):
        return f"{parameter.least} to {parameter.most}"
    return f"one of the driver's {parameter.name}s"


def fixtures() -> str:
    """Each public fixture: its scope, and the first sentences of its docstring."""
    from pytest_ocap.fixtures import FIXTURES

    rows = []
    for path in sorted((DOCS.parent / "pytest_ocap").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                if ast.unparse(called) != "pytest.fixture":
                    continue
                given = {word.arg: word.value for word in getattr(decorator, "keywords", [])}
                named = {key: value.value for key, value in given.items() if isinstance(value, ast.Constant)}
                name, scope = str(named.get("name", node.name)), str(named.get("scope", "function"))
                if name in FIXTURES:
                    rows.append((f"`{name}`", scope, first_sentence(ast.get_docstring(node))))
    return table(("fixture", "scope", "what it is"), sorted(rows))


def daemon_members() -> str:
    """What a test can do with the daemon that ``ocap_daemon`` gives."""
    from pytest_ocap.situation import Daemon

    rows = []
    for name, member in vars(Daemon).items():
        if not name.startswith("_") and inspect.isfunction(member):
            parameters = [f"{p}" for p in list(inspect.signature(member).parameters)[1:]]
            rows.append((f"`{name}({', '.join(parameters)})`", first_sentence(member.__doc__)))
    return table(("member", "what it does"), rows)


def command_keys() -> str:
    """The keys of the description of a daemon for the command driver."""
    from pytest_ocap.drivers.command_keys import KEYS

    return _keys(KEYS)


def command_verb_keys() -> str:
    """The keys of one verb in such a description."""
    from pytest_ocap.drivers.command_keys import VERB_KEYS

    return _keys(VERB_KEYS)


def command_verbs() -> str:
    """The verbs that a description may have."""
    from pytest_ocap.drivers.command_keys import VERBS

    rows = ((f"`{verb}`", " ".join(f"`{{{word}}}`" for word in words)) for verb, words in VERBS.items())
    return table(("verb", "placeholders"), rows)


def _keys(keys: Mapping[str, Key]) -> str:
    rows = (
        (f"`{name}`", key.meaning, " ".join(f"`{{{word}}}`" for word in key.placeholders)) for name, key in keys.items()
    )
    return table(("key", "meaning", "placeholders"), rows)


def capabilities() -> str:
    """What a daemon, or its driver, may be able to do; the texts below the members of the enumeration."""
    source = ast.parse((DOCS.parent / "pytest_ocap" / "driver.py").read_text(encoding="utf-8"))
    (kind,) = [node for node in source.body if isinstance(node, ast.ClassDef) and node.name == "Capability"]
    rows = []
    for member, text in itertools.pairwise(kind.body):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr):
            rows.append((f"`{ast.literal_eval(member.value)}`", first_sentence(ast.literal_eval(text.value))))
    return table(("capability", "meaning"), rows)


def options() -> str:
    """Each option of the command line and each ini key."""
    from pytest_ocap.options import add_options

    recorder = _Recorder()
    add_options(cast("pytest.Parser", recorder))
    return table(("where", "name", "meaning"), recorder.rows)


class _Recorder:
    """Takes options as pytest's parser does, and remembers them."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def getgroup(self, *_names: str, **_more: str) -> _Recorder:
        return self

    def addoption(self, *names: str, metavar: str = "", help: str = "", **_more: object) -> None:  # noqa: A002 - pytest's
        self.rows.append(("command line", f"`{', '.join(names)}{f' {metavar}' if metavar else ''}`", help))

    def addini(self, name: str, help: str, **_more: object) -> None:  # noqa: A002 - pytest's word
        self.rows.append(("ini key", f"`{name}`", help))


def vat_modules() -> str:
    """The modules of the standard library that a vat may import."""
    from kernel.vat.modules import ALLOWED

    return ", ".join(f"`{name}`" for name in sorted(ALLOWED)) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "error-codes": error_codes,
    "cli-help": cli_help,
    "vat-modules": vat_modules,
    "markers": markers,
    "scenarios": scenarios,
    "command-keys": command_keys,
    "command-verb-keys": command_verb_keys,
    "command-verbs": command_verbs,
    "capabilities": capabilities,
    "fixtures": fixtures,
    "daemon-members": daemon_members,
    "options": options,
    "sweep-mutants": sweep_mutants,
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
