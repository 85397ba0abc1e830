"""The situation of one test: its home, what its markers arrange, and the daemon booted on it.

Invariant: everything is arranged at most once, in one order whatever order the fixtures are asked for (see
:mod:`pytest_ocap.arranging`), and :meth:`Situation.release` takes all of it back, however far it got.  Knows no
marker by its name, and nothing of pytest.
"""

from __future__ import annotations

import contextlib
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_ocap.arrangements import ARRANGEMENTS
from pytest_ocap.driver import PLAIN, Capability, Subcluster, has
from pytest_ocap.examination import prove
from pytest_ocap.marker_table import MARKERS
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, demand, launch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytest_ocap.arranging import Arrangement
    from pytest_ocap.driver import KernelDriver, Listed, Outcome, Setting
    from pytest_ocap.faults import Fault
    from pytest_ocap.homes import Homes
    from pytest_ocap.persisted import Templates

    FaultT = TypeVar("FaultT", bound=Fault)

DEFAULT_SUBCLUSTERS = 3


class Situation:
    """What is arranged for one test.

    Args:
        driver: The daemon under test.
        homes: Where homes come from.
        templates: Where persisted stores come from.
        wished: For each marker (or fixture that arranges the same) its arguments.

    Attributes:
        setting: The circumstances under which the daemon has to run for what is arranged to bite.
        patience: How many seconds a client is told to wait for a start.
        missing: The subclusters that cannot be restored.
    """

    def __init__(
        self, driver: KernelDriver, homes: Homes, templates: Templates, wished: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.driver = driver
        self.wished = wished
        self.setting = PLAIN
        self.patience = driver.start_timeout
        self.missing: tuple[Subcluster, ...] = ()
        self._homes = homes
        self._templates = templates
        self._undoing = contextlib.ExitStack()
        self._arrangements: dict[str, Arrangement] = {}
        self._arranging = False
        self._home: Path | None = None

    @cached_property
    def store(self) -> PersistedStore:
        """A persisted store, at its own path."""
        count = subclusters(self.wished) if has(self.driver, Capability.LAUNCH) else 0
        store = self._templates.lend(self.driver, count)
        self._undoing.callback(self._templates.take_back, store)
        return store

    @cached_property
    def fresh_home(self) -> Path:
        """A home in which nothing has been started yet."""
        home = self._homes.make()
        self._undoing.callback(self._homes.remove, home)
        return home

    @cached_property
    def home(self) -> Path:
        """The home to start, with everything arranged in it that is wished for."""
        self._arranging = True
        try:
            for marker in ARRANGEMENTS:
                if marker in self.wished:
                    self._arrange(marker)
        finally:
            self._arranging = False
        return self._home or self.store.home

    @cached_property
    def daemon(self) -> Daemon:
        """The daemon, after its first start under these circumstances, whatever came of that."""
        daemon = Daemon(self, self.home)
        start: Callable[[], Outcome] = daemon.start
        for arrangement in self._in_order():
            start = partial(arrangement.around_the_start, start)
        daemon.outcome = start()
        for arrangement in self._in_order():
            arrangement.after_the_start(daemon)
        return daemon

    def arranged(self, marker: str) -> Any:
        """Give what a marker hands out; everything that is wished for has been arranged by then.

        While that is being arranged, an arrangement can ask for one that comes before it; one that nobody wished for
        is arranged with its defaults.
        """
        if not self._arranging:
            _ = self.home
        return self._arrange(marker).given

    def arm(self, fault: FaultT) -> FaultT:
        """Arrange a fault, prove that it fired, and undo it at the end; gives the fault.

        Raises:
            NotMeasuredError: It did not fire.
            UnsupportedError: It cannot be arranged here.
        """
        self._undoing.callback(fault.undo)
        fault.arrange()
        prove(fault)
        return fault

    def undo_with(self, undo: Callable[[], object]) -> None:
        """Call something when everything is taken back, before what was arranged earlier is."""
        self._undoing.callback(undo)

    def run_under(self, setting: Setting) -> None:
        """Have every later start made under these circumstances too."""
        self.setting |= setting

    def start_elsewhere(self, home: Path) -> None:
        """Have another home started than that of the store."""
        self._home = home

    def release(self) -> None:
        """Take everything back; what ran is ended."""
        if "daemon" in vars(self):
            self.driver.stop(self.daemon.home, timeout=ANSWER_SECONDS, force=has(self.driver, Capability.FORCE_STOP))
        self._undoing.close()

    def _arrange(self, marker: str) -> Arrangement:
        if marker not in self._arrangements:
            values = self.wished.get(marker, MARKERS[marker].defaults)
            arrangement = self._arrangements[marker] = ARRANGEMENTS[marker](self, values)
            arrangement.in_the_home()
        return self._arrangements[marker]

    def _in_order(self) -> list[Arrangement]:
        return [self._arrangements[marker] for marker in ARRANGEMENTS if marker in self._arrangements]


class Daemon:
    """A daemon under test, as a test uses it.

    Attributes:
        home: Its home.
        outcome: How its latest start ended.
        healthy: The subclusters that can be restored.
        missing: The subclusters that cannot.
    """

    def __init__(self, situation: Situation, home: Path) -> None:
        self.home = home
        self.missing = situation.missing
        self.healthy = tuple(sub for sub in situation.store.subclusters if sub not in situation.missing)
        self.outcome: Outcome
        self._situation = situation
        self._launched = 0

    @property
    def driver(self) -> KernelDriver:
        """The driver by which the daemon is reached."""
        return self._situation.driver

    @property
    def bad_url(self) -> str:
        """The URL of the bundle that ``bundle_fetch_error`` arranged."""
        url: str = self.arranged("bundle_fetch_error")
        return url

    def arranged(self, marker: str) -> Any:
        """Give what a marker of the test arranged, such as its fault."""
        return self._situation.arranged(marker)

    def start(self) -> Outcome:
        """Start the daemon; ``outcome`` becomes what came of it."""
        self.outcome = self.driver.start(self.home, timeout=self._situation.patience, setting=self._situation.setting)
        return self.outcome

    def stop(self, *, force: bool = False) -> Outcome:
        """Stop the daemon."""
        return self.driver.stop(self.home, timeout=ANSWER_SECONDS, force=force)

    def kill(self) -> Outcome:
        """Kill the daemon."""
        return self.driver.kill(self.home)

    def ping(self) -> Outcome:
        """Ask the daemon whether it is there."""
        return self.driver.ping(self.home, timeout=ANSWER_SECONDS)

    def list(self) -> dict[str, Listed]:
        """Give the subclusters as the daemon lists them, by id.

        Raises:
            HarnessBrokenError: It does not.
        """
        entries = demand("list", self.driver.list(self.home, timeout=ANSWER_SECONDS)).value
        return {entry.id: entry for entry in entries}

    def probe(self, subcluster: Subcluster) -> Outcome:
        """Send one message to a subcluster."""
        return self.driver.probe(self.home, subcluster, timeout=ANSWER_SECONDS)

    def launch(self) -> Subcluster:
        """Launch one more subcluster, from a bundle of its own.

        Raises:
            HarnessBrokenError: That does not work.
        """
        self._launched += 1
        return launch(self.driver, self.home, f"new{self._launched}")

    def fetch(self, url: str) -> Outcome:
        """Have the daemon fetch a bundle."""
        return self.driver.fetch(self.home, url, timeout=ANSWER_SECONDS)


def subclusters(wished: Mapping[str, Mapping[str, Any]]) -> int:
    """Say how many subclusters the store of a test has.

    Raises:
        ValueError: Its markers contradict each other.
    """
    counts = {name: wish["subclusters"] for name, wish in wished.items() if "subclusters" in wish}
    fixed = {name: MARKERS[name].subclusters for name in wished}
    counts |= {name: count for name, count in fixed.items() if count is not None}
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"one store cannot have {', '.join(f'{count} subclusters for {name}' for name, count in counts.items())}"
        )
    return next(iter(counts.values()), DEFAULT_SUBCLUSTERS)
