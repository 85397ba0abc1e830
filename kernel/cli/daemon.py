"""``ocap daemon start|stop|restart|status``: the life of the daemon, and what it says of itself.

``start`` prints the socket on standard output, so that a script can use it, and how the start ended on standard error.
"""

from __future__ import annotations

from kernel.cli.output import note, say, say_json, say_table
from kernel.cli.quarantine import cause_text, ready_text
from kernel.cli.session import ensured, home_of, status_of, suggest
from kernel.errors import OcapError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from kernel.daemon.ensure import StopReport

_STATES = {
    "daemon-not-running": "not-running",
    "daemon-hung": "hung",
    "daemon-unresponsive": "unresponsive",
    "daemon-foreign": "foreign",
}


def start(args: Namespace) -> int:
    """Carry out ``ocap daemon start``."""
    options = daemon_options(args)
    state = ensured(args, timeout=args.timeout, options=options)
    if args.json:
        say_json(state._asdict())
        return 0
    if not state.started:
        note(f"already running: pid {state.pid}" + (", with the options that it was started with" if options else ""))
    say(state.socket)
    note(ready_text(state.quarantined))
    return 0


def daemon_options(args: Namespace) -> list[str]:
    """Give the options that a daemon has to be started with; those left out are the daemon's to choose."""
    options = ["--require-confinement"] if args.require_confinement else []
    given = {
        "--init-timeout": args.init_timeout,
        "--delivery-timeout": args.delivery_timeout,
        "--log-level": args.log_level,
    }
    for name, value in given.items():
        if value is not None:
            options += [name, str(value)]
    return options


def stop(args: Namespace) -> int:
    """Carry out ``ocap daemon stop``."""
    report = _stop(args, args.timeout)
    if args.json:
        say_json(report._asdict())
    return 0


def restart(args: Namespace) -> int:
    """Carry out ``ocap daemon restart``."""
    _stop(args, 10.0)
    return start(args)


def _stop(args: Namespace, timeout: float) -> StopReport:
    from kernel.cli.waiting import Waiting
    from kernel.daemon.ensure import stop_daemon

    with Waiting("the daemon is stopping"):
        report = stop_daemon(home_of(args), timeout=timeout, force=args.force)
    if not args.json:
        for line in stop_lines(report):
            note(line)
    return report


def stop_lines(report: StopReport) -> list[str]:
    """Say what stopping the daemon took."""
    if report.how == "not-running":
        return [*report.steps, "not running"] if report.steps else ["not running: nothing to stop"]
    return [*report.steps, f"stopped: pid {report.pid}, after {report.seconds:.1f} s"]


def status(args: Namespace) -> int:
    """Carry out ``ocap daemon status``."""
    from kernel.cli.failure import failure_lines

    home = home_of(args)
    try:
        found = status_of(home)
    except OcapError as error:
        if args.json:
            state = _STATES.get(error.code, "failed")
            say_json({"state": state, "home": home.path, "socket": home.socket, "error": error.to_json()})
        for line in failure_lines(error):
            note(line)
        return error.exit_code
    if args.json:
        say_json({"state": found["daemon"]["state"], "home": home.path, "socket": home.socket, **found})
    else:
        _say_status(args, home.socket, found)
    return 0


def _say_status(args: Namespace, socket: str, found: dict[str, Any]) -> None:
    daemon, subclusters = found["daemon"], found["subclusters"]
    quarantined = [record for record in subclusters if record["state"] == "quarantined"]
    say(f"{daemon['state']}: pid {daemon['pid']}, version {daemon['version']}, since {daemon['startedAt']}")
    if daemon.get("phase"):
        done = " {} of {}".format(*daemon["progress"]) if daemon.get("progress") else ""
        say(f"phase: {daemon['phase']}{done}")
        return
    say(f"socket: {socket}")
    confinement = daemon.get("confinement") or {}
    if confinement.get("state") not in (None, "full"):
        say(f"workers are not confined: {confinement.get('reason')}")
    say(f"subclusters: {len(subclusters) - len(quarantined)} running, {len(quarantined)} quarantined")
    if not quarantined:
        return
    say("")
    say_table(("QUARANTINED", "CAUSE", "SINCE"), [_quarantine_row(record) for record in quarantined])
    repair = suggest(args, f"subcluster repair {quarantined[0]['id']}")
    note(f"Next: remove the cause, then: {repair}")


def _quarantine_row(record: dict[str, Any]) -> tuple[str, str, str]:
    quarantine = record.get("quarantine") or {}
    return record["id"], cause_text(quarantine), str(quarantine.get("since") or "")
