"""``ocap daemon purge``: deletes what the kernel keeps in a home directory, and nothing else.

Invariants: nothing is deleted while a daemon holds the lock, nor without ``--yes``; a store that is not this kernel's
keeps everything from being deleted; only files with names that the kernel gives are touched, the directory and the lock
file stay (the lock of a removed file would keep nobody out).
"""

from __future__ import annotations

import os
import stat

from kernel.cli.output import note, say, say_json
from kernel.cli.session import home_of, suggest
from kernel.errors import DaemonRunningError, HomeError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from kernel.daemon.home import Home

_SHA256_HEX_DIGITS = 64


def purge(args: Namespace) -> int:
    """Carry out ``ocap daemon purge``."""
    home = home_of(args)
    _refuse_foreign(home)
    if not args.yes:
        for path in kept_files(home):
            note(f"would delete {path}")
        raise UsageError(
            f"this would delete all subclusters of {home.path} and their state for good; nothing was deleted",
            remedy=f"To do it, run: {suggest(args, 'daemon purge --yes')}",
        )
    deleted = _purge(home, args)
    if args.json:
        say_json({"home": home.path, "deleted": deleted})
    elif not deleted:
        note(f"there is nothing to delete in {home.path}")
    return 0


def kept_files(home: Home) -> list[str]:
    """List what the kernel keeps in a home, as far as it exists: absolute paths, in the order in which they go.

    The store goes first: once its name is gone, what is left over is only left over.
    """
    return list(_kept(home))


def _kept(home: Home) -> Iterator[str]:
    for path in (home.store, f"{home.store}-journal", f"{home.store}-wal", f"{home.store}-shm"):
        if _is(path, stat.S_ISREG):
            yield path
    if _is(home.bundles, stat.S_ISDIR):
        for name in sorted(os.listdir(home.bundles)):
            digest, _, ending = name.partition(".")
            path = os.path.join(home.bundles, name)
            ours = len(digest) == _SHA256_HEX_DIGITS and not set(digest) - set("0123456789abcdef")
            if ours and ending in ("bundle", "bundle.tmp") and _is(path, stat.S_ISREG):
                yield path
    logs = os.path.basename(home.log)
    for name in sorted(os.listdir(home.path)) if _is(home.path, stat.S_ISDIR) else ():
        path = os.path.join(home.path, name)
        number = name.removeprefix(f"{logs}.")
        if (name == logs or (number != name and number.isdigit())) and _is(path, stat.S_ISREG):
            yield path
    if _is(home.pid, stat.S_ISREG):
        yield home.pid


def _purge(home: Home, args: Namespace) -> list[str]:
    if not os.path.isdir(home.path):
        return []
    _stop(home)
    from kernel.daemon.lock import hold_briefly

    lock = hold_briefly(home.lock)
    if lock is None:
        raise DaemonRunningError(
            f"a daemon was started in {home.path} meanwhile; nothing was deleted",
            remedy="Run the same command again.",
            path=home.lock,
        )
    try:
        return _delete(home, args)
    finally:
        os.close(lock)


def _stop(home: Home) -> None:
    from kernel.cli.daemon import stop_lines
    from kernel.daemon.ensure import stop_daemon

    report = stop_daemon(home)
    if report.how != "not-running":
        for line in stop_lines(report):
            note(line)


def _delete(home: Home, args: Namespace) -> list[str]:
    deleted: list[str] = []
    for path in kept_files(home):
        try:
            os.unlink(path)
        except OSError as error:
            raise HomeError(
                f"{path} cannot be deleted: {error.strerror or error}",
                remedy="See to the permissions of its directory, then run the same command again.",
                path=path,
                deleted=deleted,
            ) from error
        deleted.append(path)
        if not args.json:
            say(f"deleted {path}")
    if _is(home.bundles, stat.S_ISDIR) and not os.listdir(home.bundles):
        os.rmdir(home.bundles)
    _sync(home.path)
    return deleted


def _refuse_foreign(home: Home) -> None:
    """Raise for a store that is not ours, or that this version does not know."""
    if os.path.lexists(home.store):
        from kernel.store.opening import check_header

        check_header(home.store)


def _is(path: str, kind: Callable[[int], bool]) -> bool:
    """Tell whether ``path`` itself, links not followed, is of a kind (a predicate of :mod:`stat`)."""
    try:
        return kind(os.lstat(path).st_mode)
    except OSError:
        return False


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
