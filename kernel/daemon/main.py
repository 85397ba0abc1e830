"""The daemon's life: the phases of its start, its service, its end.

Invariants: the lock comes before everything else of the home and goes last; each phase is announced (lock file,
    status pipe) as it begins; whatever ends a start, in whatever phase, is reported once, and leaves no lock, socket
    or process.  A graceful end (RPC, SIGTERM, SIGINT) finishes what is under way within a bound and leaves the rest
    to the next start, as a crash would.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import threading
import time

from kernel import __version__
from kernel.daemon.descriptors import close_inherited, open_standard_descriptors
from kernel.daemon.failpoint import NOTE_VARIABLE, VARIABLE, Failpoint
from kernel.daemon.fatal import FatalReporter, render
from kernel.daemon.home import Home
from kernel.daemon.lock import FAILED, READY, STOPPED, STOPPING, DaemonLock, remove_pid_file, write_pid_file
from kernel.daemon.log import DaemonLog, wanted_size
from kernel.daemon.options import DaemonOptions, parse_options
from kernel.daemon.process import monotonic, signal_name
from kernel.daemon.status import StatusPipe
from kernel.errors import DaemonRunningError, OcapError, StartInterruptedError
from kernel.timestamps import timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from types import FrameType
    from typing import Any

    from kernel.daemon.server import Server
    from kernel.engine import Kernel
    from kernel.loop import Loop
    from kernel.store import Store

#: How long requests under way may take to be answered when the daemon stops, in seconds.
DRAIN_SECONDS = 1.0

#: How often the daemon looks whether its home is still there, in seconds.
HOME_WATCH_SECONDS = 3.0

#: How often progress within a phase is announced at most, in seconds.
_PROGRESS_INTERVAL = 0.05


class _Interrupted(BaseException):
    """SIGTERM or SIGINT came while the daemon was starting."""

    def __init__(self, number: int) -> None:
        super().__init__(signal_name(number))
        self.number = number


def run(arguments: list[str]) -> int:
    """Run a daemon until it ends; give the exit status.

    0 for a graceful end, 128 + n for signal n during the start, else the exit code of the error (1 as a rule).
    """
    os.umask(0o077)
    open_standard_descriptors()
    faulthandler.enable(2)  # at first the caller's pipe, from phase `log` on the log
    daemon = Daemon()
    try:
        daemon.start(arguments)
        daemon.serve()
    except BaseException as error:  # noqa: BLE001 - whatever ends the daemon is reported
        return daemon.fail(error)
    return daemon.end()


class Daemon:
    """One daemon; an implementation of :class:`kernel.daemon.methods.Service`."""

    kernel: Kernel
    is_host = False

    def __init__(self) -> None:
        self._status = StatusPipe(None)
        self._reporter = FatalReporter(self._tell_caller)
        self._failpoint = Failpoint(None)
        self._began = monotonic()
        self._started_at = timestamp(time.time())
        self._home: Home | None = None
        self._lock: DaemonLock | None = None
        self._log: DaemonLog | None = None
        self._store: Store | None = None
        self._loop: Loop | None = None
        self._kernel: Kernel | None = None
        self._server: Server | None = None
        self._ready = False
        self._reason: str | None = None
        self._unhandled: BaseException | None = None
        self._progress_at = 0.0

    def _tell_caller(self, record: dict[str, Any]) -> bool:
        return self._status.fatal(record)

    # --- the start ---

    def start(self, arguments: list[str]) -> None:
        """Go through the phases; returns when the daemon is ready."""
        self._take_signals()
        options = parse_options(arguments)
        self._status = StatusPipe(options.status_fd)
        close_inherited(options.status_fd)
        home = self._home = Home(options.home)
        self._reporter.log_path = home.log
        self._failpoint = Failpoint(os.environ.get(VARIABLE), os.environ.get(NOTE_VARIABLE))
        home.create()
        os.chdir("/")
        self._phase_lock(home)
        log = self._phase_log(home, options)
        self._phase_store(home)
        self._phase_identity(home, options, log)
        self._enter("restore")
        self.kernel.restore(self._progress)
        self._enter("io")
        self.kernel.open_channels()
        self._phase_listen(home, log)
        self._phase_ready(home, log)

    def _enter(self, phase: str) -> None:
        """Begin a phase: announce it wherever it can be announced yet."""
        self._reporter.phase = phase
        if self._lock is not None and self._lock.held:
            self._lock.announce(phase)
        self._status.phase(phase)
        if self._log is not None:
            self._log.debug("daemon.phase", phase=phase)
        self._failpoint.reach(phase)

    def _progress(self, done: int, total: int) -> None:
        now = monotonic()
        if done < total and now - self._progress_at < _PROGRESS_INTERVAL:
            return
        self._progress_at = now
        if self._lock is not None:
            self._lock.announce(self._reporter.phase, (done, total))
        self._status.progress(done, total)

    def _phase_lock(self, home: Home) -> None:
        self._reporter.phase = "lock"
        lock = DaemonLock(home.lock, home.path, __version__)
        lock.acquire("lock")
        self._lock = lock
        lock.note(socket=home.socket)
        write_pid_file(home.pid, os.getpid())
        self._enter("lock")

    def _phase_log(self, home: Home, options: DaemonOptions) -> DaemonLog:
        self._enter("log")
        if options.status_fd is None:
            self._reporter.terminal_fd = os.dup(2)  # a person's terminal; the log takes the place of descriptor 2
        log = DaemonLog(home.log, max_bytes=wanted_size(), stderr_fd=2, level=options.log_level)
        log.open()
        self._log = self._reporter.log = log
        previous = self._lock.previous if self._lock is not None else None
        log.info("daemon.starting", pid=os.getpid(), version=__version__, home=home.path)
        if previous is not None and not previous.ended_cleanly:
            log.warning("daemon.recovered", previousPid=previous.pid, previousPhase=previous.phase)
        return log

    def _phase_store(self, home: Home) -> None:
        self._enter("store")
        from kernel.store import Store

        self._store = Store.open(home.store)

    def _phase_identity(self, home: Home, options: DaemonOptions, log: DaemonLog) -> None:
        self._enter("identity")
        from kernel.engine import Kernel, KernelOptions
        from kernel.loop import Loop

        assert self._store is not None
        loop = self._loop = Loop(clock=monotonic)
        loop.on_unhandled = self._on_unhandled
        threading.excepthook = self._on_thread_failed
        sys.unraisablehook = self._on_unraisable
        chosen = KernelOptions(require_confinement=options.require_confinement)
        if options.init_timeout is not None:
            chosen = chosen._replace(init_timeout=options.init_timeout)
        if options.delivery_timeout is not None:
            chosen = chosen._replace(delivery_timeout=options.delivery_timeout)
        self.kernel = self._kernel = Kernel(self._store, loop=loop, log=log, bundles_dir=home.bundles, options=chosen)
        confinement = self.kernel.confinement()
        if confinement.state != "full":
            log.warning("daemon.unconfined", reason=confinement.reason, remedy=confinement.remedy)

    def _phase_listen(self, home: Home, log: DaemonLog) -> None:
        self._enter("listen")
        from kernel.daemon.listening import listen
        from kernel.daemon.server import Server

        assert self._loop is not None
        self._server = Server(self._loop, listen(home.socket, log), self._call, log)

    def _call(self, method: str, params: list[Any] | dict[str, Any]) -> Awaitable[object]:
        from kernel.daemon.methods import call_method

        return call_method(self, method, params)

    def _phase_ready(self, home: Home, log: DaemonLog) -> None:
        self.kernel.run()
        quarantined = self.kernel.count_quarantined()
        state = "degraded" if quarantined else "ready"
        if self._unhandled is not None:
            raise self._unhandled
        self._check_interrupted()
        self._ready = True
        seconds = round(monotonic() - self._began, 3)
        log.info(
            "daemon.ready",
            pid=os.getpid(),
            socket=home.socket,
            state=state,
            quarantined=quarantined,
            seconds=seconds,
        )
        self._enter(READY)
        self._status.close()
        gc.freeze()  # what the start has made is here to stay, and no search for garbage need go through it
        gc.enable()

    # --- signals and other surprises ---

    def _take_signals(self) -> None:
        self._interrupted: int | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the daemon outlives the terminal that it was started in

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._ready:
            if self._loop is not None:  # else it is ending already
                self._loop.call_soon_threadsafe(self._stop, signal_name(number))
        elif self._interrupted is None:
            self._interrupted = number
            raise _Interrupted(number)

    def _check_interrupted(self) -> None:
        """Raise again what a handler's exception came to nothing (in a finaliser, say)."""
        if self._interrupted is not None:
            raise _Interrupted(self._interrupted)

    def _on_unhandled(self, error: BaseException) -> None:
        """Take an exception that nobody handles: what state the kernel is in is unknown, so the daemon ends."""
        if self._unhandled is None:
            self._unhandled = error
        if self._loop is not None:
            self._loop.stop()

    def _on_thread_failed(self, details: threading.ExceptHookArgs) -> None:
        error = details.exc_value or RuntimeError(f"a thread ended with {details.exc_type.__name__}")
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._on_unhandled, error)

    def _on_unraisable(self, details: sys.UnraisableHookArgs) -> None:
        if self._log is not None and details.exc_value is not None:
            self._log.error("daemon.unraisable", error=render(details.exc_value), where=details.err_msg)

    # --- service ---

    def serve(self) -> None:
        """Serve until somebody asks for the end; raises what nobody handled."""
        assert self._loop is not None
        self._watch_home()
        self._loop.run_forever()
        if self._unhandled is not None:
            raise self._unhandled

    def _watch_home(self) -> None:
        """Stop when the home has been removed or replaced: nobody could find this daemon any more."""
        assert self._loop is not None
        assert self._lock is not None
        if not self._lock.is_in_place():
            self._stop("the home directory was removed or replaced")
        else:
            self._loop.call_later(HOME_WATCH_SECONDS, self._watch_home)

    def daemon_facts(self) -> dict[str, Any]:
        """Give the ``daemon`` part of ``getStatus``, without ``state``."""
        confinement = self.kernel.confinement()
        return {
            "pid": os.getpid(),
            "version": __version__,
            "startedAt": self._started_at,
            "confinement": {
                "state": confinement.state,
                "reason": confinement.reason,
                "remedy": confinement.remedy,
            },
        }

    def request_stop(self) -> None:
        """Stop once what is being answered has been sent."""
        assert self._loop is not None
        self._loop.call_soon(self._stop, "shutdown")

    def _stop(self, reason: str) -> None:
        if self._reason is not None:
            return
        assert self._loop is not None
        assert self._lock is not None
        assert self._log is not None
        self._reason = reason
        self._log.info("daemon.stopping", reason=reason)
        self._reporter.phase = STOPPING
        try:
            self._lock.announce(STOPPING)
        except OcapError as error:
            self._log.warning("daemon.lock_text_not_written", error=error)
        self._failpoint.reach(STOPPING)
        assert self._server is not None
        self._server.drain().add_done_callback(lambda _drained: self._halt())
        self._loop.call_later(DRAIN_SECONDS, self._halt)

    def _halt(self) -> None:
        assert self._loop is not None
        self._loop.stop()

    # --- the end ---

    def end(self) -> int:
        """Close everything after a graceful stop; give the exit status."""
        failures = self._close_kernel()
        if failures:
            return self.fail(failures[0])
        if self._log is not None:
            self._log.info("daemon.stopped", pid=os.getpid(), reason=self._reason)
        self._let_go(STOPPED)
        return 0

    def fail(self, error: BaseException) -> int:
        """Report what ended the daemon, close everything; give the exit status."""
        status = error.exit_code if isinstance(error, OcapError) else 1
        if isinstance(error, _Interrupted):
            status = 128 + error.number
            error = StartInterruptedError(
                f"The daemon was told to stop by {error} in phase {self._reporter.phase} of its start.",
                remedy="Start it again.",
                signal=str(error),
            )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # it is ending already
        if isinstance(error, DaemonRunningError):
            # Not a failure of this home: the daemon that runs keeps its log to itself, only the caller is told.
            self._reporter.refuse(error)
            return status
        failed_phase = self._reporter.phase
        self._reporter.report(error)
        for failure in self._close_kernel():
            if self._log is not None:
                self._log.error("daemon.error_while_failing", error=render(failure))
        if self._lock is not None:
            self._lock.note(failedPhase=failed_phase)
        self._let_go(FAILED)
        self._status.close()
        return status

    def _close_kernel(self) -> list[Exception]:
        """Close server, kernel, store and loop, each whatever became of the others; give what went wrong."""
        failures: list[Exception] = []
        for part in (self._server, self._kernel, self._store, self._loop):
            if part is not None:
                try:
                    part.close()
                except Exception as error:  # noqa: BLE001 - the other parts have to be closed all the same
                    failures.append(error)
        self._server = self._kernel = self._store = self._loop = None
        return failures

    def _let_go(self, phase: str) -> None:
        """Remove the pid file and let the lock go, last of all."""
        if self._lock is None or not self._lock.held or self._home is None:
            return
        remove_pid_file(self._home.pid, os.getpid())
        try:
            self._lock.announce(phase)
        except OcapError as error:
            if self._log is not None:
                self._log.warning("daemon.lock_text_not_written", error=error)
        self._lock.release()
