"""The driver of the little daemon, written as a stranger would write one: an object, and nothing subclassed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from pytest_ocap import processes, rpc
from pytest_ocap.clients import run_client
from pytest_ocap.driver import FULL, OPTIONAL, PLAIN, Capability, Interrupt, Listed, Outcome, Setting, Subcluster

DAEMON = Path(__file__).with_name("little_daemon.py")


class LittleDriver:
    name = "little"
    version = "1"
    phases = ("lock", "store", "restore", "listen")
    start_timeout = 4.0

    def __init__(self) -> None:
        left_out = (*OPTIONAL, Capability.WORKERS, *os.environ.get("LITTLE_LACKS", "").split(","))
        self.supports: dict[Capability, str] = {cap: FULL for cap in Capability if cap not in left_out}

    def start(
        self, home: Path, *, timeout: float, interrupt: Interrupt | None = None, setting: Setting = PLAIN
    ) -> Outcome:
        if interrupt is not None:
            failpoint = {"LITTLE_FAILPOINT": f"{interrupt.phase}={interrupt.how}"}
            setting |= Setting(env={**failpoint, "LITTLE_NOTE": os.fspath(interrupt.note or os.devnull)})
        return self._run(home, "start", str(timeout), timeout=timeout + 1, setting=setting)

    def stop(self, home: Path, *, timeout: float, force: bool = False) -> Outcome:
        return self._run(home, "stop", *(("--force",) if force else ()), timeout=timeout)

    def kill(self, home: Path) -> Outcome:
        return Outcome(bool(processes.end(home)), "", 0.0)

    def ping(self, home: Path, *, timeout: float) -> Outcome:
        return rpc.call(self.socket(home), "ping", None, timeout=timeout)

    def make_bundle(self, path: Path) -> str:
        path.write_text(json.dumps({"bundle": "a little one"}), encoding="utf-8")
        return f"file://{path}"

    def launch(self, home: Path, url: str, *, timeout: float) -> Outcome:
        return rpc.call(self.socket(home), "launch", url, timeout=timeout)

    def list(self, home: Path, *, timeout: float) -> Outcome:
        outcome = rpc.call(self.socket(home), "list", None, timeout=timeout)
        if not outcome.ok:
            return outcome
        return Outcome(True, outcome.text, outcome.seconds, [Listed(*entry) for entry in outcome.value])

    def probe(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        return rpc.call(self.socket(home), "probe", subcluster.root, timeout=timeout)

    def fetch(self, home: Path, url: str, *, timeout: float) -> Outcome:
        return self.launch(home, url, timeout=timeout)

    def socket(self, home: Path) -> Path:
        return home / "sock"

    def pid(self, home: Path) -> Path:
        return home / "pid"

    def log(self, home: Path) -> Path:
        return home / "log"

    def store(self, home: Path) -> Path:
        return home / "store.sqlite"

    def _run(self, home: Path, *words: str, timeout: float, setting: Setting = PLAIN) -> Outcome:
        command = (sys.executable, "-S", str(DAEMON), str(home), *words)
        return run_client(command, home, timeout=timeout, setting=setting)


driver = LittleDriver()
