"""Shows a person at a terminal what a command waits for; in a pipe it shows nothing and costs nothing.

Nothing appears for waits that are over before anyone would wonder, and what appears is erased at the end.
"""

from __future__ import annotations

import sys

from kernel.cli.output import is_terminal, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import Timer
    from types import TracebackType
    from typing import Self

    from rich.status import Status

_PATIENCE = 0.4  # seconds before a person wonders; also spares quick commands the import of rich


class Waiting:
    """A context in which standard error shows ``text``, once the wait is long enough to be noticed."""

    def __init__(self, text: str) -> None:
        self._text = printable(text)
        self._timer: Timer | None = None
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if is_terminal(sys.stderr):
            from threading import Lock, Timer

            self._lock = Lock()
            self._timer = Timer(_PATIENCE, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        with self._lock:
            if self._status is not None:
                self._status.stop()
                self._status = None
            self._timer = None

    def update(self, text: str) -> None:
        """Say what is being waited for now."""
        self._text = printable(text)
        if self._timer is not None:
            with self._lock:
                if self._status is not None:
                    self._status.update(_plain(self._text))

    def phase(self, name: str, done: int | None = None, total: int | None = None) -> None:
        """Say which phase of its start the daemon is in (the ``on_phase`` of ``ensure_daemon``)."""
        count = f" {done} of {total}" if done is not None and total else ""
        self.update(f"the daemon is starting: {name}{count}")

    def _show(self) -> None:
        from rich.console import Console

        with self._lock:
            if self._timer is not None:
                self._status = Console(stderr=True).status(_plain(self._text))
                self._status.start()


def _plain(text: str) -> str:
    """Keep ``rich`` from reading a path such as ``/tmp/[red]`` as markup."""
    from rich.markup import escape

    return escape(text)
