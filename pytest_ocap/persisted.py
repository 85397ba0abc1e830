"""Persisted stores: homes in which subclusters were launched, answered, and were stopped cleanly.

Invariant: a store that is handed out was made by the daemon itself, and what its subclusters answered last is known.
A template is made once in each test process and put back, byte for byte and *at the same path*, for each user: a
daemon may write absolute paths into its store, so a copy elsewhere would still point to the template.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_ocap.clock import Clock
from pytest_ocap.driver import PLAIN, Capability, Subcluster, has
from pytest_ocap.homes import copy_tree
from pytest_ocap.verdict import HarnessBrokenError

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver, Outcome, Setting
    from pytest_ocap.homes import Homes

ANSWER_SECONDS = 10.0
"""Within which a daemon that is up must answer anything."""


@dataclass(frozen=True)
class PersistedStore:
    """A stopped home with its subclusters; ``answers`` gives for each id how many probes it has answered."""

    home: Path
    subclusters: tuple[Subcluster, ...]
    answers: dict[str, int] = field(default_factory=dict)


def persist(driver: KernelDriver, home: Path, count: int) -> PersistedStore:
    """Make a persisted store with ``count`` subclusters in an empty home; bundles go to ``bundles`` beside it.

    Raises:
        HarnessBrokenError: The daemon cannot do this, although nothing is wrong with its home.
    """
    start(driver, home)
    store = PersistedStore(home, tuple(launch(driver, home, f"c{number}") for number in range(1, count + 1)))
    if has(driver, Capability.PROBE):
        for number, subcluster in enumerate(store.subclusters, start=1):
            # Each answers another number of times, so that a daemon that mixes them up is noticed.
            for ordinal in range(1, number + 1):
                answer = demand("probe", driver.probe(home, subcluster, timeout=ANSWER_SECONDS)).value
                store.answers[subcluster.id] = ordinal
                if has(driver, Capability.STATE) and answer != ordinal:
                    raise HarnessBrokenError(
                        f"subcluster {subcluster.id} answered {answer!r} to its probe no. {ordinal}"
                    )
    demand("stop", driver.stop(home, timeout=ANSWER_SECONDS))
    return store


def start(driver: KernelDriver, home: Path, setting: Setting = PLAIN) -> None:
    """Start a daemon with whose home nothing is wrong, and wait until it answers.

    A daemon that calls itself ready too early is waited for: that is judged by checks, not by preparations.

    Raises:
        HarnessBrokenError: It does not start, or does not answer.
    """
    demand("start", driver.start(home, timeout=driver.start_timeout, setting=setting))
    Clock().wait_until(lambda: driver.ping(home, timeout=ANSWER_SECONDS).ok, driver.start_timeout)
    demand("ping", driver.ping(home, timeout=ANSWER_SECONDS))


def launch(driver: KernelDriver, home: Path, name: str) -> Subcluster:
    """Make a bundle of that name beside the home and launch a subcluster from it.

    Raises:
        HarnessBrokenError: The daemon cannot do this, although nothing is wrong with the bundle.
    """
    bundle = bundles_of(home) / f"{name}.bundle"
    url = driver.make_bundle(bundle)
    identity, root = demand("launch", driver.launch(home, url, timeout=ANSWER_SECONDS)).value
    return Subcluster(identity, root, bundle, url)


def bundles_of(home: Path) -> Path:
    """Give the directory for a home's bundles: beside it, since a bundle's home is not the daemon's."""
    directory = home.parent / "bundles"
    directory.mkdir(exist_ok=True)
    return directory


def demand(verb: str, outcome: Outcome) -> Outcome:
    """Insist that a verb worked where nothing is wrong.

    Raises:
        HarnessBrokenError: It did not.
    """
    if not outcome.ok:
        raise HarnessBrokenError(f"nothing is wrong with the home, and yet: {verb}: {outcome.describe()}")
    return outcome


class Templates:
    """The persisted stores of one test process, by driver and number of subclusters."""

    def __init__(self, homes: Homes) -> None:
        self._homes = homes
        self._stores: dict[tuple[int, int], list[PersistedStore]] = {}
        self._lent: set[Path] = set()

    def lend(self, driver: KernelDriver, count: int) -> PersistedStore:
        """Give a persisted store for the caller's use; give it back with :meth:`take_back`.

        Raises:
            HarnessBrokenError: The driver's daemon cannot make one.
        """
        from pytest_ocap.witness import witnessed

        stores = self._stores.setdefault((id(driver), count), [])
        template = next((store for store in stores if store.home not in self._lent), None)
        if template is None:
            home = self._homes.make()
            try:
                with witnessed(driver, home) as recording:
                    template = persist(recording, home, count)
            except BaseException:
                self._homes.remove(home)
                raise
            for name in _PARTS:
                copy_tree(home.parent / name, home.parent / f".{name}")
            stores.append(template)
        else:
            for name in _PARTS:
                copy_tree(template.home.parent / f".{name}", template.home.parent / name)
        self._lent.add(template.home)
        return PersistedStore(template.home, template.subclusters, dict(template.answers))

    def take_back(self, store: PersistedStore) -> list[str]:
        """Take a store back: end what uses it, empty it, and give the processes that had to be ended."""
        from pytest_ocap import homes, processes

        root = store.home.parent
        ended = processes.end(root)
        for entry in root.iterdir():
            if entry.name.removeprefix(".") in _PARTS and entry.name.startswith("."):
                continue
            if entry.is_dir() and not entry.is_symlink():
                homes.remove_tree(entry)
            else:
                entry.unlink()
        self._lent.discard(store.home)
        return ended


_PARTS = ("h", "bundles")
