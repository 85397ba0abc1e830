"""The command driver: any daemon, described in ``[tool.pytest_ocap.command]``, with no Python written.

Invariant: everything about the daemon comes from its description; the driver adds only what holds for every daemon:
how its processes are found, how a start is interrupted from outside, when a stop is over.  A verb that is left out is
a capability that the daemon does not have.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ocap import processes, rpc
from pytest_ocap.clients import run_client
from pytest_ocap.clock import Clock
from pytest_ocap.driver import (
    FULL,
    PLAIN,
    QUARANTINED,
    Audit,
    Capability,
    Interrupt,
    Listed,
    Outcome,
    Setting,
    Subcluster,
)
from pytest_ocap.drivers import command_answers as answers
from pytest_ocap.drivers.command_clients import AdoptedClient
from pytest_ocap.drivers.command_foreground import attend
from pytest_ocap.drivers.command_settings import Settings, Verb, read_settings
from pytest_ocap.drivers.command_watch import moments, order
from pytest_ocap.drivers.command_words import filled, filled_value, placeholders
from pytest_ocap.processes import TOKEN
from pytest_ocap.verdict import HarnessBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GRACE_SECONDS = 5.0
"""How much longer than its own time-out a client may take before the harness ends it."""

STOPPED_SECONDS = 2.0
"""How long after the end of its stop command a daemon may take to be gone before the stop is over all the same."""

PATHS = {
    Capability.SOCKET: "socket",
    Capability.PIDFILE: "pidfile",
    Capability.LOG: "log",
    Capability.STORE: "store",
    Capability.LOCK: "lock",
}
"""The capabilities that a daemon has when it is said where a file of its lies."""


def driver_from(table: object, source: Path) -> CommandDriver:
    """Make the driver of a description.

    Args:
        table: ``[tool.pytest_ocap.command]``, or ``None`` when there is none.
        source: The file in which it stands.

    Raises:
        pytest.UsageError: Something is wrong with the description.
    """
    return CommandDriver(read_settings(table, source))


class CommandDriver:
    """Drives a daemon by the command lines and methods of its description."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._verbs = dict(settings.verbs)
        launch = self._verbs.get("launch")
        if launch is not None and "fetch" not in self._verbs:
            used = set(placeholders(launch.command or launch.params))
            if used & {"bundle", "bundle_url"}:
                self._verbs["fetch"] = replace(launch, name="fetch")
        self._raw: dict[str, Any] = {}
        self.name = settings.name
        self.foreground = settings.foreground
        self.start_timeout = settings.start_timeout
        self.phases = moments(self._places(Path("/"))) if settings.phases is None else settings.phases
        if not settings.interrupt and sys.platform != "linux":
            self.phases = ()
        self.supports = self._capabilities()

    def _capabilities(self) -> dict[Capability, str]:
        verbs, settings = self._verbs, self._settings
        listing, probe = verbs.get("list"), verbs.get("probe")
        have = {
            Capability.LAUNCH: "launch" in verbs,
            Capability.LIST: listing is not None,
            Capability.PROBE: probe is not None,
            Capability.STATE: probe is not None and probe.count is not None,
            Capability.FETCH: "fetch" in verbs,
            Capability.QUARANTINE: listing is not None and listing.state is not None,
            Capability.ERROR_CODES: settings.error_code is not None,
            Capability.SQLITE_STORE: settings.store_format == "sqlite",
            Capability.PHASES: bool(self.phases),
            Capability.PHASE_NAMES: bool(settings.interrupt),
            Capability.STATUS: "status" in verbs,
            Capability.IO: "launch_io" in verbs,
            Capability.WORKERS: settings.workers,
            Capability.FORCE_STOP: settings.force_stop is not None,
            Capability.PIN: "launch_pinned" in verbs,
            Capability.REPAIR: "repair" in verbs,
            Capability.PRUNE: "prune" in verbs,
            Capability.TERMINATE: "terminate" in verbs,
            Capability.COLLECT: "collect" in verbs,
            Capability.AUDIT: "audit" in verbs,
            Capability.LOG_ROTATION: bool(settings.small_log),
            **{capability: getattr(settings, key) is not None for capability, key in PATHS.items()},
        }
        return {capability: FULL for capability, had in have.items() if had}

    @property
    def version(self) -> str:
        """The version of the daemon: what the description says, or the first line of what its command prints."""
        if self._settings.version_command is None:
            return self._settings.version
        with tempfile.TemporaryDirectory(prefix="ocap-version-") as folder:
            outcome = self._run(self._settings.version_command, Path(folder, "h"), 10.0)
        return next(iter(outcome.text.splitlines()), "") if outcome.ok else ""

    def start(
        self, home: Path, *, timeout: float, interrupt: Interrupt | None = None, setting: Setting = PLAIN
    ) -> Outcome:
        """Run the start command; an interrupt is the daemon's own failpoint, or something that happens in the home."""
        settings = self._settings
        if interrupt is not None and settings.interrupt:
            values = {"phase": interrupt.phase, "how": interrupt.how, "note": os.fspath(interrupt.note or os.devnull)}
            setting |= Setting(env={key: filled(text, values) for key, text in settings.interrupt.items()})
        if "timeout" not in placeholders(settings.start):
            timeout = max(timeout, 0.0 if settings.foreground else settings.start_timeout)
        words = [*setting.prefix, *self._words(settings.start, home, timeout=f"{timeout:g}")]
        limit = timeout if settings.foreground else timeout + GRACE_SECONDS
        wish = None
        if interrupt is not None and not settings.interrupt:
            places = self._places(home)
            wish = order(interrupt.how, interrupt.phase, home, places, seconds=limit, foreground=settings.foreground)
        environment = {**os.environ, **self._environment(home), **setting.env}
        with AdoptedClient(
            words, home, env=environment, cwd=settings.cwd, daemon=settings.foreground, order=wish
        ) as client:
            return self._attend(client, home, limit)

    def stop(self, home: Path, *, timeout: float, force: bool = False) -> Outcome:
        """Run the stop command, and wait a little until the daemon is gone."""
        settings = self._settings
        command = settings.force_stop if force and settings.force_stop is not None else settings.stop
        timeout = max(timeout, settings.stop_timeout)
        words = self._words(command, home, timeout=f"{timeout:g}")
        outcome = self._run(words, home, timeout + GRACE_SECONDS)
        clock = Clock()
        began = clock.now()
        clock.wait_until(lambda: not processes.using(home), STOPPED_SECONDS if outcome.ok else 0.0, every=0.02)
        return replace(outcome, seconds=outcome.seconds + clock.now() - began)

    def kill(self, home: Path) -> Outcome:
        """Kill every process that uses the home."""
        clock = Clock()
        began = clock.now()
        ended = processes.end(home)
        return Outcome(bool(ended), "\n".join(ended) or "no process uses the home", clock.now() - began)

    def ping(self, home: Path, *, timeout: float) -> Outcome:
        """Ask as the description says."""
        return self._ask("ping", home, timeout)

    def make_bundle(self, path: Path) -> str:
        """Copy the bundle, or have the command write it."""
        settings = self._settings
        if settings.bundle is not None:
            shutil.copyfile(settings.bundle, path)
        elif settings.bundle_command is not None:
            values = {"bundle": os.fspath(path), "name": path.stem}
            words = [filled(word, values) for word in settings.bundle_command]
            outcome = self._run(words, path.parent, settings.start_timeout)
            if not outcome.ok or not path.is_file():
                raise HarnessBrokenError(f"{shlex.join(words)} made no bundle: {outcome.describe()}")
        return path.absolute().as_uri()

    def launch(self, home: Path, url: str, *, timeout: float) -> Outcome:
        """Launch as the description says; without paths to them, a subcluster's id is its name, and its root its id."""
        return self._launch("launch", home, _bundle_values(url), timeout)

    def launch_io(self, home: Path, url: str, channel: Path, *, timeout: float) -> Outcome:
        """Launch with an IO channel, as the description says; the answer is read as that of ``launch``."""
        return self._launch("launch_io", home, _bundle_values(url) | {"io_path": os.fspath(channel)}, timeout)

    def launch_pinned(self, home: Path, url: str, *, timeout: float) -> Outcome:
        """Launch with a bundle that is kept, as the description says; the answer is read as that of ``launch``."""
        return self._launch("launch_pinned", home, _bundle_values(url), timeout)

    @property
    def small_log(self) -> Setting:
        """Give the environment in which the daemon moves its log aside soon."""
        return Setting(env=dict(self._settings.small_log))

    def status(self, home: Path, *, timeout: float) -> Outcome:
        """Ask for the status as the description says."""
        return self._ask("status", home, timeout)

    def repair(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Repair as the description says."""
        return self._ask("repair", home, timeout, self._about(subcluster))

    def prune(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Prune as the description says."""
        return self._ask("prune", home, timeout, self._about(subcluster))

    def terminate(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Terminate as the description says."""
        return self._ask("terminate", home, timeout, self._about(subcluster))

    def collect(self, home: Path, *, timeout: float) -> Outcome:
        """Have garbage collected as the description says."""
        return self._ask("collect", home, timeout)

    def audit(self, home: Path, *, timeout: float) -> Outcome:
        """Run the audit: its exit status is 0 when nothing is wrong, and 1 when something is.

        One of status 0 whose answer is not the expected one has found something, too.
        """
        outcome = self._ask("audit", home, timeout)
        made = outcome.status in (0, 1) and not outcome.timed_out
        return replace(outcome, ok=made, value=Audit(outcome.ok) if made else None)

    def _launch(self, name: str, home: Path, values: dict[str, Any], timeout: float) -> Outcome:
        verb = self._verbs[name]

        def read(answer: Any) -> tuple[str, str]:
            identity = self._id(values["name"] if verb.id is None else answers.at(answer, verb.id))
            return identity, identity if verb.root is None else self._id(answers.at(answer, verb.root))

        return self._ask(name, home, timeout, values, read)

    def list(self, home: Path, *, timeout: float) -> Outcome:
        """List as the description says; of a table, the keys are the ids."""
        verb = self._verbs["list"]

        def read(answer: Any) -> Sequence[Listed]:
            found = answers.at(answer, verb.items)
            if isinstance(found, dict) and verb.id is None:
                return [_listed(verb, key, entry) for key, entry in found.items()]
            if not isinstance(found, list):
                raise answers.FormError(f"what stands at {verb.items!r} of the answer is no list")
            return [_listed(verb, entry if verb.id is None else answers.at(entry, verb.id), entry) for entry in found]

        return self._ask("list", home, timeout, {}, read)

    def probe(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Send a message as the description says."""
        verb = self._verbs["probe"]

        def read(answer: Any) -> Any:
            return answer if verb.count is None else answers.number_at(answer, verb.count)

        return self._ask("probe", home, timeout, self._about(subcluster), read)

    def _about(self, subcluster: Subcluster) -> dict[str, Any]:
        """Give the values of the placeholders for a subcluster; a number is sent back as one."""
        identity, root = (self._raw.get(text, text) for text in (subcluster.id, subcluster.root))
        return {**_bundle_values(subcluster.url), "id": identity, "root": root}

    def fetch(self, home: Path, url: str, *, timeout: float) -> Outcome:
        """Have the bundle fetched as the description says; by a launch when it says nothing of its own."""
        return self._ask("fetch", home, timeout, _bundle_values(url))

    def socket(self, home: Path) -> Path | None:
        """Give the socket's path."""
        return self._place(self._settings.socket, home)

    def pid(self, home: Path) -> Path | None:
        """Give the pid file's path."""
        return self._place(self._settings.pidfile, home)

    def log(self, home: Path) -> Path | None:
        """Give the log's path."""
        return self._place(self._settings.log, home)

    def store(self, home: Path) -> Path | None:
        """Give the store's path."""
        return self._place(self._settings.store, home)

    def _ask(
        self,
        name: str,
        home: Path,
        timeout: float,
        values: dict[str, Any] | None = None,
        read: Callable[[Any], Any] | None = None,
    ) -> Outcome:
        """Do a verb; an answer that is not as described is the daemon's failure."""
        verb = self._verbs[name]
        values = {**self._values(home), **(values or {}), "nonce": f"n{os.urandom(6).hex()}"}
        if verb.command is not None:
            outcome = self._run([filled(word, values) for word in verb.command], home, timeout)
            answer = answers.parsed(str(outcome.value))
        else:
            outcome = self._call(verb, values, timeout)
            answer = outcome.value
        if not outcome.ok:
            return outcome
        expected = None if verb.expect is None else filled_value(_expectation(verb.expect), values)
        problem = answers.unmet(expected, answer, outcome.text)
        if problem is None:
            try:
                return replace(outcome, value=answer if read is None else read(answer))
            except answers.FormError as error:
                problem = str(error)
        return replace(outcome, ok=False, text=f"{problem}\n{outcome.text}", value=None)

    def _call(self, verb: Verb, values: dict[str, Any], timeout: float) -> Outcome:
        assert verb.method is not None, "a verb is a command or a method"
        params = filled_value(verb.params, values)
        outcome = rpc.call(Path(values["socket"]), verb.method, params, timeout=timeout)
        if outcome.ok or not isinstance(outcome.value, dict):
            return outcome
        path = self._settings.error_code
        code = None if path is None else answers.maybe_at(outcome.value, path)
        return replace(outcome, code=None if code is None else str(code))

    def _attend(self, client: AdoptedClient, home: Path, seconds: float) -> Outcome:
        """Wait for the end of the start's client, or for a daemon in the foreground until it answers."""
        if not self._settings.foreground:
            ended = client.wait(seconds)
            if not ended:
                client.kill()
            return client.outcome(timed_out=not ended)
        return attend(client, home, seconds, lambda limit: self.ping(home, timeout=limit), self.socket(home))

    def _run(self, words: Sequence[str], home: Path, timeout: float) -> Outcome:
        environment: dict[str, str | None] = {**self._environment(home)}
        return run_client(words, home, timeout=timeout, env=environment, cwd=self._settings.cwd)

    def _words(self, words: Sequence[str], home: Path, **more: str) -> Sequence[str]:
        values = {**self._values(home), **more}
        return [filled(word, values) for word in words]

    def _values(self, home: Path) -> dict[str, str]:
        """Give the values of the placeholders that every command knows."""
        return {"home": os.fspath(home), "socket": os.fspath(self.socket(home) or "")}

    def _environment(self, home: Path) -> dict[str, str]:
        values = self._values(home)
        return {name: filled(text, values) for name, text in self._settings.env.items()} | {TOKEN: os.fspath(home)}

    def _place(self, template: str | None, home: Path) -> Path | None:
        return None if template is None else Path(filled(template, {"home": os.fspath(home)}))

    def _places(self, home: Path) -> dict[str, Path | None]:
        """Give the paths by which moments of a start are told."""
        return {key: self._place(getattr(self._settings, key), home) for key in PATHS.values()}

    def _id(self, value: Any) -> str:
        """Give an identifier as text, and remember what it was, so that a number is sent back as one."""
        text = answers.text_of(value)
        self._raw[text] = value
        return text


def _bundle_values(url: str) -> dict[str, Any]:
    from urllib.parse import unquote, urlsplit

    path = Path(unquote(urlsplit(url).path))
    return {"bundle": os.fspath(path), "bundle_url": url, "name": path.stem}


def _expectation(expect: Any) -> Any:
    return dict(expect) if not isinstance(expect, str) else expect


def _listed(verb: Verb, identity: Any, entry: Any) -> Listed:
    """Read one entry of a list; a state that means quarantine gets the name that it has here."""
    state = "" if verb.state is None else answers.text_of(answers.maybe_at(entry, verb.state))
    said = entry if verb.text is None else answers.maybe_at(entry, verb.text)
    code = None if verb.code is None else answers.maybe_at(entry, verb.code)
    return Listed(
        answers.text_of(identity),
        QUARANTINED if verb.state is not None and state == verb.quarantined else state,
        "" if said is None else answers.text_of(said),
        None if code is None else answers.text_of(code),
    )
