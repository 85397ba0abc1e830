"""The table of system calls: complete, on every architecture that is promised."""

from __future__ import annotations

import pytest

from pytest_ocap.sweeps import abi
from pytest_ocap.sweeps.connections import Channels
from pytest_ocap.sweeps.handlers import handlers
from pytest_ocap.sweeps.lives import Lives
from pytest_ocap.sweeps.strace_reading import Reading
from pytest_ocap.sweeps.tree import Tree

try:
    import pyseccomp
except (ImportError, RuntimeError) as error:  # the package, or the library that it binds
    pytest.skip(f"needs libseccomp2: {error}", allow_module_level=True)

MODERN = """
openat openat2 write pwrite64 writev pwritev pwritev2 ftruncate truncate fallocate fsync fdatasync sync syncfs msync
renameat2 linkat symlinkat unlinkat mkdirat fchmod fchmodat fchownat utimensat mmap flock fcntl bind listen accept
accept4 connect sendto sendmsg recvfrom recvmsg read readv close clone clone3 execve execveat exit_group io_uring_setup
"""
OLD = "open creat rename link symlink unlink mkdir rmdir chmod chown lchown utime utimes futimesat fork vfork"
"""What younger architectures have only in a newer form."""


def test_every_call_that_is_looked_at_has_a_handler_and_no_other() -> None:
    found = handlers(Channels(), Lives(Tree()))
    assert {*found, "io_uring_setup"} == {*abi.CALLS}


def test_the_witness_reads_every_call_that_the_supervisor_may_act_on() -> None:
    unread = {"sendfile", "copy_file_range", "splice", "msync", "sendmmsg", "recvmmsg", "io_uring_setup"}
    rare = {"fchmodat2", "utime", "utimes", "futimesat"}
    assert {*abi.CALLS} - {*Reading("/home").reads()} == unread | rare | {*abi.CREDENTIALS}


@pytest.mark.parametrize("architecture", ["X86_64", "AARCH64"])
def test_what_modern_programs_call_has_a_number_on(architecture: str) -> None:
    place = getattr(pyseccomp.Arch, architecture)
    assert [name for name in MODERN.split() if pyseccomp.resolve_syscall(place, name) < 0] == []
    assert {*MODERN.split()} <= {*abi.CALLS}


@pytest.mark.parametrize(("architecture", "lacking"), [("X86_64", ""), ("AARCH64", OLD)])
def test_a_name_is_left_out_only_where_there_is_no_such_call(architecture: str, lacking: str) -> None:
    place = getattr(pyseccomp.Arch, architecture)
    names = {*abi.CALLS} - {"fchmodat2"}  # younger than the libseccomp of some systems
    assert {name for name in names if pyseccomp.resolve_syscall(place, name) < 0} == {*lacking.split()}


def test_the_filter_is_small_enough_for_the_kernel() -> None:
    program = abi.filter_program()
    assert len(program) % 8 == 0
    assert 8 < len(program) // 8 < 4096
    assert len(abi.filter_program(abi.READING)) < len(program)
