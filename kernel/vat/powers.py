"""What a vat is given besides its parameters: a logger always, other powers by name.

Invariant: what a vat writes (logger, ``print``) is bounded for each delivery; what goes beyond is counted, not kept.
"""

from __future__ import annotations

import io
import random
import time
from typing import TYPE_CHECKING, Any

from kernel.vat.texts import with_utf8_form

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ENTRY_BYTES = 64  # what an entry counts besides its text
_REASON_CHARACTERS = 1000
_LINE_CHARACTERS = 8192  # a longer line is written in parts


class Output:
    """Hands texts to the kernel's log, so many bytes for each delivery at most."""

    def __init__(self, emit: Callable[[str, str], None], bytes_per_delivery: int) -> None:
        self._emit = emit
        self._limit = bytes_per_delivery
        self._written = 0
        self._dropped = 0

    def write(self, level: str, text: str) -> None:
        """Write one entry."""
        text = with_utf8_form(text)
        size = _ENTRY_BYTES + len(text.encode())
        if self._written + size > self._limit:
            self._dropped += size
            return
        self._written += size
        self._emit(level, text)

    def finish_delivery(self) -> None:
        """Say how much was dropped, and begin the next delivery's account."""
        if self._dropped:
            self._emit(
                "warning",
                f"{self._dropped} bytes of output were dropped: a delivery may write {self._limit} bytes to the log",
            )
        self._written = self._dropped = 0


class OutputStream(io.TextIOBase):
    """Stands in for standard output and error: each line that is written becomes one entry of the log."""

    encoding = "utf-8"

    def __init__(self, output: Output, level: str) -> None:
        self._output = output
        self._level = level
        self._line = ""
        self._flushed = False  # the line's beginning is written: its end alone is not an empty line

    def writable(self) -> bool:
        """Say that it can be written."""
        return True

    def write(self, text: str) -> int:
        """Write whole lines to the log and keep the rest for the next write."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if line or not self._flushed:
                self._output.write(self._level, line)
            self._flushed = False
        if len(self._line) > _LINE_CHARACTERS:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Write what is kept."""
        if self._line:
            line, self._line, self._flushed = self._line, "", True
            self._output.write(self._level, line)


class Logger:
    """Writes to the kernel's log, in the name of the vat."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def debug(self, text: object, *values: object) -> None:
        """Log a detail; ``values`` are put into ``text`` with ``%``."""
        self._output.write("debug", _format(text, values))

    def info(self, text: object, *values: object) -> None:
        """Log something that went as it should."""
        self._output.write("info", _format(text, values))

    def warning(self, text: object, *values: object) -> None:
        """Log something that somebody should look at."""
        self._output.write("warning", _format(text, values))

    def error(self, text: object, *values: object) -> None:
        """Log a failure."""
        self._output.write("error", _format(text, values))


class Clock:
    """Tells the time."""

    def time(self) -> float:
        """Give the seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Give seconds of a clock that never goes back; only differences mean anything."""
        return time.monotonic()


class VatPowers:
    """The first argument of ``build_root_object``: ``logger``, ``exit``, and each power that ``globals`` name."""

    logger: Logger
    clock: Clock
    random: random.Random

    def __init__(self, output: Output, names: Sequence[str], leave: Callable[[str], None] | None = None) -> None:
        """Make a vat's powers; ``leave`` takes the reason of a vat that ends itself.

        Raises:
            ValueError: A name is unknown; the message has the known ones.
        """
        self.logger = Logger(output)
        self._leave = leave
        for name in names:
            if name not in _MAKERS:
                raise ValueError(f"there is no power named {name!r} to grant (there are: {', '.join(sorted(_MAKERS))})")
            if name != "logger":
                setattr(self, name, _MAKERS[name]())

    def exit(self, reason: object = "") -> None:
        """End this vat for good once the delivery under way is complete; who waits for it is told the reason."""
        if self._leave is not None:
            self._leave(with_utf8_form(str(reason))[:_REASON_CHARACTERS])

    def __getattr__(self, name: str) -> Any:
        if name in _MAKERS:
            raise AttributeError(f"the vat was not granted the power {name!r}: name it in the vat's 'globals'")
        raise AttributeError(f"vat_powers has no {name!r}")


_MAKERS: dict[str, Callable[[], object]] = {"clock": Clock, "random": random.SystemRandom, "logger": object}


def _format(text: object, values: tuple[object, ...]) -> str:
    return str(text) % values if values else str(text)
