"""Confinement of a worker: it can compute, and talk over the descriptors that it has, and nothing else.

On Linux a seccomp filter lets through only system calls that compute, allocate memory and use open descriptors; each
other one fails with EPERM, which vat code sees as PermissionError. Resource limits bound memory everywhere.

Invariants: confinement cannot be taken back; a filter is in use only after a probe process has shown that it refuses.
The rules are compiled once, in the template (libseccomp needs files and memory for that); a worker only installs them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import posix
import resource
import sys
from types import ModuleType

from kernel.workers.confinement import INSTALL, expected_confinement
from kernel.workers.types import Confinement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ALLOWED = [
    "brk",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "exit",
    "exit_group",
    "futex",
    "getpid",
    "getppid",
    "getrandom",
    "gettid",
    "gettimeofday",
    "madvise",
    "membarrier",
    "mremap",
    "munmap",
    "nanosleep",
    "poll",
    "ppoll",
    "read",
    "readv",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
    "time",
    "write",
    "writev",
]
"""System calls that compute, wait, allocate, end the process, or use a descriptor that is open already."""

_NOT_EXECUTABLE = "mmap", "mprotect"
"""System calls that are allowed unless they ask for executable memory."""

_PROT_EXEC = 4
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_BPF_INSTRUCTION_BYTES = 8


class _SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class Filter:
    """A compiled filter, ready to be installed in a process."""

    def __init__(self, program: bytes) -> None:
        self._program = ctypes.create_string_buffer(program, len(program))
        self._fprog = _SockFprog(len(program) // _BPF_INSTRUCTION_BYTES, ctypes.addressof(self._program))

    def install(self) -> None:
        """Confine this process from now on.

        Raises:
            OSError: The operating system did not take the filter; the process is not confined.
        """
        _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0)
        _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(self._fprog))


def compile_filter() -> tuple[Filter | None, Confinement]:
    """Compile the filter and try it in a process of its own; give it, or why there is none."""
    expected = expected_confinement()
    if expected.state != "full":
        return None, expected
    try:
        filter_ = Filter(_compile())
    except ImportError as error:
        return None, Confinement("none", f"pyseccomp cannot be imported: {error}", INSTALL)
    except (RuntimeError, OSError) as error:
        return None, Confinement("none", f"libseccomp cannot be used: {error}", INSTALL)
    failure = _probe(filter_)
    if failure is not None:
        remedy = "Run the daemon where system-call filters are allowed (containers may forbid them)."
        return None, Confinement("none", f"the system-call filter does not work here: {failure}", remedy)
    return filter_, Confinement("full")


def limit_resources(memory_bytes: int) -> None:
    """Bound this process's memory, files and descriptors; what the platform does not have is left out."""
    for name, value in (
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_NPROC", 0),
        ("RLIMIT_NOFILE", 4),
        ("RLIMIT_AS", memory_bytes),
    ):
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (bound, bound))
        except (ValueError, OSError):
            if sys.platform.startswith("linux"):
                raise  # macOS refuses RLIMIT_AS; Linux refuses none of these


def die_with_parent(parent: int) -> None:
    """Have this process killed when the thread that made it ends; end it now if ``parent`` is gone already."""
    if sys.platform.startswith("linux"):
        import signal

        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0)
    if os.getppid() != parent:
        # Not os._exit, here and wherever a forked process ends: coverage makes that one write files first.
        posix._exit(0)


def name_process(name: str) -> None:
    """Set the name that process listings show; it is cut to 15 bytes."""
    if sys.platform.startswith("linux"):
        text = ctypes.create_string_buffer(name.encode()[:15])
        _prctl(_PR_SET_NAME, ctypes.addressof(text), 0)


def _import_pyseccomp() -> Any:
    """Import pyseccomp, with a stand-in for ``ctypes.util``, by which it finds its libraries.

    That would import half of the standard library, and start two processes (100 ms, and a PATH).
    """

    def known(name: str) -> str | None:
        return "libseccomp.so.2" if name == "seccomp" else None  # None is the program itself, which has libc in it

    finder: Any = ModuleType("ctypes.util")
    finder.find_library = known
    real = sys.modules.get("ctypes.util")
    sys.modules["ctypes.util"] = ctypes.util = finder  # type: ignore[attr-defined]  # where an import puts it
    try:
        import pyseccomp
    finally:
        del sys.modules["ctypes.util"], ctypes.util  # type: ignore[attr-defined]  # likewise
        if real is not None:
            sys.modules["ctypes.util"] = ctypes.util = real  # type: ignore[attr-defined]  # likewise
    return pyseccomp


def _compile() -> bytes:
    pyseccomp = _import_pyseccomp()
    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    for name in _ALLOWED:
        if _exists(pyseccomp, name):
            rules.add_rule(pyseccomp.ALLOW, name)
    for name in _NOT_EXECUTABLE:
        rules.add_rule(pyseccomp.ALLOW, name, pyseccomp.Arg(2, pyseccomp.MASKED_EQ, _PROT_EXEC, 0))
    with os.fdopen(os.memfd_create("filter"), "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _exists(pyseccomp: Any, name: str) -> bool:
    """Say whether this machine's architecture has a system call (``time``, for one, is not on all)."""
    return int(pyseccomp.resolve_syscall(pyseccomp.system_arch(), name)) >= 0


def _probe(filter_: Filter) -> str | None:
    """Install the filter in a child process and see whether it refuses to open a file; give what went wrong."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        verdict = b"the filter let a file be opened"
        try:
            filter_.install()
            os.open("/dev/null", os.O_RDONLY)
        except PermissionError as error:
            verdict = b"" if error.filename == "/dev/null" else str(error).encode()
        except OSError as error:
            verdict = str(error).encode()
        finally:
            os.write(writer, verdict or b"ok")
            posix._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        said = file.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        return f"the probe ended with wait status {status}"
    return None if said == b"ok" else said.decode(errors="replace") or "the probe said nothing"


def _prctl(option: int, first: int, second: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (ctypes.c_ulong(first), ctypes.c_ulong(second), ctypes.c_ulong(0), ctypes.c_ulong(0))
    if libc.prctl(option, *arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
