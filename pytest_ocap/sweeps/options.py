"""The options of a sweep.

Invariant: without ``--ocap-sweep`` nothing of a sweep is collected, imported or done.  Light: imported in every run.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_ocap.sweeps.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

WORKLOADS = (
    "start",
    "session",
    "restore",
    "repair",
    "prune",
    "terminate",
    "pin",
    "restart",
    "references",
    "garbage",
    "revocation",
    "logs",
    "migration",
)
"""The names of the workloads."""

MEANS = ("seccomp", "phases", "strace")
"""The means by which faults are injected: the best, the one for where it does not work, and the witness against it."""

SHARDS = 16

DIRECTORY = "ocap-sweeps"
"""Where failures and results are kept, in pytest's cache directory."""

_BUDGET_HELP = (
    "Spend no more time on the sweep than this (90, 60s, 10m, 2h): the most telling points come first, and what was "
    "left is said."
)
_DIRECTORY_HELP = (
    "Where each failure is kept, with the home before and after, an account, and a command that replays it; in "
    "pytest's cache directory when left out."
)

OPTIONS = (
    (
        "--ocap-sweep",
        "KIND,…",
        f"Sweep these kinds of faults over every point of the workloads: {', '.join(KINDS)}; or all.",
    ),
    ("--ocap-workload", "NAME,…", f"The workloads to be swept: {', '.join(WORKLOADS)}; all of them when left out."),
    (
        "--ocap-point",
        "POINT[=FAULT]",
        "Try only this point, with every fault of the kinds that are swept, or with this one: what replays a failure.",
    ),
    ("--ocap-budget", "SECONDS", _BUDGET_HELP),
    (
        "--ocap-sweep-means",
        "NAME",
        f"By which means faults are injected: {', '.join(MEANS)}; the first that works when left out.",
    ),
    (
        "--ocap-sweep-shards",
        "N",
        f"Into how many items the points of each workload are dealt ({SHARDS}).",
    ),
    ("--ocap-sweep-dir", "DIRECTORY", _DIRECTORY_HELP),
)

EVERY, FRESH = "--ocap-sweep-every", "--ocap-sweep-fresh"
FLAGS = {
    EVERY: (
        "Try each case; else of cases alike (the same fault at calls that do the same to the same path) the 1st, 2nd, "
        "4th, 8th and so on stand for the others, and each point has one at least."
    ),
    FRESH: "Begin anew instead of going on where a sweep was stopped.",
}
"""The options that take no value, with what each does."""

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class Wishes(NamedTuple):
    """What a run is asked to sweep.

    Attributes:
        kinds: The kinds of faults.
        workloads: The names of the workloads.
        point: The one point, with or without its fault, or None.
        budget: Seconds, or None.
        means: By which means faults are injected; None: by the best that works.
        shards: Into how many items each workload is dealt.
        fresh: Whether what is known from a stopped sweep is forgotten.
        directory: Where failures are kept.
        results: Where results are kept; None: nowhere.
        every: Whether each case is tried, and not a few for those that are alike.
    """

    kinds: tuple[str, ...]
    workloads: tuple[str, ...]
    point: str | None
    budget: float | None
    means: str | None
    shards: int
    fresh: bool
    directory: str
    results: str | None
    every: bool = False


def add_options(group: pytest.OptionGroup) -> None:
    """Register the options."""
    for name, metavar, text in OPTIONS:
        group.addoption(name, metavar=metavar, default=None, help=text)
    for name, text in FLAGS.items():
        group.addoption(name, action="store_true", default=False, help=text)


def wanted(config: pytest.Config) -> bool:
    """Say whether anything is to be swept."""
    return bool(config.getoption("--ocap-sweep"))


def check(config: pytest.Config) -> None:
    """Insist that the options make sense together.

    Raises:
        pytest.UsageError: One of them does not.
    """
    if wanted(config):
        wishes(config)
        return
    given = [name for name, _, _ in OPTIONS if config.getoption(name) is not None]
    given += [name for name in FLAGS if config.getoption(name)]
    if given:
        raise pytest.UsageError(f"{given[0]} does nothing without --ocap-sweep KIND,… ({', '.join(KINDS)})")
    if config.getoption("pyargs") and any(word.startswith(_PACKAGE) for word in config.args):
        raise pytest.UsageError(f"{_PACKAGE} sweeps what --ocap-sweep KIND,… says: {', '.join(KINDS)}; or all")


_PACKAGE = "pytest_ocap.sweeps"


def wishes(config: pytest.Config) -> Wishes:
    """Read the options.

    Raises:
        pytest.UsageError: One of them makes no sense.
    """
    kinds = _words(config.getoption("--ocap-sweep"), "--ocap-sweep", KINDS, "kind of fault")
    named = config.getoption("--ocap-workload")
    point = config.getoption("--ocap-point")
    means = config.getoption("--ocap-sweep-means")
    workloads = WORKLOADS if named is None else _words(named, "--ocap-workload", WORKLOADS, "workload")
    if point is not None:
        workload = point.partition(":")[0]
        if workload not in WORKLOADS:
            raise pytest.UsageError(
                f"--ocap-point: {point!r} names no workload; a point looks like start:write:kernel.sqlite-wal#3"
            )
        workloads = (workload,)
        _check_together(point)
    cache = getattr(config, "cache", None)
    kept = os.fspath(cache.mkdir(DIRECTORY)) if cache is not None else None
    directory = config.getoption("--ocap-sweep-dir")
    here = os.fspath(config.invocation_params.dir)
    default = os.path.join(kept or os.path.join(here, DIRECTORY), "failures")
    return Wishes(
        kinds,
        workloads,
        point,
        _seconds(config.getoption("--ocap-budget")),
        None if means is None else _words(means, "--ocap-sweep-means", MEANS, "means")[0],
        1 if point is not None else _number(config.getoption("--ocap-sweep-shards")),
        config.getoption(FRESH),
        os.path.join(here, directory) if directory else default,
        None if point is not None else kept,
        config.getoption(EVERY),
    )


def _check_together(point: str) -> None:
    """Insist that a power cut stands alone: no run is made for it that other faults could strike."""
    from pytest_ocap.sweeps.cases import TOGETHER

    parts = point.split(TOGETHER)
    if len(parts) > 1 and any(part.partition("=")[2].startswith("powerloss") for part in parts):
        raise pytest.UsageError(
            "--ocap-point: a power cut is no fault of a run: it cannot stand beside others; try each by itself"
        )


def _words(text: str, option: str, known: Sequence[str], what: str) -> tuple[str, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if words == ["all"]:
        return tuple(known)
    wrong = [word for word in words if word not in known]
    if wrong or not words:
        from pytest_ocap.words import suggestion

        word = (*wrong, "")[0]
        raise pytest.UsageError(
            f"{option}: {word!r} is no {what}; there are {', '.join(known)}, or all" + suggestion(word, known)
        )
    return tuple(word for word in known if word in words)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None or float(match[1]) == 0:
        raise pytest.UsageError(f"--ocap-budget: {text!r} is no time; it looks like 90, 60s, 10m or 2h")
    return float(match[1]) * _UNITS[match[2]]


def _number(text: str | None) -> int:
    if text is None:
        return SHARDS
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise pytest.UsageError(f"--ocap-sweep-shards: {text!r} is no number from 1 to 10000")
    return int(text)
