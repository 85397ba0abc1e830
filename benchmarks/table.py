"""What a benchmark is, what comes of it, and the two forms that it is shown in: a table and JSON.

A benchmark is measured once in each round, all of them in turn, so that what disturbs the machine disturbs all alike; a
row shows medians.  This module knows neither what is measured nor how.
"""

from __future__ import annotations

import platform
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

SCHEMA = 1

EVERY_ROUND = 1_000_000


class Sample(NamedTuple):
    """One measurement."""

    amount: float
    """Seconds, or what the row's unit says."""
    cpu: float | None = None
    """Processor time of all processes that took part, in seconds; None where it was not measured."""


@dataclass(frozen=True)
class Row:
    """A row of the table: what is measured, and what it is measured against."""

    number: int
    """The subject that it belongs to."""
    what: str
    subject: str
    """The name of its samples."""
    floor: str
    """The name of the floor's samples."""
    floor_is: str
    """What the floor is, in words."""
    share: float = 1.0
    """What part of the floor counts: a half, where two processes share the work."""
    at_most: float | None = None
    """The ratio to reach."""
    seconds_at_most: float | None = None
    """The time to reach, in the slowest round."""
    unit: str = "s"
    """What is measured: seconds, or bytes (``B``)."""


@dataclass(frozen=True)
class Benchmark:
    """What is measured together."""

    name: str
    rows: tuple[Row, ...]
    measure: Callable[[Path], Mapping[str, Sample]]
    """Measures once, in an empty directory of its own."""
    rounds: int = EVERY_ROUND
    """In how many rounds it is measured at most."""


@dataclass
class Measured:
    """Everything that was measured, by the names of the samples."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def add(self, samples: Mapping[str, Sample]) -> None:
        """Take the samples of one round."""
        for name, sample in samples.items():
            self.samples.setdefault(name, []).append(sample)

    def figure(self, name: str, share: float = 1.0) -> dict[str, Any]:
        """Give median, least and most of some samples, and the median of their processor time in seconds."""
        samples = self.samples[name]
        amounts = [sample.amount * share for sample in samples]
        cpu = [sample.cpu * share for sample in samples if sample.cpu is not None]
        return {
            "median": statistics.median(amounts),
            "least": min(amounts),
            "most": max(amounts),
            "cpu": statistics.median(cpu) if cpu else None,
            "rounds": len(amounts),
        }


def report(rows: Iterable[Row], measured: Measured) -> dict[str, Any]:
    """Give what was measured as JSON data."""
    return {
        "schema": SCHEMA,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "rows": [_row(row, measured) for row in rows],
    }


def _row(row: Row, measured: Measured) -> dict[str, Any]:
    subject, floor = measured.figure(row.subject), measured.figure(row.floor, row.share)
    ratio = subject["median"] / floor["median"]
    met = None
    if row.at_most is not None:
        met = ratio <= row.at_most
    elif row.seconds_at_most is not None:
        met = subject["most"] <= row.seconds_at_most
    both = subject["cpu"] is not None and floor["cpu"]
    return {
        "number": row.number,
        "what": row.what,
        "unit": row.unit,
        "floorIs": row.floor_is,
        "subject": subject,
        "floor": floor,
        "ratio": ratio,
        "cpuRatio": subject["cpu"] / floor["cpu"] if both else None,
        "atMost": row.at_most,
        "secondsAtMost": row.seconds_at_most,
        "met": met,
    }


HEADS = ("row", "what", "median", "CPU", "floor", "median", "CPU", "ratio", "of CPU", "to reach")


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Give a row of the JSON data as the cells of the table."""
    subject, floor, unit = row["subject"], row["floor"], row["unit"]
    target = ""
    if row["atMost"] is not None:
        target = f"{row['atMost']:g} x"
    elif row["secondsAtMost"] is not None:
        target = f"{duration(row['secondsAtMost'])}, slowest {duration(subject['most'])}"
    if row["met"] is not None:
        target += "" if row["met"] else " (missed)"
    return (
        str(row["number"]),
        row["what"],
        quantity(subject["median"], unit),
        duration(subject["cpu"]),
        row["floorIs"],
        quantity(floor["median"], unit),
        duration(floor["cpu"]),
        times(row["ratio"]),
        times(row["cpuRatio"]),
        target,
    )


def render(rows: Iterable[tuple[str, ...]], heads: tuple[str, ...] = HEADS) -> str:
    """Give rows of cells as a table of Markdown, its columns in line."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    texts = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    texts.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {text} |" for text in texts)


def quantity(amount: float | None, unit: str) -> str:
    """Give what was measured in a unit that suits it."""
    return duration(amount) if unit == "s" or amount is None else f"{amount / 2**20:.1f} MiB"


def duration(seconds: float | None) -> str:
    """Give a time with a unit that suits it."""
    if seconds is None:
        return ""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def times(ratio: float | None) -> str:
    """Give a ratio."""
    return "" if ratio is None else f"{ratio:.2f}"
