"""Processes by identity: pid, start time and boot id together name a process, a pid alone never does.

Pids are reused; a start time (field 22 of ``/proc/PID/stat``, in clock ticks since boot) tells two bearers of a pid
apart, and the boot id tells two boots apart.  Where there is no ``/proc`` the start time is 0 and the boot id empty,
and callers rely on the lock alone.
"""

from __future__ import annotations

import os
import select
import signal
import time

from kernel.records import Record


class ProcessId(Record):
    """What names one process of one boot of this machine."""

    pid: int
    start_time: int
    boot_id: str


def monotonic() -> float:
    """Give monotonic seconds since boot, comparable between processes.

    ``clock_gettime`` is asked rather than ``time.monotonic`` because libraries that freeze time in tests replace the
    latter, and a deadline that never comes hangs whoever waits for it.
    """
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def boot_id() -> str:
    """Give the id of this boot of the machine, empty where there is none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def _stat_fields(pid: int) -> list[str] | None:
    """Give the fields of ``/proc/PID/stat`` from the third (state) on, or None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the name, may hold blanks and parentheses: the last parenthesis ends it.
    return text.rpartition(")")[2].split()


def has_proc() -> bool:
    """Say whether this platform tells about processes in ``/proc``."""
    return os.path.exists("/proc/self/stat")


def identify(pid: int) -> ProcessId | None:
    """Give the identity of the living process with that pid, or None; a zombie is not living."""
    if pid <= 0:
        return None
    if not has_proc():
        return ProcessId(pid, 0, "") if _responds(pid) else None
    fields = _stat_fields(pid)
    if fields is None or fields[0] in "ZX":
        return None
    return ProcessId(pid, int(fields[19]), boot_id())


def identify_child(pid: int) -> ProcessId:
    """Give the identity of a child that has not been reaped, which may have ended already."""
    fields = _stat_fields(pid) if has_proc() else None
    return ProcessId(pid, int(fields[19]), boot_id()) if fields is not None else ProcessId(pid, 0, "")


def _responds(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def this_process() -> ProcessId:
    """Give the identity of the process that asks."""
    return identify(os.getpid()) or ProcessId(os.getpid(), 0, "")


def is_alive(process: ProcessId) -> bool:
    """Say whether that very process still runs."""
    return identify(process.pid) == process


def state_of(pid: int) -> str | None:
    """Give the state letter of a process (``R S D T t Z``), or None when there is no such process or no ``/proc``."""
    fields = _stat_fields(pid) if pid > 0 and has_proc() else None
    return fields[0] if fields else None


def switches_of(pid: int) -> int | None:
    """Give how often a process has been given the processor and lost it again, or None where that is not told."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file if "ctxt_switches" in line]
    except OSError:
        return None
    return sum(int(line[-1]) for line in lines) if lines else None


def name_of(pid: int) -> str:
    """Give the name of a process for people, or ``unknown``."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip() or "unknown"
    except OSError:
        return "unknown"


def command_of(pid: int) -> list[str]:
    """Give the words of a process's command line; none when there is no such process, or it is not told."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return []
    return [os.fsdecode(word) for word in words[:-1]]


def began_monotonic(process: ProcessId) -> float:
    """Give when a process was created, in monotonic seconds since boot; now where there is no ``/proc``."""
    return process.start_time / os.sysconf("SC_CLK_TCK") if process.start_time else monotonic()


def await_end(process: ProcessId, seconds: float) -> None:
    """Wait until a process that lives ends, at most so long; where the system does not tell, wait for that long."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # a platform or a kernel without pidfds
        time.sleep(seconds)
        return
    try:
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        poller.poll(seconds * 1000)
    finally:
        os.close(handle)


def send_signal(process: ProcessId, number: int) -> bool:
    """Signal that very process; give False when it is gone.

    The process is held by a pidfd (where there is one) before its identity is checked, so the signal cannot reach
    another process that was given the pid meanwhile.

    Raises:
        PermissionError: The process belongs to somebody else.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):  # a platform or a kernel without pidfds
        handle = -1
    try:
        if not is_alive(process):
            return False
        if handle >= 0:
            signal.pidfd_send_signal(handle, number)
        else:
            os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    finally:
        if handle >= 0:
            os.close(handle)
    return True


def signal_name(number: int) -> str:
    """Give ``SIGKILL`` for 9, and ``signal N`` for a number without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
