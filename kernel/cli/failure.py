"""Puts failures into words for the person at the shell, and into records for the program that reads ``--json``.

An expected failure (any :class:`~kernel.errors.OcapError`) is one sentence with its code, the facts that the sentence
does not hold yet, and the next steps.  An unexpected one is one sentence too; its traceback goes to a file.
"""

from __future__ import annotations

import os

from kernel.cli.output import note, say_json
from kernel.errors import OcapError, RejectedError, cause_chain, describe, to_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

_LONGEST_LOG_LINE = 400

_FACTS = (
    ("phase", "phase"),
    ("pid", "pid"),
    ("exitStatus", "exit status"),
    ("signal", "signal"),
    ("subclusterId", "subcluster"),
    ("vat", "vat"),
    ("bundleSpec", "bundle"),
    ("path", "path"),
    ("url", "URL"),
    ("socket", "socket"),
    ("log", "log"),
)


def report(error: OcapError, *, as_json: bool) -> int:
    """Tell the reader of an expected failure and give the exit code of the command."""
    if as_json:
        say_json({"error": error.to_json()})
    for line in failure_lines(error):
        note(line)
    return error.exit_code


def failure_lines(error: OcapError) -> Iterator[str]:
    """Give the lines that tell a person of ``error``: the sentence, indented facts, causes, log, next steps."""
    message = error.message.rstrip()
    if not isinstance(error, RejectedError):  # a vat's own words stay as they are
        message = _without_full_stop(message)
    yield f"Error: {message} (code {error.code})"
    told = message
    for key, label in _FACTS:
        value = error.data.get(key)
        if value is not None and value != "" and not _mentions(told, str(value)):
            yield f"  {label}: {value}"
    for cause in _causes(error, told):
        if not _mentions(told, cause.partition(": ")[2] or cause):
            yield f"  cause: {cause}"
            told += "\n" + cause
    yield from _log_tail(error.data.get("logTail"))
    for remedy in _remedies(error):
        yield f"Next: {remedy}"


def report_unexpected(error: BaseException, argv: Sequence[str]) -> int:
    """Tell the reader of a defect of ours: one line, the file that holds the details, and how to report it."""
    import traceback

    text = "".join(traceback.format_exception(error))
    note(f"Error: unexpected {describe(error)} (code {OcapError.code})")
    try:
        path = _write_details(text, argv)
    except OSError as refused:
        note(f"  details: could not be written to a file: {describe(refused)}")
        where = "the output of the same command with OCAP_DEBUG=1 in the environment"
    else:
        note(f"  details: {path}")
        where = "that file"
    note(f"Next: this is a defect of ocap. Report it with {where}.")
    if os.environ.get("OCAP_DEBUG"):
        note(text.rstrip())
    return OcapError.exit_code


def unexpected_record(error: BaseException) -> dict[str, Any]:
    """Give the record that ``--json`` shows of an unexpected failure."""
    return {"error": to_record(error)}


def _without_full_stop(sentence: str) -> str:
    """Let the code belong to the sentence that it follows."""
    return sentence[:-1] if sentence.endswith(".") and not sentence.endswith("..") else sentence


def _mentions(text: str, value: str) -> bool:
    return value in text or (value.startswith("file://") and value.removeprefix("file://") in text)


def _causes(error: OcapError, told: str) -> Iterator[str]:
    """Give the causes in this process, then those that another process recorded."""
    yield from cause_chain(error)
    record = error.data.get("error")
    if isinstance(record, dict):
        yield from _record_lines(record, error.code, told)
        yield from _recorded_causes(record)
    yield from _recorded_causes(error.data)


def _record_lines(record: Mapping[str, Any], outer_code: str, told: str) -> Iterator[str]:
    """Describe the error that a record holds; when its message has been told, its class and code are left to tell."""
    code = str(record.get("code") or OcapError.code)
    kind = str(record.get("type") or "error")
    message = _without_full_stop(str(record.get("message") or ""))
    coded = f" (code {code})" if code != OcapError.code else ""
    if message and not _mentions(told, message):
        yield f"{kind}: {message}{coded}"
    elif code != outer_code:
        yield f"{kind}{coded}"


def _recorded_causes(record: Mapping[str, Any]) -> Iterator[str]:
    causes = record.get("causes")
    if isinstance(causes, list):
        yield from (str(cause) for cause in causes)


def _log_tail(tail: object) -> Iterator[str]:
    """Give the end of the log: what was written since the daemon began its last start, as far as the tail reaches."""
    if not isinstance(tail, list) or not tail:
        return
    from kernel.cli.logtext import log_line, parse_line

    records = [parse_line(entry) if isinstance(entry, str) else entry for entry in tail]
    starts = [
        index
        for index, record in enumerate(records)
        if isinstance(record, dict) and record.get("event") == "daemon.starting"
    ]
    yield "  last lines of the log:"
    for entry in tail[starts[-1] if starts else 0 :]:
        line = log_line(entry, tracebacks=False)
        yield f"    {line if len(line) <= _LONGEST_LOG_LINE else line[:_LONGEST_LOG_LINE] + '…'}"


def _remedies(error: OcapError) -> list[str]:
    """Give the next steps, the outer error's first, each once."""
    found = [error.remedy]
    record = error.data.get("error")
    if isinstance(record, dict):
        found.append(record.get("remedy"))
    steps: list[str] = []
    for remedy in found:
        for line in str(remedy or "").splitlines():
            if line.strip() and line.strip() not in steps:
                steps.append(line.strip())
    return steps


def _write_details(text: str, argv: Sequence[str]) -> str:
    import platform
    import tempfile

    from kernel import __version__

    descriptor, path = tempfile.mkstemp(prefix="ocap-error-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"ocap {__version__}, Python {platform.python_version()}, {platform.platform()}\n")
        file.write(f"arguments: {list(argv)!r}\n\n{text}")
    return path
