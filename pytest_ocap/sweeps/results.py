"""What is known of a sweep that was stopped: results, by driver, version, build, means, workload, kind of fault.

The build is what the driver says of the daemon's code (``build``), where it does: what was found out about other code
is not taken over, and is forgotten with the next sweep that is finished or begun anew.  Nor is what was found out by
other means: each is a witness of its own.

Invariant: a line is written whole when its case has been tried, so that whatever ends a sweep costs one case for each
process at most; many processes write, each to a file of its own.  What failed is tried again, never taken over.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ocap.sweeps.trial import Result, Trial

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_ocap.driver import KernelDriver

TAKEN_OVER = frozenset({Result.PASSED, Result.NOT_REACHED})
"""What need not be tried again."""


class Results:
    """The results of one driver's daemon by one means.

    Args:
        directory: Where results are kept; None: nothing is kept, and nothing is known.
        driver: The daemon.
        means: The name of the means by which faults are injected.
        writer: What tells this process from others that write at the same time.
    """

    def __init__(self, directory: str | None, driver: KernelDriver, means: str, writer: str) -> None:
        self._root = None if directory is None else _of_build(directory, driver) / _slug(means)
        self._writer = _slug(f"{writer}-{os.getpid()}")

    def known(self, workload: str, kinds: Iterable[str]) -> dict[str, Trial]:
        """Give what need not be tried again, by the cases' ids."""
        found = {}
        for kind in kinds:
            for path in sorted(self._files(workload, kind)):
                for trial in _read(path):
                    found[trial.case.id] = trial
        return {case: trial for case, trial in found.items() if trial.result in TAKEN_OVER}

    def add(self, trial: Trial) -> None:
        """Keep a result."""
        if self._root is None:
            return
        folder = self._root / trial.case.workload / trial.case.sweep
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{self._writer}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(trial.to_json()) + "\n")

    def _files(self, workload: str, kind: str) -> Iterator[Path]:
        return iter(()) if self._root is None else (self._root / workload / kind).glob("*.jsonl")


def forget(
    directory: str,
    driver: KernelDriver,
    workloads: Iterable[str],
    kinds: Iterable[str],
    means: Iterable[str] | None,
) -> None:
    """Forget what is known of these: their sweep is over, or is to begin anew.  Of other builds all is forgotten.

    Args:
        directory: Where results are kept.
        driver: The daemon.
        workloads: The names of the workloads.
        kinds: The kinds of faults.
        means: The names of the means by which it was found out; None: whatever means it was.
    """
    root = _of_build(directory, driver)
    roots = root.glob("*") if means is None else [root / _slug(name) for name in means]
    for place, workload, kind in itertools.product(roots, workloads, kinds):
        shutil.rmtree(place / workload / kind, ignore_errors=True)
    for other in root.parent.glob("*"):
        if other != root:
            shutil.rmtree(other, ignore_errors=True)


def unsure(driver: KernelDriver, taken_over: int) -> tuple[str, ...]:
    """Say that results may have been taken over from another state of the daemon; nothing where that cannot be."""
    build = getattr(driver, "build", "")
    if build or not taken_over:
        return ()
    note = (
        f"driver {driver.name!r} does not say which build of the daemon it runs: what is known from before was found "
        "out about this one only if nobody has changed it since; --ocap-sweep-fresh begins anew"
    )
    return (note,)


def _read(path: Path) -> Iterator[Trial]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield Trial.from_json(json.loads(line))
        except (ValueError, KeyError, TypeError):
            continue  # the process was killed in the middle of the line, or another version of this plugin wrote it


def _of_build(directory: str, driver: KernelDriver) -> Path:
    daemon = _slug(f"{driver.name}-{driver.version}")
    return Path(directory, "results", daemon, _slug(str(getattr(driver, "build", ""))))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-") or "unnamed"
