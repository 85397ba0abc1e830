"""The progress of a sweep, on one line of a terminal: how far it is, how fast, how long it will take.

Invariant: it is shown on a terminal only, and nowhere else is anything different.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_ocap.clock import Clock
from pytest_ocap.sweeps.trial import Result

if TYPE_CHECKING:
    import pytest

    from pytest_ocap.sweeps.options import Wishes
    from pytest_ocap.sweeps.running import Shard
    from pytest_ocap.sweeps.trial import Trial

REFRESH_SECONDS = 0.25


class Progress:
    """Shows how far a sweep is."""

    def __init__(self, config: pytest.Config, wishes: Wishes) -> None:
        self._config = config
        self._clock = Clock()
        self._began = self._clock.now()
        self._shown = 0.0
        self._shards = len(wishes.workloads) * wishes.shards
        self._finished = 0
        self._tried = 0
        self._here = 0
        self._failed = 0

    def tried(self, trial: Trial) -> None:
        """Take in one trial of this process."""
        self._here += 1
        self._failed += trial.result in (Result.FAILED, Result.HARNESS_BROKEN)
        self._show()

    def finished(self, shard: Shard) -> None:
        """Take in a shard of any process."""
        self._finished += 1
        tried = len(shard.trials) - shard.taken_over
        if not self._here:
            self._failed += len(shard.red)
        self._tried += tried
        self._show(at_once=True)

    def line(self) -> str:
        """Give the line."""
        seconds = max(self._clock.now() - self._began, 1e-9)
        tried = max(self._tried, self._here)
        text = f"ocap sweep: {self._finished} of {self._shards} shards, {tried} runs, {self._failed} failed"
        text += f", {tried / seconds:.1f} a second"
        if self._finished:
            left = seconds / self._finished * (self._shards - self._finished)
            text += f", about {_duration(left)} left"
        return text

    def _show(self, *, at_once: bool = False) -> None:
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is None or not getattr(reporter, "isatty", False) or reporter.verbosity < 0:
            return
        now = self._clock.now()
        if at_once or now - self._shown >= REFRESH_SECONDS:
            self._shown = now
            reporter.rewrite(self.line(), erase=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
