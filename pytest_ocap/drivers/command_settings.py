"""Descriptions of daemons in ``[tool.pytest_ocap.command]``, read and checked.

Invariant: a description that is accepted here can be used: every key is known and of its kind, every placeholder is
known where it stands, files and programs that are named exist.  Nothing is started, so that reading a description is
the same in every process.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ocap.drivers.command_keys import KEYS, PLACES, VERB_KEYS, VERBS, WHERE_ALLOWED
from pytest_ocap.drivers.command_watch import MOMENTS
from pytest_ocap.drivers.command_words import placeholders
from pytest_ocap.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_ocap.drivers.command_keys import Key

PLACE = "[tool.pytest_ocap.command]"


@dataclass(frozen=True)
class Verb:
    """One verb: either a method with parameters or a command line, and what is read from the answer."""

    name: str
    method: str | None = None
    params: Any = field(default_factory=list)
    command: tuple[str, ...] | None = None
    expect: str | Mapping[str, Any] | None = None
    items: str = ""
    id: str | None = None
    root: str | None = None
    state: str | None = None
    quarantined: str = "quarantined"
    text: str | None = None
    code: str | None = None
    count: str | None = None


@dataclass(frozen=True)
class Settings:
    """A description of a daemon, checked.  Texts still have their placeholders; paths of files are absolute."""

    start: tuple[str, ...]
    stop: tuple[str, ...]
    cwd: Path
    verbs: Mapping[str, Verb]
    name: str = "command"
    version: str = ""
    version_command: tuple[str, ...] | None = None
    foreground: bool = False
    force_stop: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    socket: str | None = None
    pidfile: str | None = None
    log: str | None = None
    store: str | None = None
    store_format: str | None = None
    lock: str | None = None
    bundle: Path | None = None
    bundle_command: tuple[str, ...] | None = None
    start_timeout: float = 20.0
    stop_timeout: float = 10.0
    phases: tuple[str, ...] | None = None
    interrupt: Mapping[str, str] = field(default_factory=dict)
    workers: bool = False
    small_log: Mapping[str, str] = field(default_factory=dict)
    error_code: str | None = None


def read_settings(table: object, source: Path) -> Settings:
    """Check the table of a description.

    Args:
        table: What stands in ``[tool.pytest_ocap.command]``; ``None`` when there is no such table.
        source: The file that it stands in; relative paths are relative to its folder.

    Raises:
        pytest.UsageError: Something is wrong with it; the message names the key.
    """
    return _Reader(source).settings(table)


class _Reader:
    """Reads one description; holds what every message needs."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._cwd = source.parent
        self._search: str | None = None

    def settings(self, table: object) -> Settings:
        if table is None:
            raise self._wrong("", 'is missing; it describes the daemon that driver = "command" is about')
        if not isinstance(table, dict):
            raise self._wrong("", "is not a table")
        self._known("", table, KEYS)
        for needed in ("start", "stop"):
            if needed not in table:
                raise self._wrong(needed, f"is missing; it is the command that {needed}s the daemon")
        if "cwd" in table:
            self._cwd = self._value("cwd", table["cwd"], KEYS["cwd"])
        if isinstance(table.get("env"), dict) and isinstance(table["env"].get("PATH"), str):
            self._search = table["env"]["PATH"]
        values: dict[str, Any] = {
            key: self._value(key, value, KEYS[key]) for key, value in table.items() if KEYS[key].kind != "verbs"
        }
        values["cwd"] = self._cwd
        verbs: dict[str, Verb] = {}
        for kind in ("rpc", "cli"):
            for verb in self._verbs(kind, table.get(kind, {})):
                if verb.name in verbs:
                    raise self._wrong(f"{kind}.{verb.name}", "is given in rpc, too; each verb is one or the other")
                verbs[verb.name] = verb
        settings = Settings(**values, verbs=verbs)
        self._agree(settings)
        return settings

    def _agree(self, settings: Settings) -> None:
        """Insist on what several keys have to be together."""
        verbs = settings.verbs
        if "ping" not in verbs:
            raise self._wrong(
                "rpc.ping", "is missing (or cli.ping): without it nobody can tell whether the daemon is there"
            )
        over_rpc = [verb.name for verb in verbs.values() if verb.method is not None]
        if over_rpc and settings.socket is None:
            raise self._wrong("socket", f"is missing; rpc.{over_rpc[0]} is asked over it")
        if settings.bundle is not None and settings.bundle_command is not None:
            raise self._wrong("bundle_command", "is given beside bundle; one of them makes the bundles")
        if "launch" in verbs and settings.bundle is None and settings.bundle_command is None:
            raise self._wrong("bundle", "is missing (or bundle_command); launch needs a bundle")
        for needs in ("probe", "list", "launch_io", "launch_pinned", "repair", "prune", "terminate"):
            if needs in verbs and "launch" not in verbs:
                kind = "cli" if verbs[needs].command else "rpc"
                raise self._wrong(f"{kind}.{needs}", "is given without launch: there would be nothing to ask about")
        listing = verbs.get("list")
        if settings.error_code is not None and listing is not None and listing.state is not None and not listing.code:
            kind = "cli" if listing.command else "rpc"
            raise self._wrong(f"{kind}.list.code", "is missing; error_code says that what is wrong has codes")
        self._agree_on_phases(settings)
        self._placed(settings)

    def _agree_on_phases(self, settings: Settings) -> None:
        """Insist that a start can be interrupted in the phases that are named."""
        if settings.interrupt and not settings.phases:
            raise self._wrong("phases", "is missing; interrupt sets a failpoint in each of them")
        observed = () if settings.interrupt else settings.phases or ()
        known = [name for name in MOMENTS if name == "home" or getattr(settings, name) is not None]
        for phase in observed:
            if phase not in known:
                raise self._wrong(
                    "phases",
                    f"has {phase!r}, and without interrupt a start is interrupted at a moment that can be observed: "
                    + ", ".join(known)
                    + suggestion(phase, known),
                )

    def _placed(self, settings: Settings) -> None:
        """Insist that what is named where is also said."""
        for key, of in (("small_log", "log"), ("store_format", "store")):
            if getattr(settings, key) and getattr(settings, of) is None:
                raise self._wrong(of, f"is missing; {key} says something about it")
        users: dict[str, Any] = {key: getattr(settings, key) for key in KEYS if "socket" in KEYS[key].placeholders}
        users |= {name: verb.command or verb.params for name, verb in settings.verbs.items()}
        for name, value in users.items():
            if settings.socket is None and "socket" in placeholders(value):
                raise self._wrong("socket", f"is missing, and {name} uses {{socket}}")
        if not {*placeholders(settings.start), *placeholders(settings.env)}.intersection(PLACES):
            raise self._wrong(
                "start",
                "has no {home}, and no variable of env has it: in whichever home, every daemon would be the same one",
            )

    def _verbs(self, kind: str, table: object) -> Iterable[Verb]:
        if not isinstance(table, dict):
            raise self._wrong(kind, "is not a table")
        self._known(kind, table, VERBS)
        for name, given in table.items():
            where = f"{kind}.{name}"
            entry = {"command": given} if kind == "cli" and isinstance(given, list) else given
            if name == "audit" and kind == "rpc":
                raise self._wrong(where, "is asked when no daemon runs; it is a command line, in cli")
            if not isinstance(entry, dict):
                form = '["a", "command"]' if kind == "cli" else '{ method = "…" }'
                raise self._wrong(where, f"is neither a table nor {form}: {given!r}")
            allowed = {
                key: value._replace(placeholders=VERBS[name])
                for key, value in VERB_KEYS.items()
                if name in WHERE_ALLOWED.get(key, VERBS)
                and key not in (("method", "params") if kind == "cli" else ("command",))
            }
            self._known(where, entry, allowed)
            essential = "command" if kind == "cli" else "method"
            if essential not in entry:
                raise self._wrong(f"{where}.{essential}", "is missing")
            if name == "list" and "quarantined" in entry and "state" not in entry:
                raise self._wrong(f"{where}.state", "is missing; quarantined is one of its values")
            yield Verb(
                name, **{key: self._value(f"{where}.{key}", value, allowed[key]) for key, value in entry.items()}
            )

    def _value(self, where: str, value: Any, key: Key) -> Any:
        """Check one value; give it as settings hold it."""
        unknown = [name for name in placeholders(value) if name not in key.placeholders]
        if unknown and key.kind not in ("dotted", "names"):
            known = f"known here: {', '.join(f'{{{name}}}' for name in key.placeholders) or 'none'}"
            raise self._wrong(
                where,
                f"has the unknown placeholder {{{unknown[0]}}}; {known}" + suggestion(unknown[0], key.placeholders),
            )
        checked = getattr(self, f"_{key.kind.replace('-', '_')}")(where, value)
        if key.kind == "words":
            self._program(where, checked[0])
        return checked

    def _text(self, where: str, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise self._wrong(where, f"is not a text: {value!r}")
        return value

    def _path(self, where: str, value: Any) -> str:
        text = self._text(where, value)
        if "home" not in placeholders(text):
            raise self._wrong(
                where, f"is {text!r}, and does not say where in {{home}}: each daemon has files of its own"
            )
        return text

    _dotted = _text

    def _words(self, where: str, value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            raise self._wrong(where, f"is one text; write a list of words, as {value.split()!r}")
        if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
            raise self._wrong(where, f"is not a list of words: {value!r}")
        return tuple(value)

    def _names(self, where: str, value: Any) -> tuple[str, ...]:
        names = () if value == [] else self._words(where, value)
        if len(set(names)) < len(names):
            raise self._wrong(where, f"names a phase twice: {', '.join(names)}")
        return names

    def _variables(self, where: str, value: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise self._wrong(where, f"is not a table of texts: {value!r}")
        for name, text in value.items():
            if not isinstance(text, str):
                raise self._wrong(f"{where}.{name}", f"is not a text: {text!r}")
        return dict(value)

    def _flag(self, where: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self._wrong(where, f"is neither true nor false: {value!r}")
        return value

    def _seconds(self, where: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 3600:
            raise self._wrong(where, f"is not a number of seconds between 0 and 3600: {value!r}")
        return float(value)

    def _store_format(self, where: str, value: Any) -> str:
        if value != "sqlite":
            raise self._wrong(where, f'is not "sqlite", the one format that faults know: {value!r}')
        return "sqlite"

    def _file(self, where: str, value: Any) -> Path:
        path = self._source.parent / self._text(where, value)
        if not path.is_file():
            raise self._wrong(where, f"names {path}, which is " + ("not a file" if path.exists() else "not there"))
        return path

    def _folder(self, where: str, value: Any) -> Path:
        path = self._source.parent / self._text(where, value)
        if not path.is_dir():
            raise self._wrong(where, f"names {path}, which is " + ("not a folder" if path.exists() else "not there"))
        return path

    def _params(self, where: str, value: Any) -> Any:
        if not isinstance(value, dict | list):
            raise self._wrong(where, f"is neither a list nor a table: {value!r}")
        return value

    def _expectation(self, where: str, value: Any) -> str | dict[str, Any]:
        if isinstance(value, dict) and value:
            return value
        return self._text(where, value)

    def _program(self, where: str, word: str) -> None:
        """Insist that the first word of a command line is a program, as far as that can be known."""
        if list(placeholders(word)):
            return
        if os.sep in word:
            found = os.access(self._cwd / word, os.X_OK) and (self._cwd / word).is_file()
            place = str(self._cwd / word)
        else:
            found = shutil.which(word, path=self._search) is not None
            place = "the PATH"
        if not found:
            what = f"{place} is no program" if os.sep in word else f"no program of that name is in {place}"
            raise self._wrong(where, f"runs {word!r}, and {what}")

    def _known(self, where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
        for key in table:
            if key not in known:
                raise self._wrong(
                    f"{where}.{key}" if where else key,
                    f"is unknown; known: {', '.join(known)}" + suggestion(key, known),
                )

    def _wrong(self, where: str, problem: str) -> pytest.UsageError:
        return pytest.UsageError(f"{self._source}: {PLACE} {where}{' ' if where else ''}{problem}")
