"""A little persistent daemon that proves the harness: careful as it stands, careless in one way when told so.

It keeps "subclusters" that count, each with a bundle (a JSON file), in a SQLite store, behind a Unix socket, with a
lock, a pid file and a log.  ``LITTLE_DEFECT`` puts one defect into it; each must turn the suite red on the check that
names it.

Usage: python little_daemon.py HOME start|stop|serve [--timeout S] [--force]
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import sqlite3
import stat
import sys
import time
from pathlib import Path
from typing import Any

DEFECT = os.environ.get("LITTLE_DEFECT", "")
FAILPOINT = os.environ.get("LITTLE_FAILPOINT", "")
APPLICATION = 0x117713
VERSION = 1
LIMIT = 1 << 20


class RefusedError(Exception):
    """Something is refused, for a reason that has a code and a path."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_bundle(url: str) -> None:
    path = Path(url.removeprefix("file://"))
    try:
        found = os.stat(path)
        if DEFECT == "opens-fifo":
            path.read_bytes()
        if stat.S_ISDIR(found.st_mode) or not stat.S_ISREG(found.st_mode):
            raise RefusedError("bundle-unreadable", f"{path} is no regular file")
        if found.st_size > LIMIT:
            raise RefusedError("bundle-too-large", f"{path} has {found.st_size} bytes, more than {LIMIT}")
        json.loads(path.read_text())["bundle"]
    except FileNotFoundError as error:
        if DEFECT == "bare-errno":
            raise RefusedError("bundle-missing", "ENOENT") from error
        raise RefusedError("bundle-missing", f"{path} does not exist") from error
    except OSError as error:
        raise RefusedError("bundle-unreadable", f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedError("bundle-corrupt", f"{path} is not a bundle") from error


def unusable(path: Path, error: sqlite3.Error) -> RefusedError:
    """Say what is wrong with the store."""
    if DEFECT != "all-is-damage":
        if error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return RefusedError("store-held", f"{path} is held by another process; find it with: fuser {path}")
        if error.sqlite_errorname.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            return RefusedError("disk-full", f"there is no room on the disk for {path}: {error}")
        if error.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
            return RefusedError("store-unwritable", f"{path} may not be written: {error}")
    return RefusedError("store-corrupt", f"{path} is damaged: {error}")


class Daemon:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.status = int(os.environ["LITTLE_STATUS"])
        self.bad: dict[int, RefusedError] = {}
        self.phase_now = "lock"
        self.owed: list[int] = []

    def tell(self, **message: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self.status, json.dumps(message).encode() + b"\n")

    def phase(self, name: str) -> None:
        self.phase_now = name
        if DEFECT != "pid-late" or name == "listen":
            (self.home / "pid").write_text(str(os.getpid()))
        if not (DEFECT == "lock-late" and name in ("log", "store")):
            self.note_phase(name)
        self.tell(phase=name)
        if DEFECT == "early-zero" and name == "store":
            self.tell(ready=True, degraded=[])
        if f"{name}=kill" == FAILPOINT:
            with open(os.environ["LITTLE_NOTE"], "a") as note:
                note.write(f"{os.getpid()}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        if f"{name}=hang" == FAILPOINT:
            os.kill(os.getpid(), signal.SIGSTOP)

    def note_phase(self, name: str) -> None:
        try:
            (self.home / "phase.new").write_text(json.dumps([os.getpid(), name]))
        except OSError:
            if DEFECT != "nameless-at-the-second-attempt":
                raise
            try:
                (self.home / "phase.new").write_text(json.dumps([os.getpid(), name]))
            except OSError as error:
                raise RefusedError("unwritable", repr(object())) from error
        (self.home / "phase.new").rename(self.home / "phase")

    def log(self, level: str, **fields: Any) -> None:
        with contextlib.suppress(OSError), (self.home / "log").open("a") as file:
            file.write(json.dumps({"level": level, **fields}) + "\n")

    def log_problem(self) -> str | None:
        """Say why the log cannot be written, or nothing."""
        if DEFECT == "silent-without-log":
            return None
        path = self.home / "log"
        try:
            with path.open("a") as file:
                return None if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else f"{path} is no regular file"
        except OSError as error:
            return f"{path} cannot be written: {error.strerror}"

    def lock(self) -> None:
        self.lock_file = (self.home / "lock").open("a")
        try:
            fcntl.flock(self.lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RefusedError("running", f"a daemon holds {self.home / 'lock'}") from error

    def open_store(self) -> None:
        path = self.home / "store.sqlite"
        if path.is_dir():
            raise RefusedError("store-directory", f"{path} is a directory")
        try:
            self.store = sqlite3.connect(path, isolation_level=None, timeout=0.2)
            application = self.store.execute("PRAGMA application_id").fetchone()[0]
            version = self.store.execute("PRAGMA user_version").fetchone()[0]
            tables = self.store.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            if tables and application != APPLICATION:
                raise RefusedError("store-foreign", f"{path} belongs to another application")
            if version > VERSION and DEFECT != "takes-newer":
                raise RefusedError("store-newer", f"{path} is of version {version}, newer than ours, {VERSION}")
            if DEFECT != "rollback-journal":
                self.store.execute("PRAGMA journal_mode=WAL")  # a reader disturbs no writer
            if application != APPLICATION or version != VERSION:
                self.store.execute(f"PRAGMA application_id={APPLICATION}")
                self.store.execute(f"PRAGMA user_version={VERSION}")
            if DEFECT == "never-syncs":
                self.store.execute("PRAGMA synchronous=OFF")
            self.store.execute("CREATE TABLE IF NOT EXISTS sub (id INTEGER PRIMARY KEY, url TEXT, count INTEGER)")
        except sqlite3.Error as error:
            raise unusable(path, error) from error

    def restore(self) -> None:
        for number, url in self.store.execute("SELECT id, url FROM sub").fetchall():
            try:
                read_bundle(url)
            except RefusedError as error:
                if DEFECT == "aborts":
                    raise
                if DEFECT == "deletes-record":
                    self.store.execute("DELETE FROM sub WHERE id=?", (number,))
                self.bad[number] = error
                named = {} if DEFECT == "warns-without-bundle" else {"error": str(error), "url": url}
                self.log("warning", event="subcluster.quarantined", subcluster=f"s{number}", **named)
                if DEFECT == "forgets":
                    self.store.execute("UPDATE sub SET url='file:///nowhere' WHERE id=?", (number,))
        if DEFECT == "skips-healthy" and self.bad:
            self.bad = {
                n: RefusedError("skipped", "skipped") for (n,) in self.store.execute("SELECT id FROM sub")
            } | self.bad
        if DEFECT == "loses-state":
            self.store.execute("UPDATE sub SET count=0")

    def listen(self) -> None:
        path = self.home / "sock"
        if os.path.lexists(path):
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
                live = False
                if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
                    with contextlib.suppress(OSError):
                        client.connect(str(path))
                        live = True
                if live and DEFECT != "unlinks-live":
                    pid = int.from_bytes(
                        client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder
                    )
                    raise RefusedError("socket-foreign", f"{path} is served by pid {pid}")
            if path.is_dir() or (path.is_file() and path.stat().st_size):
                raise RefusedError("socket-foreign", f"{path} is not a socket")
            path.unlink()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()

    def run(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            self.home.mkdir(mode=0o700, exist_ok=True)
            steps = [
                ("lock", self.lock),
                ("store", self.open_store),
                ("restore", self.restore),
                ("listen", self.listen),
            ]
            if DEFECT == "lock-late":
                steps[0], steps[1] = steps[1], steps[0]
            for name, step in steps:
                if name in ("lock", "listen"):
                    step()
                    self.phase(name)
                else:
                    self.phase(name)
                    step()
        except OSError as error:
            self.give_up(
                RefusedError("unwritable", f"{error.filename or self.home} cannot be written: {error.strerror}")
            )
        except Exception as error:  # noqa: BLE001 (a fatal is told, whatever it is)
            self.give_up(error)
        unlogged = self.log_problem()
        degraded = [f"s{n} ({e})" for n, e in self.bad.items()]
        self.tell(ready=True, degraded=degraded, unlogged=unlogged and f"; without a log: {unlogged}")
        os.close(self.status)
        try:
            self.serve()
        finally:
            self.store.close()  # while the lock is still ours: who takes it next finds a store at rest
            for name in ("sock", "pid"):
                (self.home / name).unlink(missing_ok=True)

    def give_up(self, error: Exception) -> None:
        self.fatal(error)
        if self.phase_now != "lock":  # the lock is ours, and so is the pid file
            with contextlib.suppress(OSError):
                (self.home / "pid").unlink(missing_ok=True)
        sys.exit(1)

    def fatal(self, error: Exception) -> None:
        text = repr(object()) if DEFECT == "object-name" else str(error)
        if DEFECT == "fatal-unlogged":
            sys.stderr.write(text)
        else:
            for _ in range(2 if DEFECT == "fatal-twice" else 1):
                self.log("fatal", phase=self.phase_now, error=text)
        if DEFECT == "times-out":
            time.sleep(60)
        self.tell(fatal=text, lost=isinstance(error, RefusedError) and error.code == "running")
        if DEFECT == "lingers":
            time.sleep(60)

    def serve(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            with connection, connection.makefile("rwb") as stream:
                line = stream.readline()
                if not line:
                    continue  # somebody looked in, and went
                request = json.loads(line)
                try:
                    answer: dict[str, Any] = {"result": self.answer(request["method"], request["params"])}
                except sqlite3.Error as error:
                    if DEFECT == "dies-of-a-full-disk":
                        raise
                    refused = unusable(self.home / "store.sqlite", error)
                    answer = {"error": {"code": 1, "message": str(refused), "data": {"code": refused.code}}}
                except RefusedError as error:
                    answer = {"error": {"code": 1, "message": str(error), "data": {"code": error.code}}}
                with contextlib.suppress(BrokenPipeError):
                    stream.write(json.dumps({"id": 1, **answer}).encode() + b"\n")
                    stream.flush()
                for number in self.owed:
                    self.count(number)
                self.owed.clear()
                if request["method"] == "stop":
                    return

    def answer(self, method: str, params: Any) -> Any:
        if method == "launch":
            read_bundle(params)
            if DEFECT == "launches-in-two-steps":
                number = self.store.execute("INSERT INTO sub (url) VALUES (?)", (params,)).lastrowid
                self.store.execute("UPDATE sub SET count=0 WHERE id=?", (number,))
            else:
                number = self.store.execute("INSERT INTO sub (url, count) VALUES (?, 0)", (params,)).lastrowid
            return [f"s{number}", f"root{number}"]
        if method == "list":
            rows = self.store.execute("SELECT id FROM sub").fetchall()
            if DEFECT == "never-lists" or self.store.execute("SELECT 1 FROM sub WHERE count IS NULL").fetchone():
                raise RefusedError("internal-error", "KeyError: 'count'")
            return [
                [f"s{n}", "quarantined", str(self.bad[n]), self.bad[n].code]
                if n in self.bad
                else [f"s{n}", "running", "", None]
                for (n,) in rows
            ]
        if method == "probe":
            number = int(params.removeprefix("root"))
            if number in self.bad:
                raise RefusedError("quarantined", f"s{number} is quarantined: {self.bad[number]}")
            if DEFECT == "reply-before-commit":
                self.owed.append(number)
                return self.store.execute("SELECT count + 1 FROM sub WHERE id=?", (number,)).fetchone()[0]
            self.count(number)
            return self.store.execute("SELECT count FROM sub WHERE id=?", (number,)).fetchone()[0]
        return "pong"

    def count(self, number: int) -> None:
        self.store.execute("UPDATE sub SET count = count + 1 WHERE id=?", (number,))


def main() -> int:
    home, verb = Path(sys.argv[1]), sys.argv[2]
    if verb == "serve":
        Daemon(home).run()
        return 0
    from little_client import start, stop

    if verb == "start":
        return start(home, float(sys.argv[3]))
    return stop(home, "--force" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
