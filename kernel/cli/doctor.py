"""``ocap doctor``: what a start of this home would do, found out on a copy, changing nothing.

Findings are what would keep a part of the kernel, or all of it, from running; they make the exit code 1.  What a dead
daemon left behind is told too, but the next start clears it away by itself.
"""

from __future__ import annotations

import os
import stat

from kernel.cli.output import note, say, say_json
from kernel.cli.quarantine import cause_text
from kernel.cli.session import home_of, status_of
from kernel.errors import NotRunningError, OcapError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from kernel.daemon.home import Home

_STATES = {
    "empty": "a start would make an empty store",
    "healthy": "a start would run everything",
    "degraded": "a start would succeed, and leave out what is wrong",
    "unbootable": "a start would fail",
}


def doctor(args: Namespace) -> int:
    """Carry out ``ocap doctor``."""
    from kernel.cli.waiting import Waiting

    home = home_of(args)
    with Waiting("trying the restore on a copy"):
        report = diagnose(home)
    if args.json:
        say_json(report)
    else:
        _say(report)
    return 1 if report["findings"] else 0


def diagnose(home: Home) -> dict[str, Any]:
    """Examine a home: its store (on a copy), its daemon, and what a dead daemon left behind.

    Returns:
        What :func:`kernel.engine.doctor.examine` gives, and ``home``, ``daemon`` (its state) and ``stale`` (each with
        ``path`` and ``message``).
    """
    from kernel.daemon.lock import inspect_lock
    from kernel.engine.doctor import examine

    live = inspect_lock(home.lock).held
    report = examine(home.store, home.bundles, live=live)
    daemon, trouble = _daemon(home)
    findings = [*trouble, *report["findings"]]
    stale = [] if live else _stale(home)
    return {**report, "home": home.path, "daemon": daemon, "findings": findings, "stale": stale}


def _daemon(home: Home) -> tuple[str, list[dict[str, Any]]]:
    """Give the state of the daemon, and what is wrong with it."""
    try:
        return str(status_of(home)["daemon"]["state"]), []
    except NotRunningError:
        return "not-running", []
    except OcapError as error:
        return error.code.removeprefix("daemon-"), [error.to_json()]


def _stale(home: Home) -> list[dict[str, str]]:
    """List what lies about although no daemon runs."""
    stale = []
    if os.path.lexists(home.pid):
        stale.append({"path": home.pid, "message": "names a daemon that does not run any more"})
    try:
        mode = os.lstat(home.socket).st_mode
    except OSError:  # there is none, as it should be
        return stale
    what = "is a socket on which nobody listens" if stat.S_ISSOCK(mode) else "is no socket"
    stale.append({"path": home.socket, "message": what})
    return stale


def _say(report: dict[str, Any]) -> None:
    say(f"{report['state']}: {_STATES.get(report['state'], '')}".removesuffix(": "))
    say(f"home: {report['home']}")
    say(f"daemon: {report['daemon']}")
    counts = report["subclusters"]
    if counts is not None:
        say(f"subclusters: {counts['restored']} of {counts['total']} would run")
    for finding in report["findings"]:
        say("")
        say(_finding_text(finding))
        if finding.get("remedy"):
            say(f"  next: {finding['remedy']}")
    for notice in report["notices"]:
        fields = " ".join(f"{key}={value}" for key, value in notice.items() if key not in ("event", "level", "ts"))
        say(f"notice: {notice['event']} {fields}".rstrip())
    for item in report["stale"]:
        say(f"stale: {item['path']} {item['message']}; the next start clears it away")
    count = len(report["findings"])
    if count:
        note(f"{count} {'finding' if count == 1 else 'findings'}; nothing was changed")


def _finding_text(finding: dict[str, Any]) -> str:
    if finding.get("subclusterId"):
        text = f"{finding['subclusterId']} would be quarantined ({cause_text(finding)})"
        message = str(finding.get("message") or "")
        return f"{text}\n  cause: {message}" if message and message not in text else text
    return f"{finding['message']} (code {finding['code']})"
