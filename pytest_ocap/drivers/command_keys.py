"""The keys of ``[tool.pytest_ocap.command]``: of which kind each is, where it may stand, and what it means.

Invariant: these tables are the one place where the keys stand.  Descriptions are checked by them
(:mod:`pytest_ocap.drivers.command_settings`), and the documentation is compared with them.
"""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """One key: of which kind its value is, which placeholders it may hold, and what it means."""

    kind: str
    placeholders: tuple[str, ...] = ()
    meaning: str = ""


_HOME = ("home",)
PLACES = ("home", "socket")
_START = (*PLACES, "timeout")
_INTERRUPT = ("phase", "how", "note")
_BUNDLE = ("bundle", "bundle_url", "name")

KEYS: dict[str, Key] = {
    "name": Key("text", (), "the daemon's name, for reports"),
    "version": Key("text", (), "its version, for reports"),
    "version_command": Key("words", (), "a command that prints it, run when a report is written"),
    "start": Key("words", _START, "the command that starts the daemon and ends, with status 0 when it is ready"),
    "foreground": Key("flag", (), "`start` is the daemon itself and does not end: it is ready when `ping` answers"),
    "stop": Key("words", _START, "the command that stops it"),
    "force_stop": Key("words", _START, "the command that ends it also when it does not answer"),
    "env": Key("variables", PLACES, "environment variables for all commands"),
    "cwd": Key("folder", (), "where commands run; the folder of pyproject.toml when left out"),
    "socket": Key("path", _HOME, "the daemon's Unix socket"),
    "pidfile": Key("path", _HOME, "its pid file"),
    "log": Key("path", _HOME, "its log"),
    "store": Key("path", _HOME, "the file that holds its state"),
    "store_format": Key("store-format", (), '`"sqlite"` when that is an SQLite database with a `user_version`'),
    "lock": Key("path", _HOME, "a file on which it holds a `flock` as long as it lives"),
    "bundle": Key("file", (), "a valid bundle, which is copied for every subcluster"),
    "bundle_command": Key("words", ("bundle", "name"), "instead: the command that writes one to `{bundle}`"),
    "start_timeout": Key("seconds", (), "within which a start that can succeed must have succeeded"),
    "stop_timeout": Key("seconds", (), "within which a stop must have"),
    "phases": Key(
        "names", (), "the phases in which a start is interrupted: of its own failpoints, or moments; `[]`: none"
    ),
    "interrupt": Key("variables", _INTERRUPT, "environment variables that set such a failpoint"),
    "workers": Key("flag", (), "subclusters run in processes that the daemon starts"),
    "small_log": Key("variables", (), "environment variables with which it moves its log aside after a few lines"),
    "error_code": Key("dotted", (), "where a JSON-RPC error has its stable code, as `data.code`"),
    "rpc": Key("verbs", (), "the verbs as JSON-RPC 2.0 methods over the socket"),
    "cli": Key("verbs", (), "the verbs as command lines"),
}
"""What may stand in ``[tool.pytest_ocap.command]``."""

VERBS: dict[str, tuple[str, ...]] = {
    "ping": (*PLACES, "nonce"),
    "launch": (*PLACES, "nonce", *_BUNDLE),
    "launch_io": (*PLACES, "nonce", *_BUNDLE, "io_path"),
    "launch_pinned": (*PLACES, "nonce", *_BUNDLE),
    "status": (*PLACES, "nonce"),
    "list": (*PLACES, "nonce"),
    "probe": (*PLACES, "nonce", *_BUNDLE, "id", "root"),
    "fetch": (*PLACES, "nonce", *_BUNDLE),
    "repair": (*PLACES, "nonce", *_BUNDLE, "id", "root"),
    "prune": (*PLACES, "nonce", *_BUNDLE, "id", "root"),
    "terminate": (*PLACES, "nonce", *_BUNDLE, "id", "root"),
    "collect": (*PLACES, "nonce"),
    "audit": (*PLACES, "nonce"),
}
"""The verbs, and the placeholders that each of them knows."""

VERB_KEYS: dict[str, Key] = {
    "method": Key("text", (), "`rpc`: the method's name"),
    "params": Key("params", (), "`rpc`: its parameters; `[]` when left out"),
    "command": Key("words", (), "`cli`: the command line"),
    "expect": Key("expectation", (), "a text that the answer must contain, or a table of values at dotted paths"),
    "items": Key("dotted", (), "`list`: where the list of subclusters is"),
    "id": Key("dotted", (), "of a launch, and `list`: where a subcluster's id is"),
    "root": Key("dotted", (), "of a launch: where its root's reference is; its id when left out"),
    "state": Key("dotted", (), "`list`: where a subcluster's state is"),
    "quarantined": Key("text", (), "`list`: the state of one that was set aside"),
    "text": Key("dotted", (), "`list`: where it is said why; the whole entry when left out"),
    "code": Key("dotted", (), "`list`: where the stable code of that is"),
    "count": Key("dotted", (), "`probe`: where the number of probes so far is, when the daemon's vat counts them"),
}
"""What may stand in a verb's table."""

_LAUNCHES = ("launch", "launch_io", "launch_pinned")
WHERE_ALLOWED: dict[str, tuple[str, ...]] = {
    "items": ("list",),
    "id": (*_LAUNCHES, "list"),
    "root": _LAUNCHES,
    "state": ("list",),
    "quarantined": ("list",),
    "text": ("list",),
    "code": ("list",),
    "count": ("probe",),
}
"""The verbs in whose tables a key of a verb may stand; one that is not here may in all."""
