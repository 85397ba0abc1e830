"""What a benchmark is, what comes of it, and the two forms that it is shown in: a table and JSON.

A benchmark is measured once in each round, all of them in turn, so that what disturbs the machine disturbs all alike; a
row shows medians of everything that all rounds have measured.  What could not be measured here is named, not left out
in silence.  This module knows neither what is measured nor how.
"""

from __future__ import annotations

import platform
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    Samples = Mapping[str, "Sample | Sequence[Sample]"]

SCHEMA = 1

EVERY_ROUND = 1_000_000


class Sample(NamedTuple):
    """One measurement."""

    amount: float
    """Seconds, or bytes where the row's unit says so."""
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
    """The time to reach, as a median."""
    p99_at_most: float | None = None
    """The time that 99 of 100 have to reach."""
    unit: str = "s"
    """What is shown: seconds, bytes (``B``), or how many a second and a core (``/s``).

    That is seconds turned round, of processor time where that was measured; its ratio stays that of the seconds.
    """


@dataclass(frozen=True)
class Benchmark:
    """What is measured together."""

    name: str
    rows: tuple[Row, ...]
    measure: Callable[[Path], Samples]
    """Measures in an empty directory of its own: each thing once, or a few times."""
    rounds: int = EVERY_ROUND
    """In how many rounds it is measured at most."""


@dataclass
class Measured:
    """Everything that was measured, by the names of the samples."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def add(self, samples: Samples) -> None:
        """Take the samples of one round."""
        for name, found in samples.items():
            self.samples.setdefault(name, []).extend([found] if isinstance(found, Sample) else found)

    def figure(self, name: str, share: float = 1.0) -> dict[str, Any]:
        """Give median, least, most and 99th percentile of some samples, and their median processor time in seconds."""
        samples = self.samples[name]
        amounts = [sample.amount * share for sample in samples]
        cpu = [sample.cpu * share for sample in samples if sample.cpu is not None]
        return {
            "median": statistics.median(amounts),
            "least": min(amounts),
            "most": max(amounts),
            "p99": percentile(amounts, 99),
            "cpu": statistics.median(cpu) if cpu else None,
            "samples": len(amounts),
        }


def percentile(amounts: Sequence[float], percent: int) -> float:
    """Give the least amount that at least so many of a hundred do not exceed (the nearest rank)."""
    return sorted(amounts)[-(-len(amounts) * percent // 100) - 1]


def report(rows: Iterable[Row], measured: Measured) -> dict[str, Any]:
    """Give what was measured as JSON data."""
    wanted = list(rows)
    found = [row for row in wanted if row.subject in measured.samples and row.floor in measured.samples]
    return {
        "schema": SCHEMA,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "rows": [_row(row, measured) for row in found],
        "notMeasured": [row.what for row in wanted if row not in found],
    }


def _row(row: Row, measured: Measured) -> dict[str, Any]:
    subject, floor = measured.figure(row.subject), measured.figure(row.floor, row.share)
    ratio = subject["median"] / floor["median"]
    met = None
    if row.at_most is not None:
        met = ratio <= row.at_most
    elif row.seconds_at_most is not None:
        met = subject["median"] <= row.seconds_at_most
    elif row.p99_at_most is not None:
        met = subject["p99"] <= row.p99_at_most
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
        "p99AtMost": row.p99_at_most,
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
        target = duration(row["secondsAtMost"])
    elif row["p99AtMost"] is not None:
        target = f"{duration(row['p99AtMost'])} at p99, which is {duration(subject['p99'])}"
    if row["met"] is not None:
        target += "" if row["met"] else " (missed)"
    return (
        str(row["number"]),
        row["what"],
        shown(subject, unit),
        duration(subject["cpu"]),
        row["floorIs"],
        shown(floor, unit),
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


def shown(figure: Mapping[str, Any], unit: str) -> str:
    """Give a figure in its row's unit."""
    return quantity(figure["cpu"] or figure["median"] if unit == "/s" else figure["median"], unit)


def quantity(amount: float | None, unit: str) -> str:
    """Give what was measured in a unit that suits it."""
    if unit == "s" or amount is None:
        return duration(amount)
    return f"{1 / amount:.2f} /s" if unit == "/s" else f"{amount / 2**20:.1f} MiB"


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
