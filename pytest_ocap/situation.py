"""The situation of one test: its home, the faults that its markers wish for, and the daemon booted on them.

Invariant: everything is arranged at most once, in one order whatever order the fixtures are asked for, and
:meth:`Situation.release` takes all of it back, however far it got.  Knows nothing of pytest.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_ocap.driver import PLAIN, Capability, Subcluster, has
from pytest_ocap.examination import prove
from pytest_ocap.faults.sockets import SOCKET_FAULTS
from pytest_ocap.faults.starts import InterruptedStart
from pytest_ocap.faults.startup import START_FAULTS
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, bundles_of, demand, launch
from pytest_ocap.scenarios.bundle_fetch_error import fault_of
from pytest_ocap.scenarios.crashed_init import PATIENCE_SECONDS
from pytest_ocap.scenarios.missing_bundle import break_bundles, choose

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver, Listed, Outcome, Setting
    from pytest_ocap.faults import Fault
    from pytest_ocap.faults.sockets import SocketFault
    from pytest_ocap.homes import Homes
    from pytest_ocap.persisted import Templates

DEFAULT_SUBCLUSTERS = 3


@dataclass
class MissingBundle:
    """The bundles that are broken, whose subclusters they are, and how to mend them."""

    healthy: tuple[Subcluster, ...]
    missing: tuple[Subcluster, ...]
    faults: tuple[Fault, ...]

    def restore(self) -> None:
        """Put every bundle back; may be called again."""
        for fault in self.faults:
            fault.undo()


class Situation:
    """What is arranged for one test.

    Args:
        driver: The daemon under test.
        homes: Where homes come from.
        templates: Where persisted stores come from.
        wished: For each marker (or fixture that arranges the same) its arguments.
    """

    def __init__(
        self, driver: KernelDriver, homes: Homes, templates: Templates, wished: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.driver = driver
        self.wished = wished
        self._homes = homes
        self._templates = templates
        self._setting = PLAIN
        self._undoing = contextlib.ExitStack()

    @property
    def setting(self) -> Setting:
        """The circumstances under which the daemon has to run for the arranged faults to bite."""
        return self._setting

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
    def missing_bundle(self) -> MissingBundle:
        """The broken bundles."""
        wish = self.wished.get("missing_bundle", {"missing": 1, "how": "delete"})
        healthy, bad = choose(self.store, wish["missing"])
        faults, setting = break_bundles(bad, wish["how"])
        self._setting = self._setting | setting
        for fault in faults:
            self._arm(fault)
        return MissingBundle(healthy, bad, faults)

    @cached_property
    def unfetchable(self) -> str:
        """The URL of a bundle that cannot be fetched."""
        how = self.wished["bundle_fetch_error"]["how"]
        bundle = bundles_of(self.store.home) / "wanted.bundle"
        url = self.driver.make_bundle(bundle)
        fault = fault_of(how, bundle)
        self._setting = self._setting | fault.setting
        self._arm(fault)
        return url

    @cached_property
    def stale_socket(self) -> SocketFault:
        """What stands where the socket belongs."""
        kind = self.wished.get("stale_socket", {"kind": "dead"})["kind"]
        path = self.driver.socket(self.store.home)
        assert path is not None, "the driver claims a socket, and does not say where it lies"
        fault = SOCKET_FAULTS[kind](path)
        self._arm(fault)
        return fault

    @cached_property
    def crashed_init(self) -> InterruptedStart:
        """The start that was killed or stopped half way."""
        wish = self.wished.get("crashed_init", {"how": "kill", "phase": "restore"})
        patience = PATIENCE_SECONDS if wish["how"] == "hang" else self.driver.start_timeout
        fault = InterruptedStart(
            self.driver, self.store.home, how=wish["how"], phase=wish["phase"], patience=patience, setting=self._setting
        )
        self._arm(fault)
        return fault

    @cached_property
    def home(self) -> Path:
        """The home to start, with every wished fault arranged in it; each before the daemon would meet it."""
        home = self.store.home
        if {"missing_bundle", "degraded_boot"} & set(self.wished):
            _ = self.missing_bundle
        if "bundle_fetch_error" in self.wished:
            _ = self.unfetchable
        if "stale_socket" in self.wished:
            _ = self.stale_socket
        if "crashed_init" in self.wished:
            _ = self.crashed_init
        if "legible_fatal" in self.wished:
            fault = START_FAULTS[self.wished["legible_fatal"]["cause"]](self.driver, home)
            self._arm(fault)
            home = fault.home
        return home

    @cached_property
    def daemon(self) -> Daemon:
        """The daemon, after its first start under these circumstances, whatever came of that."""
        home = self.home
        everything = self.store.subclusters
        healthy, missing = everything, everything[:0]
        if {"missing_bundle", "degraded_boot"} & set(self.wished):
            healthy, missing = self.missing_bundle.healthy, self.missing_bundle.missing
        daemon = Daemon(self, home, healthy, missing)
        daemon.start()
        return daemon

    def release(self) -> None:
        """Take everything back; what ran is ended."""
        if "daemon" in vars(self):
            self.driver.stop(self.daemon.home, timeout=ANSWER_SECONDS, force=has(self.driver, Capability.FORCE_STOP))
        self._undoing.close()

    def _arm(self, fault: Fault) -> None:
        self._undoing.callback(fault.undo)
        fault.arrange()
        prove(fault)


class Daemon:
    """A daemon under test, as a test uses it.

    Attributes:
        home: Its home.
        outcome: How its latest start ended.
        healthy: The subclusters that can be restored.
        missing: The subclusters that cannot.
    """

    def __init__(
        self, situation: Situation, home: Path, healthy: tuple[Subcluster, ...], missing: tuple[Subcluster, ...]
    ) -> None:
        self.home = home
        self.healthy = healthy
        self.missing = missing
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
        return self._situation.unfetchable

    def start(self) -> Outcome:
        """Start the daemon; ``outcome`` becomes what came of it."""
        self.outcome = self.driver.start(self.home, timeout=self._patience(), setting=self._situation.setting)
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

    def _patience(self) -> float:
        hangs = self._situation.wished.get("crashed_init", {}).get("how") == "hang"
        return PATIENCE_SECONDS if hangs else self.driver.start_timeout


def subclusters(wished: Mapping[str, Mapping[str, Any]]) -> int:
    """Say how many subclusters the store of a test has.

    Raises:
        ValueError: Its markers contradict each other.
    """
    counts = {name: wish["subclusters"] for name, wish in wished.items() if "subclusters" in wish}
    if "degraded_boot" in wished:
        counts["degraded_boot"] = DEFAULT_SUBCLUSTERS
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"one store cannot have {', '.join(f'{count} subclusters for {name}' for name, count in counts.items())}"
        )
    return next(iter(counts.values()), DEFAULT_SUBCLUSTERS)
