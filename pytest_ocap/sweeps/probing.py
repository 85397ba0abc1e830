"""What a machine must have and allow for each means of recording; said by name, with what to do about it.

Invariant: nothing is guessed from versions where it can be tried.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ARCHITECTURES = ("x86_64", "aarch64")
_PTRACE = 1 << 19  # CAP_SYS_PTRACE
_LINUX = "system calls are recorded on Linux only"


@cache
def supervisor_lacks() -> str | None:
    """Say what the supervisor of system calls lacks here; None when it works."""
    for check in (_platform, _libseccomp, _filters, _ptrace_scope):
        reason = check()
        if reason is not None:
            return reason
    return _trial()


def _platform() -> str | None:
    if sys.platform != "linux":
        return _LINUX
    if platform.machine() not in ARCHITECTURES:
        return f"the supervisor knows {' and '.join(ARCHITECTURES)}, and this is {platform.machine()}"
    return None


def _libseccomp() -> str | None:
    try:
        import pyseccomp
    except (ImportError, RuntimeError) as error:
        return f"libseccomp is missing ({error}): install libseccomp2 (Debian, Ubuntu) or libseccomp (Fedora, Arch)"
    return None if pyseccomp.get_api() >= 5 else "libseccomp or the kernel has no user notifications: libseccomp 2.5"


def _filters() -> str | None:
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    if not actions.exists() or "user_notif" not in actions.read_text().split():
        return "the kernel has no seccomp user notifications (CONFIG_SECCOMP_FILTER; Linux 5.0 and newer)"
    return None


def _ptrace_scope() -> str | None:
    """A supervisor reads the memory of processes that are not its children."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if not scope.exists() or scope.read_text().strip() == "0":
        return None
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:") and int(line.split()[1], 16) & _PTRACE:
            return None
    return (
        "reading the memory of processes that are no children is forbidden: allow it with "
        "sysctl kernel.yama.ptrace_scope=0, or give the capability CAP_SYS_PTRACE"
    )


def _trial() -> str | None:
    """Record one program that writes one file."""
    import tempfile

    from pytest_ocap.sweeps.calls import Kind
    from pytest_ocap.sweeps.means import MeansError
    from pytest_ocap.sweeps.supervisor import Supervisor

    program = "import os, sys; os.write(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), b'x')"
    with tempfile.TemporaryDirectory() as home, Supervisor() as supervisor:
        try:
            with supervisor.record(Path(home), "trial") as session:
                words = [*session.prefix, sys.executable, "-I", "-S", "-c", program, os.path.join(home, "file")]
                done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
                session.wait(10.0)
                kinds = [call.kind for call in session.recording().calls if call.result is not None]
        except MeansError as error:
            return f"a supervisor does not work here: {error}"
    if done.returncode != 0:
        hint = " (WAIT_KILLABLE_RECV needs Linux 5.19)" if "Invalid argument" in done.stderr else ""
        return f"a supervised program does not run here: {done.stderr.strip()}{hint}"
    if kinds[:2] != [Kind.OPEN, Kind.WRITE]:
        return f"a supervised program's calls were not seen: {kinds}"
    return None


@cache
def strace_lacks() -> str | None:
    """Say what strace lacks here; None when it works."""
    if sys.platform != "linux":
        return _LINUX
    if shutil.which("strace") is None:
        return "strace is missing: install the package strace (5.3 or newer)"
    checks: list[tuple[list[str], Callable[[str], str]]] = [
        (
            ["strace", "-qq", "-e", "trace=none", "true"],
            lambda words: f"strace may not trace here: {words}; allow ptrace",
        ),
    ]
    for words, reason in checks:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return reason(done.stderr.strip())
    return None
