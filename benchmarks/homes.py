"""Makes large homes quickly: what a kernel would have stored, written by the store's own means in one transaction.

A home begins as that of a daemon which has launched one subcluster, and had it keep objects and texts; all others are
copies of its rows.  Each has a bundle file of its own, since those are what a start looks at.

Invariant: what is made here is what the kernel could have made.  A test asks ``ocap doctor``.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.measuring import await_gone, ocap
from kernel.bundle import build_bundle
from kernel.daemon.client import Client
from kernel.fetch import Fingerprint
from kernel.store import Store

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """\
from kernel.vat import Durable, Exo


class Thing(Durable):
    pass


class Root(Exo):
    def __init__(self, baggage):
        self._baggage = baggage

    def greet(self) -> str:
        return "hello"

    def keep_objects(self, key: str, count: int) -> None:
        self._baggage[key] = [Thing() for _ in range(count)]

    def count_objects(self) -> int:
        return sum(len(kept) for key, kept in self._baggage.items() if key.startswith("objects"))

    def keep_text(self, key: str, length: int) -> None:
        self._baggage[key] = "x" * length


def build_root_object(vat_powers, parameters, baggage):
    return Root(baggage)
"""

_OBJECTS_AT_ONCE = 1000
_TEXT_BYTES = 64 * 1024


class Size(NamedTuple):
    """What a home has."""

    subclusters: int
    objects: int = 0
    """How many durable objects each of their vats keeps."""
    text_bytes: int = 0
    """How many bytes of text each of their vats keeps."""


def make(home: Path, bundles: Path, size: Size) -> None:
    """Make a home.

    Args:
        home: It must not exist; its path is short enough for a socket.
        bundles: Where its bundles are put, each with its number; made if need be.
        size: What it has.
    """
    bundles.mkdir(exist_ok=True)
    ocap(home, "daemon", "start")
    pid = int((home / "daemon.pid").read_text())
    if size.subclusters:
        with Client(home / "daemon.sock", timeout=60.0) as client:
            _launch_first(client, bundles, size)
    ocap(home, "daemon", "stop")
    await_gone(pid)
    if size.subclusters > 1:
        _multiply(home / "kernel.sqlite", bundles, size.subclusters)


def _launch_first(client: Client, bundles: Path, size: Size) -> None:
    source, bundle = bundles / "main.py", bundles / "1.bundle"
    source.write_text(SOURCE)
    bundle.write_bytes(build_bundle(os.fspath(source)))
    config = {"bootstrap": "vat", "vats": {"vat": {"bundleSpec": bundle.as_uri()}}}
    root = client.call("launchSubcluster", {"config": config})["rootKref"]
    for kind, total, most in (("objects", size.objects, _OBJECTS_AT_ONCE), ("text", size.text_bytes, _TEXT_BYTES)):
        for number, done in enumerate(range(0, total, most)):
            arguments = [f"{kind} {number}", min(most, total - done)]
            client.call("queueMessage", [root, f"keep_{kind}", arguments])


def _multiply(path: Path, bundles: Path, subclusters: int) -> None:
    """Make so many subclusters of the one that a store has, each with a copy of its bundle."""
    store = Store.open(os.fspath(path))
    try:
        with store.unit():
            (first,) = store.subclusters.all()
            (vat,) = store.vats.all()
            known = store.vats.bundle(vat.id)
            assert known is not None
            count = store.references.count()
            for number in range(2, subclusters + 1):
                bundle = bundles / f"{number}.bundle"
                shutil.copyfile(bundles / "1.bundle", bundle)
                config = json.loads(first.config)
                config["vats"]["vat"]["bundleSpec"] = bundle.as_uri()
                copy = vat.id + number - 1
                names = {
                    "subcluster": first.id + number - 1,
                    "of_subcluster": first.id,
                    "vat": copy,
                    "of_vat": vat.id,
                    "further": count * (number - 1),
                    "config": json.dumps(config, separators=(",", ":")),
                }
                for statement in _COPIES.split(";"):
                    store.connection.execute(statement, names)
                store.vats.set_bundle(known._replace(vat_id=copy, spec=bundle.as_uri(), fingerprint=_seen(bundle)))
        store.commit()
    finally:
        store.close()


def _seen(bundle: Path) -> Fingerprint:
    found = bundle.stat()
    return Fingerprint(found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)


_COPIES = """
INSERT INTO subclusters (id, state, config, launched_at)
SELECT :subcluster, state, :config, launched_at FROM subclusters WHERE id = :of_subcluster;

INSERT INTO vats
SELECT :vat, :subcluster, name, incarnation, next_export, next_promise, next_import FROM vats WHERE id = :of_vat;

INSERT INTO objects
SELECT id + :further, :vat, revoked, abandoned FROM objects WHERE owner = :of_vat;

INSERT INTO clist
SELECT :vat, vref, object + :further, NULL, reachable FROM clist WHERE vat_id = :of_vat;

INSERT INTO durables
SELECT :vat, vref, kind, body FROM durables WHERE vat_id = :of_vat;

INSERT INTO baggage
SELECT :vat, key, body FROM baggage WHERE vat_id = :of_vat;

INSERT INTO baggage_slots
SELECT :vat, key, position, object + :further, NULL FROM baggage_slots WHERE vat_id = :of_vat
"""
"""What copies the rows of a vat and of its subcluster; objects get the numbers that are so much ``further``."""
