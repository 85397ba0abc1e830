"""Fatals: one failure, rendered whole, reported once in ``daemon.log`` and at once to the caller.

A failed start leaves exactly one record of level ``fatal``, whatever failed: the log's own set-up (then the line is
appended without the log), a broken import, a thread, a signal.  When the log cannot be written at all, the caller
gets the record together with the reason why it is not in the log.  The rendering of an exception is its traceback
when there is one, else its message, else its ``repr``; always with the type, the nested causes and the members of
groups.
"""

from __future__ import annotations

import os

from kernel.daemon.process import this_process
from kernel.errors import OcapError, to_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kernel.daemon.log import DaemonLog

EVENT = "daemon.fatal"

#: A traceback's middle is left out above this many characters: deep recursion says little a thousand times.
MAX_TRACEBACK = 24 * 1024


def render(error: object) -> dict[str, Any]:
    """Give anything that ended the daemon as JSON data: code, type, message, traceback if there is one, causes."""
    if not isinstance(error, BaseException):
        from kernel.daemon.log import render_object

        return {"code": OcapError.code, "type": type(error).__name__, "message": render_object(error)}
    record = to_record(error)
    text = traceback_text(error)
    if text:
        record["traceback"] = text
    return record


def traceback_text(error: BaseException) -> str | None:
    """Give the traceback as Python prints it, causes and groups included; None when there is none to print."""
    if error.__traceback__ is None and error.__cause__ is None and error.__context__ is None:
        return None
    import traceback

    try:
        text = "".join(traceback.format_exception(error))
    except Exception as broken:  # noqa: BLE001 - an exception that cannot be printed must still be reported
        return f"(the traceback could not be rendered: {type(broken).__name__})"
    if len(text) <= MAX_TRACEBACK:
        return text
    half = MAX_TRACEBACK // 2
    return f"{text[:half]}\n  … {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def _identity() -> dict[str, Any]:
    """Name this process in a record: a pid alone does not, for pids are reused."""
    me = this_process()
    return {"pid": me.pid, "startTime": me.start_time}


class FatalReporter:
    """Reports the first fatal of this process, and only that one."""

    def __init__(self, tell_caller: Callable[[dict[str, Any]], bool]) -> None:
        """Make a reporter.

        Args:
            tell_caller: Hands the record to whoever waits for the start; says whether somebody does.
        """
        self._tell_caller = tell_caller
        self.log: DaemonLog | None = None
        self.log_path: str | None = None
        self.phase = "spawn"
        self.terminal_fd = 2
        self.reported: dict[str, Any] | None = None

    def report(self, error: object, **more: Any) -> dict[str, Any]:
        """Report a fatal; a second one is only added to the log, at a lower level.  Gives the record of the first."""
        rendered = render(error)
        if self.reported is not None:
            if self.log is not None:
                self.log.error("daemon.error_while_failing", error=rendered)
            return self.reported
        record: dict[str, Any] = {**_identity(), "phase": self.phase, "error": rendered, **more}
        self.reported = record
        reason = self._write(record)
        if reason is not None:
            record["notLogged"] = reason
        if not self._tell_caller(record):
            self._print(record)
        return record

    def refuse(self, error: OcapError) -> None:
        """Tell only the caller: this start was refused, but nothing is wrong with the home."""
        record: dict[str, Any] = {"pid": os.getpid(), "phase": self.phase, "error": error.to_json()}
        if not self._tell_caller(record):
            self._print(record)

    def _write(self, record: dict[str, Any]) -> str | None:
        """Put the record into the log by whatever way there is; give the reason when there is none."""
        if self.log is not None and self.log.write("fatal", EVENT, record):
            return None
        if self.log_path is None:
            return "the home directory is not known"
        from kernel.daemon.log import append_record

        try:
            append_record(self.log_path, "fatal", EVENT, record)
        except OcapError as error:
            return error.message
        return None

    def _print(self, record: dict[str, Any]) -> None:
        """Tell a person who started the daemon in a terminal, without the traceback, which is in the log."""
        error = record["error"]
        lines = [f"Error: {error['message']} (code {error['code']}, phase {record['phase']})", error.get("remedy")]
        if "notLogged" in record:
            lines += [f"This is not in the log: {record['notLogged']}", error.get("traceback")]
        try:
            os.write(self.terminal_fd, "\n".join(line for line in [*lines, ""] if line is not None).encode())
        except OSError:
            return  # there is no terminal: the log has it
