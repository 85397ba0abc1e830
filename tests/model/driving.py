"""What every kind of step needs: a kernel and the world beside it, launches and ends of subclusters, a written trail.

A failure prints the steps as a script (``p1.tell('p2', 3) -> 3``), shrunk by Hypothesis.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hosting import FOR_SYSTEM, ORDINARY, Program
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from kernels import PATIENCE_SECONDS, InProcess, Kernel, send, settle
from party import PARTY
from world import Cluster, Line, Party, Thing, World

from kernel.bundle import build_bundle
from kernel.capdata import CapData, decode
from kernel.errors import OcapError, RejectedError

PICK = st.integers(0, 7)
FEW = st.integers(1, 4)
KIND = st.sampled_from(["data", "nothing", "error", "reference", "self"])
MOST_PARTIES = 7
ENOUGH_TO_SPARE = 4

STEPS = Counter[str]()
"""How many steps have been made in this process, by name."""


def _bundle() -> bytes:
    import textwrap

    with tempfile.TemporaryDirectory(prefix="oc-") as folder:
        module = Path(folder) / "party.py"
        module.write_text(textwrap.dedent(PARTY))
        return build_bundle(str(module))


def some_run(machine: Driving) -> bool:
    """Say whether there is a vat that can be sent a message."""
    return any(not party.root.revoked for party in machine.world.running())


class Driving(RuleBasedStateMachine):
    """Drives one kernel, and the world beside it."""

    make: Callable[[Path], Kernel] = InProcess
    party_bundle: bytes | None = None

    def __init__(self) -> None:
        super().__init__()
        if Driving.party_bundle is None:
            Driving.party_bundle = _bundle()
        self.folder = Path(tempfile.mkdtemp(prefix="oc-", dir="/tmp"))
        (self.folder / "k").mkdir()
        self.kernel = type(self).make(self.folder / "k")
        self.world = World()
        self.world.hosted = self.kernel.program is not None
        self.numbers = 0

    def teardown(self) -> None:
        """End the kernel, and leave nothing behind."""
        try:
            self.kernel.remove()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def program(self) -> Program:
        """Give the program that has the kernel."""
        assert self.kernel.program is not None
        return self.kernel.program

    # --- saying what is done ---

    def _next(self) -> int:
        self.numbers += 1
        return self.numbers

    def _step(self, text: str) -> None:
        STEPS[text.partition("(")[0].rpartition(".")[2]] += 1
        note(text)

    def _send(self, party: Party, method: str, *args: Any) -> Any:
        """Send to a party's root; give the answer, or the name of the error in brackets."""
        try:
            answer = send(self.kernel, party.root.kref, method, *args)
        except RejectedError as error:
            answer = f"<{error.data['errorName']}>"
        except OcapError as error:
            answer = f"<{type(error).__name__}>"
        self._step(f"{party.name}.{method}({', '.join(map(repr, args))}) -> {answer!r}")
        settle(self.kernel)
        return answer

    def _tell_kernel(self, method: str, *params: Any) -> Any:
        self._step(f"kernel.{method}({', '.join(map(repr, params))})")
        result = self.kernel.call(method, *params)
        settle(self.kernel)
        return result

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "the kernel does not notice"
            self.kernel.go_on(3)

    def _baggage(self) -> dict[int, dict[str, Any]]:
        """Give what is in the store of each vat's baggage, by vat and key; of a reference its kref."""
        rows = self.kernel.call(
            "executeDBQuery",
            "SELECT b.vat_id, b.key, b.body, s.object FROM baggage b LEFT JOIN baggage_slots s USING (vat_id, key)",
        )
        found: dict[int, dict[str, Any]] = {}
        for row in rows:
            is_reference = row["key"] in ("urls", "host", "line") or row["key"].startswith("ref:")
            value = f"ko{row['object']}" if is_reference else decode(CapData(row["body"], ()))
            found.setdefault(row["vat_id"], {})[row["key"]] = value
        return found

    def _pick(self, pick: int) -> Party:
        reachable = [party for party in self.world.running() if not party.root.revoked]
        return reachable[pick % len(reachable)]

    def _reference(self, party: Party, pick: int) -> tuple[str, Thing]:
        name = sorted(party.refs)[pick % len(party.refs)]
        return name, party.refs[name]

    def _with_references(self) -> list[Party]:
        return [party for party in self.world.running() if party.refs and not party.root.revoked]

    @staticmethod
    def _check_refusal(answer: object, refusals: set[str]) -> None:
        assert answer in {f"<{name}>" for name in refusals}, f"{answer} instead of one of {refusals}"

    def _revoke(self, thing: Thing) -> None:
        self._tell_kernel("revoke", thing.kref)
        thing.revoked = True
        assert self.kernel.call("isRevoked", thing.kref) is True

    # --- launch and end ---

    @initialize()
    def begin_with_three(self) -> None:
        """Launch a subcluster: without one there is nothing to do."""
        self.launch(3, True)

    @precondition(lambda self: len(self.world.parties()) <= MOST_PARTIES - 3)
    @rule(size=st.integers(1, 3), line=st.booleans())
    def launch(self, size: int, line: bool) -> None:
        services = ["ocapURLs", *([ORDINARY] if self.world.hosted else [])]
        cluster, config = self._design(size, services)
        if line:
            cluster.line = Line(str(Path(cluster.bundle).with_suffix(".line")))
            config["io"] = {"line": {"type": "socket", "path": cluster.line.path}}
            config["services"] = [*services, "line"]
        self._step(f"launch({', '.join(config['vats'])})")
        answer = self.kernel.call("launchSubcluster", config)
        settle(self.kernel)
        self._note_launch(cluster, answer["subclusterId"], answer["rootKref"], services)

    def _design(self, size: int, services: list[str]) -> tuple[Cluster, dict[str, Any]]:
        """Give a subcluster that is to be launched, and its configuration."""
        number = self._next()
        path = self.folder / f"{number}.bundle"
        assert self.party_bundle is not None
        path.write_bytes(self.party_bundle)
        cluster = Cluster(str(path))
        cluster.parties = [Party(f"p{number}{letter}", cluster) for letter in "abc"[:size]]
        vats = {p.name: {"bundleSpec": path.as_uri(), "parameters": {"name": p.name}} for p in cluster.parties}
        return cluster, {"bootstrap": cluster.parties[0].name, "vats": vats, "services": services}

    def _note_launch(self, cluster: Cluster, name: str, root_kref: str, services: list[str]) -> None:
        """Have the world know of a subcluster that was launched."""
        cluster.id = name
        rows = self.kernel.call(
            "executeDBQuery",
            "SELECT v.name, v.id, c.object FROM vats v JOIN clist c ON c.vat_id = v.id WHERE c.vref = 'o+0'",
        )
        roots = {row["name"]: (row["id"], row["object"]) for row in rows}
        for party in cluster.parties:
            number, root = roots[party.name]
            party.id, party.root = f"v{number}", Thing(party, f"ko{root}")
            party.learn(party.root)
        first = cluster.parties[0]
        assert root_kref == first.root.kref
        for party in cluster.parties[1:]:
            first.receive(party.name, party.root)
        krefs = {
            row["name"]: f"ko{row['object_id']}" for row in self.kernel.call("executeDBQuery", "SELECT * FROM services")
        }
        given = {service: krefs[service] for service in services}
        first.known.update(given.values())
        first.urls = given["ocapURLs"]
        first.host = given.get(ORDINARY) or given.get(FOR_SYSTEM)
        if cluster.line is not None:
            (channel,) = self.kernel.call(
                "executeDBQuery", f"SELECT object_id FROM channels WHERE subcluster_id = {name[1:]}"
            )
            first.line = f"ko{channel['object_id']}"
            first.known.add(first.line)
        self.world.clusters.append(cluster)

    @precondition(lambda self: len(self.world.running()) >= ENOUGH_TO_SPARE)
    @rule(pick=PICK)
    def terminate_vat(self, pick: int) -> None:
        party = self.world.running()[pick % len(self.world.running())]
        self._tell_kernel("terminateVat", party.id)
        self.world.remove(party)

    @precondition(lambda self: len(self.world.parties()) >= ENOUGH_TO_SPARE)
    @rule(pick=PICK)
    def terminate_subcluster(self, pick: int) -> None:
        cluster = self.world.clusters[pick % len(self.world.clusters)]
        self._tell_kernel("terminateSubcluster", cluster.id)
        self.world.remove_cluster(cluster)
