"""The forms in which a report is written, each with its option.

Invariant: every form is made from the data of the JSON report and from nothing else, so that all say the same and each
can be made later from that file.  Light: what makes a form is imported when one is wanted.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_ocap.report import files

if TYPE_CHECKING:
    from collections.abc import Mapping


class Output(NamedTuple):
    """One form: the last word of its option, what that says, the module that makes it, the endings of its files.

    The module has ``render(data, suffix) -> str``; without endings any will do.
    """

    name: str
    metavar: str
    help: str
    module: str
    suffixes: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """The option of pytest."""
        return f"--ocap-{self.name}"

    def problem(self, path: str) -> str | None:
        """Say why a report cannot be written there, as far as that shows before it is tried."""
        if self.suffixes and _suffix(path) not in self.suffixes:
            return f"{path} ends in none of: {', '.join(self.suffixes)}"
        return files.obstacle(path)

    def write(self, path: str, data: Mapping[str, Any]) -> None:
        """Write the report in this form.

        Raises:
            OSError: That is not possible; what was there before is as it was.
        """
        text: str = import_module(self.module).render(data, _suffix(path))
        files.replace(path, text)


OUTPUTS = (
    Output("report", "FILE.json", "Write what every scenario found to this file, as JSON.", "pytest_ocap.report.json"),
    Output(
        "html",
        "FILE.html",
        "Write the report as a page for a browser to this file; it needs no network and no other file.",
        "pytest_ocap.report.html",
    ),
    Output(
        "badge",
        "FILE.svg|FILE.json",
        "Write the verdict as a badge to this file: an image, or what an endpoint of shields.io answers.",
        "pytest_ocap.report.badge",
        (".svg", ".json"),
    ),
    Output(
        "markdown",
        "FILE.md",
        "Write the verdict to this file, in a paragraph for a pull request.",
        "pytest_ocap.report.markdown",
    ),
)
"""Every form."""


def problems(wanted: Mapping[Output, str]) -> list[str]:
    """Say what is wrong with the files that somebody wants to have written: each with its form's name."""
    found = []
    taken: dict[str, Output] = {}
    for output, path in wanted.items():
        problem = output.problem(path)
        other = taken.setdefault(os.path.abspath(path), output)
        if problem is None and other is not output:
            problem = f"{path} is also that of {other.name}"
        if problem is not None:
            found.append(f"{output.name}: {problem}")
    return found


def write_all(wanted: Mapping[Output, str], data: Mapping[str, Any]) -> dict[Output, str]:
    """Write a report in several forms; give what went wrong, for each form that could not be written."""
    wrong = {}
    for output, path in wanted.items():
        try:
            output.write(path, data)
        except OSError as error:
            wrong[output] = f"{output.name}: {path} cannot be written: {error.strerror or error}"
    return wrong


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1]
