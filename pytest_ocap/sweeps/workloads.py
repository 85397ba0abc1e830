"""The workloads that are swept: what clients ask a daemon for, while faults come.

Invariant: a workload does the same each time, begins on a home that is put back byte for byte at the same path, and
writes down in its ledger what its clients were told.  It knows the driver protocol only; its daemon descends from the
client of its one start, which is how a fault reaches it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pytest_ocap.driver import Capability
from pytest_ocap.faults.bundles import BUNDLE_FAULTS
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore
from pytest_ocap.sweeps.asking import Run, StoppedError
from pytest_ocap.sweeps.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_ocap.driver import KernelDriver, RotationDriver, UpgradedDriver
    from pytest_ocap.homes import Homes
    from pytest_ocap.persisted import Templates
    from pytest_ocap.sweeps.asking import Start


@dataclass(frozen=True)
class Workload:
    """A workload.

    Attributes:
        name: Its name, for options and reports.
        does: What it does, in words.
        needs: The capabilities without which it cannot be run.
        subclusters: How many there are in the store on which it begins; None for a home that does not exist yet.
        missing: From how many of those, the first, the bundle is taken.
        body: What its clients do.
        older: Whether that store was made by an older edition of the daemon.
    """

    name: str
    does: str
    needs: frozenset[Capability]
    subclusters: int | None
    missing: int
    body: Callable[[Run], None]
    older: bool = False

    @contextlib.contextmanager
    def prepared(self, driver: KernelDriver, homes: Homes, templates: Templates) -> Iterator[Ledger]:
        """Put its home in place, and take it back at the end with whatever runs in it; gives an empty ledger.

        Raises:
            HarnessBrokenError: The daemon cannot make the store.
        """
        if self.subclusters is None:
            home = homes.make()
            try:
                yield Ledger(PersistedStore(home, ()))
            finally:
                homes.remove(home)
            return
        maker = cast("UpgradedDriver", driver).older if self.older else driver
        store = templates.lend(maker, self.subclusters)
        try:
            bad = store.subclusters[: self.missing]
            for subcluster in bad:
                BUNDLE_FAULTS["delete"](subcluster.bundle).arrange()
            yield Ledger(store, frozenset(subcluster.id for subcluster in bad))
        finally:
            templates.take_back(store)

    def run(
        self,
        driver: KernelDriver,
        ledger: Ledger,
        start: Start,
        *,
        patience: float | None = None,
        answer: float = ANSWER_SECONDS,
    ) -> str | None:
        """Run it once.

        Args:
            driver: The daemon.
            ledger: Where it is written down.
            start: How the daemon is started.
            patience: How many seconds the client of a start waits; as long as the driver says when left out.
            answer: How many seconds any other client waits.

        Returns:
            None when it came to its end, else what stopped it.
        """
        try:
            self.body(Run(driver, ledger, start, (patience or driver.start_timeout, answer)))
        except StoppedError as stopped:
            return str(stopped)
        return None


def _start(run: Run) -> None:
    run.start()
    run.stop()


def _session(run: Run) -> None:
    run.start()
    run.launch("c1")
    run.probe("c1")
    run.launch("c2")
    run.probe("c1")
    run.probe("c2")
    run.stop()


def _restore(run: Run) -> None:
    run.start()
    for name in ("c1", "c2", "c3"):
        run.probe(name)
    run.stop()


def _repair(run: Run) -> None:
    run.start()
    run.probe("c2")
    run.bring_back("c1")
    run.repair("c1")
    for name in ("c1", "c2"):
        run.probe(name)
    run.stop()


def _prune(run: Run) -> None:
    run.start()
    run.probe("c2")
    run.prune("c1")
    run.probe("c2")
    run.stop()


def _terminate(run: Run) -> None:
    run.start()
    for name in ("c1", "c2"):
        run.probe(name)
    run.terminate("c1")
    run.probe("c2")
    run.stop()


def _restart(run: Run) -> None:
    for _ in range(2):
        run.start()
        run.probe("c1")
        run.stop()


def _pin(run: Run) -> None:
    run.start()
    run.launch("c1")  # with it the store syncs the home, and the first copy must not profit from that
    run.launch_pinned("c2")
    run.lose("c2")
    run.probe("c2")
    run.stop()


def _references(run: Run) -> None:
    run.start()
    run.launch_linked("c1")
    for _ in range(3):
        run.probe("c1")
    run.stop()
    run.start()
    run.probe("c1")
    run.stop()


def _garbage(run: Run) -> None:
    run.start()
    run.launch_linked("c1")
    for _ in range(2):
        run.probe("c1")
    run.collect()
    run.probe("c1")
    run.stop()
    run.start()
    run.probe("c1")
    run.collect()
    run.stop()


def _revocation(run: Run) -> None:
    run.start()
    run.launch_linked("c1")
    run.probe("c1")
    run.use("c1")
    run.revoke("c1")
    run.use("c1")
    run.probe("c1")
    run.stop()
    run.start()
    run.use("c1")
    run.probe("c1")
    run.stop()


def _logs(run: Run) -> None:
    run.start(cast("RotationDriver", run.driver).small_log)
    run.launch("c1")
    for _ in range(6):
        run.probe("c1")
    run.stop()


_ANSWERS = frozenset({Capability.LAUNCH, Capability.PROBE})
_LISTS = _ANSWERS | {Capability.LIST}

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("start", "a first start in an empty home, and a stop", frozenset(), None, 0, _start),
        Workload("session", "a first start, two launches, three messages, and a stop", _ANSWERS, None, 0, _session),
        Workload(
            "restore",
            "a start on a store of three subclusters whose first has lost its bundle, two messages, and a stop",
            _ANSWERS,
            3,
            1,
            _restore,
        ),
        Workload(
            "repair",
            "a start on a store of two subclusters whose first has lost its bundle, a message, the bundle is put back, "
            "a repair, two messages, and a stop",
            _LISTS | {Capability.QUARANTINE, Capability.REPAIR},
            2,
            1,
            _repair,
        ),
        Workload(
            "prune",
            "a start on a store of two subclusters whose first has lost its bundle, a message, that one is pruned, "
            "another message, and a stop",
            _LISTS | {Capability.QUARANTINE, Capability.PRUNE},
            2,
            1,
            _prune,
        ),
        Workload(
            "terminate",
            "a start on a store of two subclusters, two messages, the first is terminated, a message, and a stop",
            _LISTS | {Capability.TERMINATE},
            2,
            0,
            _terminate,
        ),
        Workload(
            "pin",
            "a first start, a launch, one with its bundle pinned, that bundle is lost, a message, and a stop",
            _ANSWERS | {Capability.PIN},
            None,
            0,
            _pin,
        ),
        Workload(
            "restart",
            "a start on a store of one subcluster, a message, a stop, and all of it once more",
            _ANSWERS,
            1,
            0,
            _restart,
        ),
        Workload(
            "references",
            "a first start, a launch of vats that pass each other objects and promises at each message, three "
            "messages, a stop, and a start, a message and a stop once more",
            _ANSWERS | {Capability.REFERENCES},
            None,
            0,
            _references,
        ),
        Workload(
            "garbage",
            "a first start, a launch of vats that at each message pass each other new objects and drop the ones "
            "before, two messages, a collection of garbage, a message, a stop, and a start, a message, a collection "
            "and a stop once more",
            _ANSWERS | {Capability.REFERENCES, Capability.COLLECT},
            None,
            0,
            _garbage,
        ),
        Workload(
            "revocation",
            "a first start, a launch of vats that share an object, a message, one to that object, it is revoked, "
            "another to it, a message, a stop, and a start, a message to it, a message and a stop once more",
            _ANSWERS | {Capability.REFERENCES, Capability.REVOKE},
            None,
            0,
            _revocation,
        ),
        Workload(
            "logs",
            "a first start with a log that is moved aside after a few lines, a launch, six messages, and a stop",
            _ANSWERS | {Capability.LOG, Capability.LOG_ROTATION},
            None,
            0,
            _logs,
        ),
        Workload(
            "migration",
            "a start on a store of two subclusters that an older edition has made, two messages, and a stop",
            _ANSWERS | {Capability.OLDER_STORE},
            2,
            0,
            _restore,
            older=True,
        ),
    )
}
"""The workloads, by their names."""
