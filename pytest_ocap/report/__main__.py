"""``python -m pytest_ocap.report``: other forms of a report that was written as JSON, or of several made one.

Invariant: nothing is written when a report cannot be read or a file could not be written.  Needs neither pytest nor the
daemon that was judged.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import TYPE_CHECKING

from pytest_ocap.report.outputs import OUTPUTS, problems, write_all
from pytest_ocap.report.stored import StoredReportError, merged, read

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE, FAILED, USAGE = 0, 1, 2

DESCRIPTION = (
    "Write a report in other forms.  Of several reports, as the shards of a CI job write them, one is made; they must "
    "be about the same daemon and edition."
)


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of the command's arguments."""
    parser = argparse.ArgumentParser(prog="python -m pytest_ocap.report", description=DESCRIPTION)
    parser.add_argument("reports", nargs="+", metavar="REPORT.json", help="What --ocap-report wrote.")
    for output in OUTPUTS:
        name = "json" if output.name == "report" else output.name
        parser.add_argument(f"--{name}", dest=output.name, metavar=output.metavar, help=output.help)
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and give its exit status: 0 done, 1 a file could not be written, 2 wrong usage."""
    parser = build_parser()
    options = parser.parse_args(words)
    wanted = {output: getattr(options, output.name) for output in OUTPUTS if getattr(options, output.name)}
    if not wanted:
        return _tell(USAGE, "nothing to write: give --html, --badge, --markdown or --json")
    twice = [path for path, times in Counter(options.reports).items() if times > 1]
    wrong = [*problems(wanted), *(f"{path} is given twice" for path in twice)]
    if wrong:
        return _tell(USAGE, *wrong)
    try:
        data = merged({path: read(path) for path in options.reports})
    except StoredReportError as error:
        return _tell(USAGE, str(error))
    wrong = list(write_all(wanted, data).values())
    return _tell(FAILED, *wrong) if wrong else DONE


def _tell(status: int, *messages: str) -> int:
    for message in messages:
        sys.stderr.write(f"pytest_ocap.report: {message}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
