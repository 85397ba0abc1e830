"""The fork server itself: imports a program, and forks itself for each run of it that is asked for.

Run by its path, as ``fork_server_main.py FD SETTINGS``; the other side, and the reason, is
:mod:`pytest_ocap.drivers.fork_server`.  ``FD`` is a ``SOCK_SEQPACKET`` socket.  Each message on it is a request,
``{"words", "environment", "cwd"}`` in JSON, and comes with four descriptors: the run's own socket, the reading end of a
pipe, its standard output, its standard error.  The run begins when a byte comes through the pipe, and ends when none
can come any more.  On its socket go ``{"pid"}`` and ``{"status"}``, a wait status; any message there kills it.

Invariants: this process is single-threaded and runs nothing of the program but its imports, so a fork of it is sound;
a run is killed by whom it was forked by, so that nothing can be done to a process that merely has the same pid; a run
inherits standard descriptors, and no other; the server ends when nobody holds the other end of its socket.

It knows nothing of this project, and imports the standard library only.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

REQUEST_BYTES = 1 << 17
_UNCAUGHT = 1


class Server:
    """Forks the runs, and tells how they end."""

    def __init__(self, control: socket.socket, program: str, function: str) -> None:
        self._control = control
        self._program = program
        self._function = function
        self._runs: dict[int, socket.socket] = {}
        self._interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the runs
        self._poll = select.poll()
        self._wake, wake = os.pipe()
        for end in (self._wake, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for descriptor in (control.fileno(), self._wake):
            self._poll.register(descriptor, select.POLLIN)

    def serve(self) -> None:
        """Serve until nobody can ask any more."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._wake:
                    os.read(self._wake, 4096)
                elif descriptor != self._control.fileno():
                    self._hear(descriptor)
                elif not self._take():
                    return
            self._reap()

    def _take(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, REQUEST_BYTES, 4)
        if not data:
            return False
        request = json.loads(data)
        run = socket.socket(fileno=descriptors[0])
        try:
            pid = os.fork()
        except OSError as error:
            _tell(run, {"error": str(error)})
            run.close()
        else:
            if pid == 0:
                self._be_run(request, *descriptors[1:])
            self._runs[pid] = run
            self._poll.register(run, select.POLLIN)
            _tell(run, {"pid": pid})
        for descriptor in descriptors[1:]:
            os.close(descriptor)
        return True

    def _hear(self, descriptor: int) -> None:
        """Kill a run; nobody's hearing how it ends any more is no reason to."""
        for pid, run in self._runs.items():
            if run.fileno() == descriptor:
                self._poll.unregister(descriptor)
                with contextlib.suppress(ConnectionError):
                    if run.recv(16):
                        os.kill(pid, signal.SIGKILL)
                return

    def _reap(self) -> None:
        for pid, run in list(self._runs.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._runs[pid]
                with contextlib.suppress(KeyError):  # it has been killed
                    self._poll.unregister(run)
                _tell(run, {"status": status})
                run.close()

    def _be_run(self, request: dict[str, Any], go: int, out: int, err: int) -> NoReturn:
        """Be the program for the rest of this process's life."""
        status = _UNCAUGHT
        try:
            if not os.read(go, 1):
                raise SystemExit(_UNCAUGHT)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, self._interrupt)
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.closerange(3, max(map(int, os.listdir("/dev/fd"))) + 1)
            os.environ.clear()
            os.environ.update(request["environment"])
            os.chdir(request["cwd"])
            program = sys.modules[self._program]
            sys.argv = [os.fspath(program.__file__ or self._program), *request["words"]]
            getattr(program, self._function)()
            status = 0
        except SystemExit as ending:
            status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
            if not isinstance(ending.code, int | None):
                sys.stderr.write(f"{ending.code}\n")
        except BaseException:  # noqa: BLE001  (as the interpreter does with what nobody caught)
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
            os._exit(status)


def _tell(run: socket.socket, message: dict[str, object]) -> None:
    with contextlib.suppress(ConnectionError):  # whoever asked is gone
        run.send(json.dumps(message).encode())


def main() -> None:
    """Be the server."""
    settings = json.loads(sys.argv[2])
    for name in settings["imports"]:
        importlib.import_module(name)
    with socket.socket(fileno=int(sys.argv[1])) as control:
        server = Server(control, settings["program"], settings["function"])
        gc.collect()
        gc.freeze()  # keeps the pages that runs share from being written
        server.serve()


if __name__ == "__main__":
    main()
