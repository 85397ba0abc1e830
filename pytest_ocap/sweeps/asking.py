"""The clients of a workload: the verbs by which they ask a daemon, each written down in the ledger.

Invariant: whatever is asked for stands in the ledger with what came of it, and nothing is asked any more of a daemon
that is gone or does not answer.  Knows the driver protocol only, and nothing of faults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pytest_ocap.clock import Clock
from pytest_ocap.driver import PLAIN, Outcome, Subcluster
from pytest_ocap.persisted import bundles_of
from pytest_ocap.sweeps.ledger import REMOVALS, Fate, Ledger, Operation, fate_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Protocol

    from pytest_ocap.driver import (
        KernelDriver,
        PinDriver,
        PruneDriver,
        RepairDriver,
        Setting,
        TerminateDriver,
    )
    from pytest_ocap.linked_driver import CollectDriver, LinkedDriver, RevokeDriver

    class Start(Protocol):
        """How a workload's daemon is started: as the driver does it, or with a fault on its way."""

        def __call__(self, driver: KernelDriver, home: Path, *, timeout: float, setting: Setting = PLAIN) -> Outcome:
            """Start the daemon and wait until it is ready, or until its client gives up after ``timeout``."""
            ...


class StoppedError(Exception):
    """The workload cannot go on: its daemon is gone, or does not answer."""


class Run:
    """One run of a workload: the verbs that it uses, each written down.

    Args:
        driver: The daemon.
        ledger: Where it is written down.
        start: How the daemon is started.
        patience: How many seconds a client waits for a start, and for any other answer.
    """

    def __init__(self, driver: KernelDriver, ledger: Ledger, start: Start, patience: tuple[float, float]) -> None:
        self.driver = driver
        self.ledger = ledger
        self._start = start
        self._patience, self._answer = patience
        self._clock = Clock()
        self._launched: dict[str, Subcluster] = {sub.bundle.stem: sub for sub in ledger.store.subclusters}

    @property
    def home(self) -> Path:
        """The home that it runs in."""
        return self.ledger.store.home

    def start(self, setting: Setting = PLAIN) -> None:
        """Start the daemon."""
        self._do("start", "", lambda: self._start(self.driver, self.home, timeout=self._patience, setting=setting))

    def launch(self, name: str) -> None:
        """Launch a subcluster from a new bundle of that name."""
        self._launch("launch", name, self.driver.launch)

    def launch_pinned(self, name: str) -> None:
        """Launch a subcluster from a new bundle of that name, of which the daemon keeps a copy."""
        self._launch("launch_pinned", name, cast("PinDriver", self.driver).launch_pinned)

    def launch_linked(self, name: str) -> None:
        """Launch a subcluster of vats that refer to each other from a new bundle of that name."""
        bundle = bundles_of(self.home) / f"{name}.bundle"
        launch = cast("LinkedDriver", self.driver).launch_linked
        self._make("launch_linked", name, bundle.as_uri(), lambda: launch(self.home, bundle, timeout=self._answer))

    def _launch(self, verb: str, name: str, launch: Callable[..., Outcome]) -> None:
        url = self.driver.make_bundle(bundles_of(self.home) / f"{name}.bundle")
        self._make(verb, name, url, lambda: launch(self.home, url, timeout=self._answer))

    def _make(self, verb: str, name: str, url: str, launch: Callable[[], Outcome]) -> None:
        def read(outcome: Outcome) -> Subcluster:
            identity, root = outcome.value
            self._launched[name] = Subcluster(identity, root, bundles_of(self.home) / f"{name}.bundle", url)
            return self._launched[name]

        self._do(verb, name, launch, read)

    def probe(self, name: str) -> None:
        """Send a message to the subcluster of that name, when it was launched and can answer."""
        subcluster = self._launched.get(name)
        if subcluster is not None and subcluster.id not in self._mute:
            self._ask("probe", name, self.driver.probe)

    def lose(self, name: str) -> None:
        """Take a bundle away, when anything was launched from it."""
        if name in self._launched:
            self._launched[name].bundle.unlink()

    def bring_back(self, name: str) -> None:
        """Put the bundle back that was taken."""
        self.driver.make_bundle(self._launched[name].bundle)

    def repair(self, name: str) -> None:
        """Have a subcluster that was set aside run again."""
        self._ask("repair", name, cast("RepairDriver", self.driver).repair)

    def prune(self, name: str) -> None:
        """Have a subcluster that was set aside removed."""
        self._ask("prune", name, cast("PruneDriver", self.driver).prune)

    def terminate(self, name: str) -> None:
        """Have a subcluster that runs removed."""
        self._ask("terminate", name, cast("TerminateDriver", self.driver).terminate)

    def revoke(self, name: str) -> None:
        """Have the object revoked that the linked vats of a subcluster share."""
        self._ask("revoke", name, cast("RevokeDriver", self.driver).revoke)

    def use(self, name: str) -> None:
        """Have the object sent a message that the linked vats of a subcluster share."""
        self._ask("use", name, cast("RevokeDriver", self.driver).use)

    def collect(self) -> None:
        """Have the vats find out what they no longer reach."""
        collect = cast("CollectDriver", self.driver).collect
        self._do("collect", "", lambda: collect(self.home, timeout=self._answer))

    @property
    def _mute(self) -> frozenset[str]:
        """The ids of those that cannot be expected to answer."""
        ledger = self.ledger
        removed = ledger.met(Fate.DONE, *REMOVALS) | ledger.met(Fate.UNKNOWN, *REMOVALS)
        return (ledger.bad - ledger.met(Fate.DONE, "repair")) | removed

    def _ask(self, verb: str, name: str, ask: Callable[..., Outcome]) -> None:
        """Ask for something that is about one subcluster, when that was launched."""
        about = self._launched.get(name)
        if about is not None:
            self._do(verb, name, lambda: ask(self.home, about, timeout=self._answer), lambda _: about, about)

    def stop(self) -> None:
        """Stop the daemon."""
        self._do("stop", "", lambda: self.driver.stop(self.home, timeout=self._answer))

    def _do(
        self,
        verb: str,
        subject: str,
        ask: Callable[[], Outcome],
        read: Callable[[Outcome], Subcluster] | None = None,
        about: Subcluster | None = None,
    ) -> None:
        """Ask, write down what came of it, and stop when nobody answers any more.

        Raises:
            StoppedError: There is no use in going on.
        """
        began = self._clock.now()
        outcome = ask()
        fate = fate_of(self.driver, outcome)
        concerned = read(outcome) if read is not None and fate is Fate.DONE else about
        self.ledger.operations.append(Operation(verb, subject, began, self._clock.now(), outcome, fate, concerned))
        going = fate is Fate.DONE or (
            verb not in ("start", "stop") and self.driver.ping(self.home, timeout=self._answer).ok
        )
        if not going:
            raise StoppedError(f"{verb} {subject}: {outcome.describe()}")
