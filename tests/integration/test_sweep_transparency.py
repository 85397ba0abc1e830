"""A program under supervision does what it would do alone, and so does whoever looks at it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from recorded import alone, home_in, python, record
from watching import descriptors, eventually

from pytest_ocap import processes
from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.means import Means
from pytest_ocap.sweeps.supervisor import Supervisor

TRANSPARENT = """
def attempt(name, call):
    try:
        print(name, call())
    except OSError as error:
        print(name, error.errno)

import resource, stat
os.umask(0o022)
attempt("makes", lambda: oct(os.fstat(os.open("f", os.O_CREAT | os.O_RDWR, 0o777)).st_mode))
attempt("exists", lambda: os.open("f", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
attempt("directory", lambda: os.open(".", os.O_WRONLY))
attempt("through a file", lambda: os.open("f/g", os.O_CREAT | os.O_WRONLY))
os.symlink("f", "link")
attempt("not followed", lambda: os.open("link", os.O_WRONLY | os.O_NOFOLLOW))
attempt("dangling", lambda: (os.symlink("new", "dangling"), os.open("dangling", os.O_CREAT | os.O_WRONLY))[1])
attempt("inheritable", lambda: os.get_inheritable(os.open("f", os.O_WRONLY)))
attempt("bad descriptor", lambda: os.write(99, b"x"))
attempt("read-only", lambda: os.write(os.open("f", os.O_RDONLY), b"x"))
attempt("seeks", lambda: (os.lseek(3, 100, 0), os.write(3, b"x"), os.lseek(3, 0, 1)))
attempt("mode", lambda: (os.mkdir("d", 0o777), oct(os.stat("d").st_mode))[1])
attempt("not empty", lambda: os.rmdir("."))
attempt("into itself", lambda: os.rename("d", "d/e"))
attempt("too long", lambda: os.mkdir("x" * 300))
os.mkfifo("fifo")
attempt("nobody reads", lambda: os.open("fifo", os.O_WRONLY | os.O_NONBLOCK))
fcntl.flock(3, fcntl.LOCK_EX)
print("own lock", any(int(line.split()[4]) == os.getpid() for line in open("/proc/locks") if "FLOCK" in line))
attempt("locked", lambda: fcntl.flock(os.open("f", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB))
child = os.fork()
if child == 0:  # waits for the lock, and is interrupted
    class Alarm(Exception): ...
    def ring(*_): raise Alarm
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        fcntl.flock(os.open("f", os.O_RDWR), fcntl.LOCK_EX)
    except Alarm:
        os._exit(7)
print("interrupted", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150))
attempt("too large", lambda: (os.pwrite(3, b"x" * 100, 100), os.pwrite(3, b"x", 150)))
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 100))
def many():
    while True:
        os.open("many", os.O_CREAT | os.O_WRONLY)
attempt("too many", many)
attempt("none made", lambda: os.open("none", os.O_CREAT | os.O_WRONLY))
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
print(sorted(os.listdir(".")), os.stat("f").st_size)
"""


def test_a_supervised_program_sees_what_it_would_see_alone(supervisor: Supervisor, short_tmp: Path) -> None:
    expected = alone(home_in(short_tmp, "alone"), TRANSPARENT)
    done = record(supervisor, home_in(short_tmp), TRANSPARENT)
    assert (done.status, done.output) == expected
    assert done.status == 0
    assert len(done.of(Kind.OPEN)) > 20


def test_a_program_with_bad_pointers_gets_its_errors_and_breaks_nothing(
    supervisor: Supervisor, short_tmp: Path
) -> None:
    program = """
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    file = os.open("f", os.O_CREAT | os.O_RDWR)
    bad = ctypes.c_void_p(8)
    server = socket.socket(socket.AF_UNIX)
    for name, arguments in (
        ("write", (file, bad, 10)),
        ("write", (file, ctypes.create_string_buffer(16), ctypes.c_size_t(2**62))),
        ("write", (file, bad, 0)),
        ("writev", (file, bad, 2)),
        ("writev", (file, bad, -1)),
        ("open", (bad, os.O_CREAT | os.O_WRONLY, 0o600)),
        ("rename", (b"f", bad)),
        ("mkdir", (b"", 0o700)),
        ("fcntl", (file, fcntl.F_SETLK, bad)),
        ("bind", (server.fileno(), bad, 20)),
        ("sendmsg", (server.fileno(), bad, 0)),
        ("execve", (bad, bad, bad)),
        ("syscall", (437, -100, b"g", bad, 24)),  # openat2
        ("ftruncate", (file, ctypes.c_long(-1))),
        ("pwrite", (file, b"x", 1, ctypes.c_long(-5))),
    ):
        print(name, getattr(libc, name)(*arguments) < 0, ctypes.get_errno())
    print(os.fstat(file).st_size, os.listdir())
    """
    expected = alone(home_in(short_tmp, "alone"), program)
    done = record(supervisor, home_in(short_tmp), program)
    assert (done.status, done.output) == expected
    assert done.status == 0
    assert supervisor.pid is not None
    kept = [
        what for what in descriptors(supervisor.pid).values() if not what.startswith(("/dev/null", "pipe:", "/tmp/#"))
    ]
    assert sorted(what.split(":")[0] for what in kept) == ["socket", "socket"], "something is still open"


def test_the_supervisor_is_no_user_of_the_home_it_supervises(supervisor: Supervisor, short_tmp: Path) -> None:
    home = home_in(short_tmp)
    busy = "while True: os.write(os.open('a', os.O_CREAT | os.O_WRONLY), b'x'); os.close(3)"
    with supervisor.record(home, "w") as session:
        process = subprocess.Popen([*session.prefix, *python(busy)], cwd=home, stdin=subprocess.DEVNULL)
        eventually((home / "a").exists)
        users = {user.pid for _ in range(50) for user in processes.using(home)}
        process.kill()
        process.wait()
    assert users == {process.pid}


def test_a_program_with_other_rights_runs_as_it_would_alone_and_that_is_noted(
    supervisor: Supervisor, short_tmp: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give rights up")
    program = """
    os.mkdir("d", 0o700)
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    try:
        os.open("d/f", os.O_CREAT | os.O_WRONLY)
    except PermissionError:
        print("refused")
    """
    done = record(supervisor, home_in(short_tmp), program)
    assert done.output == "refused\n"
    assert "other rights" in done.recording.notes[0]
    assert done.of(Kind.OPEN)[0].result is None


def test_a_program_that_is_supervised_already_is_refused_with_the_reason(
    supervisor: Supervisor, short_tmp: Path
) -> None:
    with supervisor.record(home_in(short_tmp), "w") as session:
        done = subprocess.run([*session.prefix, *session.prefix, "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert "it is supervised already" in done.stderr


def test_a_command_that_does_not_exist_says_so(means: Means, short_tmp: Path) -> None:
    done = record(means, home_in(short_tmp), ["no-such-command"])
    assert done.status != 0
    assert "no-such-command" in done.output
