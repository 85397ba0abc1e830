"""The entry of the daemon: ``python -m kernel.daemon --home DIR``.

Everything else is imported inside the ``try``, so that an import that fails (a broken installation, a missing
library) is a fatal like any other: in ``daemon.log`` and on the status pipe.  That report must need nothing of this
package.
"""

import gc
import os
import sys


def main() -> int:
    """Run the daemon; give the exit status of the process."""
    gc.disable()  # until it is ready: what a start makes is here to stay
    try:
        from kernel.daemon.main import run
    except BaseException as error:  # noqa: BLE001 - whatever an import raises has to be reported
        return _report(error, sys.argv[1:])
    return run(sys.argv[1:])


def _report(error: BaseException, arguments: list[str]) -> int:
    import json
    import time
    import traceback

    fatal = {
        "pid": os.getpid(),
        "phase": "spawn",
        "error": {
            "code": "internal-error",
            "type": type(error).__name__,
            "message": f"{type(error).__name__}: {error}",
            "traceback": "".join(traceback.format_exception(error)),
            "remedy": "The installation is broken: install the package again.",
        },
    }
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    home = os.path.expanduser(_option(arguments, "--home") or os.environ.get("OCAP_HOME") or "~/.ocap")
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
        log = os.open(os.path.join(home, "daemon.log"), flags, 0o600)
        os.write(log, json.dumps({"ts": stamp, "level": "fatal", "event": "daemon.fatal", **fatal}).encode() + b"\n")
        os.close(log)
    except OSError as failure:
        fatal["notLogged"] = str(failure)
    status = _option(arguments, "--status-fd") or ""
    try:
        os.write(int(status) if status.isdigit() else 2, json.dumps({"fatal": fatal}).encode() + b"\n")
    except OSError:
        return 1  # nobody listens: the log has it
    return 1


def _option(arguments: list[str], name: str) -> str | None:
    """Give an option's value, as far as that can be told without the parser, which may be what is broken."""
    for here, following in zip(arguments, [*arguments[1:], None], strict=True):
        if here == name:
            return following
        if here.startswith(f"{name}="):
            return here.partition("=")[2]
    return None


if __name__ == "__main__":
    status = main()
    try:
        from kernel.ending import end_process
    except BaseException:  # noqa: BLE001 - a broken installation, which has been reported
        sys.exit(status)
    end_process(status)
