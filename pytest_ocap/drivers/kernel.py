"""The bundled driver: this project's own kernel, used as anybody would use it.

Invariant: the daemon is started and stopped by the ``ocap`` command and asked over its socket; nothing of the kernel
runs in this process.  All that is taken from the package ``kernel`` is where it lies and which version it is.
A command is a process of its own; where that makes no difference it is forked from one that has imported it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ocap import processes, rpc
from pytest_ocap.clients import run_client
from pytest_ocap.clock import Clock
from pytest_ocap.driver import FULL, PLAIN, Audit, Capability, Interrupt, Listed, Outcome, Setting, Subcluster
from pytest_ocap.drivers.fork_server import ForkServer
from pytest_ocap.drivers.kernel_vats import COUNTER, LINKED
from pytest_ocap.verdict import HarnessBrokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

IMPORTS = (
    "kernel.cli.app",
    "kernel.cli.daemon",
    "kernel.cli.failure",
    "kernel.cli.parser",
    "kernel.cli.parser_daemon",
    "kernel.cli.parser_subcluster",
    "kernel.cli.waiting",
    "kernel.daemon.ensure",
    "kernel.daemon.stop",
    "kernel.ending",
    "locale",
)
"""What the commands import that are run most."""

GRACE_SECONDS = 5.0
"""How much longer than its own time-out a client may take before the harness ends it."""


class KernelDriver:
    """Drives ``python -m kernel.cli``.

    Args:
        command: What is put in its place for a daemon that has been tampered with.
        env: Additions to the environment of its clients.
        older: The driver of an older edition, whose stores this one brings up to date; of the edition before when left
            out.
    """

    name = "kernel"
    phases = ("lock", "log", "store", "identity", "restore", "io", "listen")
    start_timeout = 20.0
    small_log = Setting(env={"OCAP_LOG_BYTES": "400"})

    def __init__(
        self, command: tuple[str, ...] = (), env: Mapping[str, str] | None = None, older: KernelDriver | None = None
    ) -> None:
        self._command = command or (sys.executable, "-P", "-m", "kernel.cli")
        self._env = dict(env or {})
        self._older = older
        self.supports: dict[Capability, str] = dict.fromkeys(Capability, FULL)

    @cached_property
    def older(self) -> KernelDriver:
        """The driver of the edition before."""
        if self._older is not None:
            return self._older
        from pytest_ocap.drivers.kernel_older import OlderKernelDriver

        return OlderKernelDriver(self._command, self._env)

    @cached_property
    def version(self) -> str:
        """The kernel's version."""
        import kernel

        return kernel.__version__

    @cached_property
    def build(self) -> str:
        """A digest of the kernel's code, by which results of one build are told from those of another."""
        place = self._env.get("PYTHONPATH", self._place).partition(os.pathsep)[0]
        digest = hashlib.sha256(repr(self._command).encode())
        for path in sorted(Path(place, "kernel").rglob("*.py")):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:12]

    def start(
        self, home: Path, *, timeout: float, interrupt: Interrupt | None = None, setting: Setting = PLAIN
    ) -> Outcome:
        """Run ``ocap daemon start``; an interrupt is one of the daemon's failpoints."""
        if interrupt is not None:
            failpoint = {"OCAP_FAILPOINT": f"{interrupt.phase}={interrupt.how}"}
            if interrupt.note is not None:
                failpoint["OCAP_FAILPOINT_NOTE"] = os.fspath(interrupt.note)
            setting |= Setting(env=failpoint)
        words = ("--timeout", f"{timeout:g}", "--log-level", "debug")  # its log then has the phases
        return self._run(home, "daemon", "start", *words, timeout=timeout, setting=setting)

    def stop(self, home: Path, *, timeout: float, force: bool = False) -> Outcome:
        """Run ``ocap daemon stop``."""
        words = ("--force",) if force else ()
        return self._run(home, "daemon", "stop", "--timeout", f"{timeout:g}", *words, timeout=3 * timeout)

    def kill(self, home: Path) -> Outcome:
        """Kill the daemon and its workers."""
        clock = Clock()
        began = clock.now()
        ended = processes.end(home)
        return Outcome(bool(ended), "\n".join(ended) or "no process uses the home", clock.now() - began)

    def ping(self, home: Path, *, timeout: float) -> Outcome:
        """Call ``ping``."""
        return rpc.call(self.socket(home), "ping", [], timeout=timeout)

    def make_bundle(self, path: Path) -> str:
        """Write the counter's bundle, which the first call has ``ocap bundle`` make."""
        path.write_bytes(self._bundle)
        return path.absolute().as_uri()

    def launch(self, home: Path, url: str, *, timeout: float) -> Outcome:
        """Call ``launchSubcluster`` with a cluster of one vat."""
        return self._launch(home, {"bootstrap": "main", "vats": {"main": {"bundleSpec": url}}}, timeout)

    def _launch(self, home: Path, config: Mapping[str, Any], timeout: float) -> Outcome:
        outcome = rpc.call(self.socket(home), "launchSubcluster", {"config": config}, timeout=timeout)
        return _with_value(outcome, lambda result: (result["subclusterId"], result["rootKref"]))

    def launch_io(self, home: Path, url: str, channel: Path, *, timeout: float) -> Outcome:
        """Call ``launchSubcluster`` with a cluster of one vat and one channel."""
        io = {"console": {"type": "socket", "path": os.fspath(channel)}}
        return self._launch(home, {"bootstrap": "main", "vats": {"main": {"bundleSpec": url}}, "io": io}, timeout)

    def launch_pinned(self, home: Path, url: str, *, timeout: float) -> Outcome:
        """Call ``launchSubcluster`` with a cluster of one vat whose bundle is pinned."""
        return self._launch(home, {"bootstrap": "main", "vats": {"main": {"bundleSpec": url, "pin": True}}}, timeout)

    def launch_linked(self, home: Path, bundle: Path, *, timeout: float) -> Outcome:
        """Call ``launchSubcluster`` with a cluster of two vats that know each other."""
        bundle.write_bytes(self._linked_bundle)
        url = bundle.absolute().as_uri()
        vats = {role: {"bundleSpec": url, "parameters": {"role": role}} for role in ("front", "back")}
        return self._launch(home, {"bootstrap": "front", "vats": vats}, timeout)

    def repair(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Call ``repairSubcluster``."""
        return rpc.call(self.socket(home), "repairSubcluster", [subcluster.id], timeout=timeout)

    def prune(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Call ``pruneSubcluster``."""
        return rpc.call(self.socket(home), "pruneSubcluster", [[subcluster.id]], timeout=timeout)

    def terminate(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Call ``terminateSubcluster``."""
        return rpc.call(self.socket(home), "terminateSubcluster", [subcluster.id], timeout=timeout)

    def collect(self, home: Path, *, timeout: float) -> Outcome:
        """Call ``collectGarbage``."""
        return rpc.call(self.socket(home), "collectGarbage", [], timeout=timeout)

    def revoke(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Ask the front for what it shares with the back, and call ``revoke`` with that."""
        asked = rpc.call(self.socket(home), "queueMessage", [subcluster.root, "shared", []], timeout=timeout)
        shared = _with_value(asked, lambda data: data["slots"][0])
        return rpc.call(self.socket(home), "revoke", [shared.value], timeout=timeout) if shared.ok else shared

    def use(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Send ``use``, which the back answers."""
        outcome = rpc.call(self.socket(home), "queueMessage", [subcluster.root, "use", []], timeout=timeout)
        return _with_value(outcome, lambda data: {"#true": True, "#false": False}[data["body"]])

    def audit(self, home: Path, *, timeout: float) -> Outcome:
        """Run ``ocap doctor``."""
        outcome = self._run(home, "doctor", "--json", timeout=timeout)
        made = replace(outcome, ok=outcome.status in (0, 1))  # with findings its exit status is 1
        return _with_value(made, lambda report: _audit(str(report)))

    def status(self, home: Path, *, timeout: float) -> Outcome:
        """Run ``ocap daemon status``."""
        return self._run(home, "daemon", "status", timeout=timeout)

    def list(self, home: Path, *, timeout: float) -> Outcome:
        """Call ``getStatus``."""
        outcome = rpc.call(self.socket(home), "getStatus", [], timeout=timeout)
        return _with_value(outcome, lambda status: [_listed(entry) for entry in status["subclusters"]])

    def probe(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Send ``increment``."""
        outcome = rpc.call(self.socket(home), "queueMessage", [subcluster.root, "increment", []], timeout=timeout)
        return _with_value(outcome, lambda data: json.loads(data["body"].removeprefix("#").replace('"+', '"')))

    def fetch(self, home: Path, url: str, *, timeout: float) -> Outcome:
        """Launch from the URL, which makes the daemon fetch it; the code is that of the launch's cause."""
        outcome = self.launch(home, url, timeout=timeout)
        if outcome.code != "launch-failed":
            return outcome
        return replace(outcome, code=outcome.value["data"].get("cause", outcome.code))

    def socket(self, home: Path) -> Path:
        """Give ``daemon.sock``."""
        return home / "daemon.sock"

    def pid(self, home: Path) -> Path:
        """Give ``daemon.pid``."""
        return home / "daemon.pid"

    def log(self, home: Path) -> Path:
        """Give ``daemon.log``."""
        return home / "daemon.log"

    def store(self, home: Path) -> Path:
        """Give ``kernel.sqlite``."""
        return home / "kernel.sqlite"

    @cached_property
    def _bundle(self) -> bytes:
        return self._bundled(COUNTER)

    @cached_property
    def _linked_bundle(self) -> bytes:
        return self._bundled(LINKED)

    def _bundled(self, text: str) -> bytes:
        folder = Path(tempfile.mkdtemp(prefix="ocap-counter-"))
        try:
            source, bundle = folder / "counter.py", folder / "counter.bundle"
            source.write_text(text)
            outcome = self._run(
                folder, "bundle", os.fspath(source), "-o", os.fspath(bundle), timeout=self.start_timeout
            )
            if not outcome.ok:
                raise HarnessBrokenError(f"the counter cannot be bundled: {outcome.describe()}")
            return bundle.read_bytes()
        finally:
            shutil.rmtree(folder)

    def _run(self, home: Path, *words: str, timeout: float, setting: Setting = PLAIN) -> Outcome:
        command = (*self._command, "--home", os.fspath(home), *words)
        server = None if setting.prefix or self._env else _fork_server()
        budget = timeout + GRACE_SECONDS
        return run_client(command, home, timeout=budget, env=self._environment, setting=setting, launcher=server)

    @cached_property
    def _place(self) -> str:
        """The folder in which the package lies."""
        import kernel

        return str(Path(str(kernel.__file__)).resolve().parent.parent)

    @cached_property
    def _environment(self) -> dict[str, str | None]:
        """Give what the clients' environment has instead of ours: the kernel's place, and none of its settings."""
        path = [self._place, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        settings: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("OCAP_"))
        return {**settings, "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)), **self._env}


@cache
def _fork_server() -> ForkServer:
    return ForkServer("kernel.cli", "command", IMPORTS)


def _with_value(outcome: Outcome, read: Any) -> Outcome:
    """Replace a result by what is wanted of it; one of another form is the daemon's failure."""
    if not outcome.ok:
        return outcome
    try:
        return Outcome(True, outcome.text, outcome.seconds, value=read(outcome.value))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"the answer is not of the right form ({error!r}): {outcome.text}"
        return Outcome(False, problem, outcome.seconds)


def _audit(report: str) -> Audit:
    """Read the doctor's report: a finding about one subcluster says that a start would set that aside."""
    findings = json.loads(report)["findings"]
    aside = frozenset(finding["subclusterId"] for finding in findings if "subclusterId" in finding)
    return Audit(all("subclusterId" in finding for finding in findings), aside)


def _listed(entry: Mapping[str, Any]) -> Listed:
    quarantine = entry.get("quarantine") or {}
    text = "\n".join(str(quarantine[key]) for key in ("message", "path", "bundleSpec") if quarantine.get(key))
    return Listed(entry["id"], entry.get("state", "running"), text, quarantine.get("code"))


driver = KernelDriver()
"""The driver of the kernel that is installed beside the harness."""
