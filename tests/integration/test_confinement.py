"""Ways out of a vat: the operating system refuses each, and everybody else goes on.

The vat here first reaches around the rules of the language (it finds everything through ``object``), because what keeps
it in must not depend on them.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from typing import TYPE_CHECKING

import pytest
from workerbench import Bench

from kernel.capdata import RemoteError
from kernel.workers import Confinement

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="confinement uses seccomp, which Linux has"
)

BPF = {"aarch64": 280}.get(platform.machine(), 321)
"""The number of the system call bpf."""

ESCAPES = '''
    from kernel.vat import Exo

    def modules():
        """The worker's own modules, found without importing anything."""
        [wrap] = [kind for kind in object.__subclasses__() if kind.__name__ == "_wrap_close"]
        return wrap.__init__.__globals__["sys"].modules

    class Root(Exo):
        def try_out(self, attempt: str):
            found = modules()
            ctypes = found["ctypes"]
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_long
            buffer = ctypes.create_string_buffer(8192)
            page = (ctypes.addressof(buffer) + 4095) // 4096 * 4096
            vector = (ctypes.c_ulong * 2)(page, 8)

            def check(result):
                if result == -1 or (result and attempt.startswith("check(posix.system")):
                    raise PermissionError(ctypes.get_errno() or 1, "Operation not permitted")

            names = dict(found, libc=libc, page=page, vector=vector, check=check)
            names.update(parent=found["posix"].getppid(), me=found["posix"].getpid())
            found["builtins"].exec(attempt, names)

        def fine(self) -> str:
            return "fine"

    def build_root_object(vat_powers, parameters, baggage):
        return Root()
'''


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    bystander = made.vat(name="bystander")
    assert bystander.call("echo", 1) == 1
    assert made.pool.confinement() == Confinement("full")
    yield made
    assert bystander.call("echo", 2) == 2
    made.close()


REFUSED = {
    "open a file for reading": "builtins.open('/etc/passwd')",
    "open a file for writing": "builtins.open('/tmp/escaped', 'w')",
    "open by the system call": "posix.open('/etc/passwd', 0)",
    "open the root directory": "posix.open('/', 0)",
    "list a directory": "posix.listdir('/')",
    "look at a file": "posix.stat('/etc/passwd')",
    "make a directory": "posix.mkdir('/tmp/escaped')",
    "remove a file": "posix.unlink('/tmp/escaped')",
    "rename a file": "posix.rename('/tmp/a', '/tmp/b')",
    "link a file": "posix.symlink('/etc/passwd', '/tmp/escaped')",
    "change a mode": "posix.chmod('/tmp', 0o777)",
    "change the directory": "posix.chdir('/')",
    "ask for the directory": "posix.getcwd()",
    "read the environment of another process": "builtins.open('/proc/%d/environ' % parent)",
    "read its own memory map": "builtins.open('/proc/self/maps')",
    "open the memory of another process": "builtins.open('/proc/%d/mem' % parent, 'r+b')",
    "make a file in memory": "posix.memfd_create('x')",
    "make a pipe": "posix.pipe()",
    "duplicate a descriptor": "posix.dup(3)",
    "open a socket": "_socket.socket()",
    "open a Unix socket": "_socket.socket(_socket.AF_UNIX)",
    "make a socket pair": "_socket.socketpair()",
    "look a host up": "check(_socket.getaddrinfo('localhost', 1))",
    "fork": "posix.fork()",
    "fork in a terminal": "posix.forkpty()",
    "run a program": "posix.execv('/bin/true', ['true'])",
    "spawn a program": "posix.posix_spawn('/bin/true', ['true'], {})",
    "run a command line": "check(posix.system('true'))",
    "start a thread": "_thread.start_new_thread(lambda: None, ())",
    "kill the template": "posix.kill(parent, 9)",
    "kill everything": "posix.kill(-1, 9)",
    "signal itself": "posix.kill(me, 10)",
    "kill its group": "posix.killpg(0, 9)",
    "change the user": "posix.setuid(0)",
    "leave the session": "posix.setsid()",
    "mount": "check(libc.mount(b'none', b'/mnt', b'tmpfs', 0, None))",
    "change the root": "posix.chroot('/')",
    "raise a resource limit": "resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))",
    "lift the limit on memory": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "change the priority": "posix.nice(-5)",
    "set a timer signal": "signal.setitimer(signal.ITIMER_REAL, 1)",
    "be spared when the parent dies": "check(libc.prctl(1, 0, 0, 0, 0))",
    "trace a process": "check(libc.ptrace(16, parent, 0, 0))",
    "read another process": "check(libc.process_vm_readv(parent, vector, 1, vector, 1, 0))",
    "map executable memory": "check(libc.mmap(0, 4096, 7, 34, -1, 0))",
    "make memory executable": "check(libc.mprotect(ctypes.c_void_p(page), 4096, 7))",
    "load a program into the kernel": f"check(libc.syscall({BPF}, 0, 0, 0))",
    "load a library": "ctypes.CDLL('libnothing.so.0')",
    "import a module from the disk": "builtins.__import__('wave')",
}
"""What to try, in the worker's own modules; ``check`` raises the error of a C function that failed."""

SAID_OTHERWISE = {
    "start a thread": ("RuntimeError", "can't start new thread"),
    "set a timer signal": ("itimer_error", "[Errno 1] Operation not permitted"),
    "load a library": ("OSError", "libnothing.so.0: cannot open shared object file: Operation not permitted"),
    "import a module from the disk": ("ModuleNotFoundError", "No module named 'wave'"),
    "look a host up": ("gaierror", ""),
    "raise a resource limit": ("ValueError", "not allowed to raise maximum limit"),
    "lift the limit on memory": ("ValueError", "not allowed to raise maximum limit"),
}
"""Where Python wraps the refusal in an error of another kind."""


@pytest.mark.parametrize("way", REFUSED)
def test_a_way_out_is_refused(bench: Bench, way: str) -> None:
    vat = bench.vat(ESCAPES)
    answer = vat.call("try_out", REFUSED[way])
    assert isinstance(answer, RemoteError), answer
    name, message = SAID_OTHERWISE.get(way, ("PermissionError", "[Errno 1] Operation not permitted"))
    assert answer.name == name
    assert answer.message.startswith(message)
    assert vat.call("fine") == "fine"
    vat.worker.kill()


def test_what_only_computes_is_allowed(bench: Bench) -> None:
    vat = bench.vat(
        """
        import base64, collections.abc, dataclasses, datetime, decimal, functools, hashlib, json, math, re, typing, zlib
        from kernel.vat import Exo

        @dataclasses.dataclass
        class Point:
            x: int
            y: typing.ClassVar[int] = 2

        class Root(Exo):
            def compute(self):
                return [
                    Point(1).x,
                    str(datetime.datetime.strptime("2024-02-29", "%Y-%m-%d").date()),
                    datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc).strftime("%d.%m.%y %Z"),
                    str(decimal.Decimal("0.1") + 1),
                    hashlib.sha256(b"x").hexdigest()[:8],
                    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 10).hex()[:8],
                    json.loads('{"a": [1]}'),
                    re.findall("a+", "baab"),
                    len(zlib.compress(b"x" * 1000)) < 50,
                    "bücher".encode("idna").decode(),
                    "x".encode("utf-16-le").hex(),
                    sorted({3, 1, 2}),
                    2**10000 % 1000007,
                    "{:.3f}".format(math.pi),
                    len(bytearray(100 << 20)),
                ]

        def build_root_object(vat_powers, parameters, baggage):
            return Root()
        """.replace("import base64", "from __future__ import annotations\n        import base64")
    )
    assert vat.call("compute") == [
        1,
        "2024-02-29",
        "29.02.24 UTC",
        "1.1",
        "2d711642",
        hashlib.pbkdf2_hmac("sha256", b"x", b"y", 10).hex()[:8],
        {"a": [1]},
        ["aa"],
        True,
        "xn--bcher-kva",
        "7800",
        [1, 2, 3],
        2**10000 % 1000007,
        "3.142",
        100 << 20,
    ]


def test_a_vat_reads_the_clock_and_chance_only_when_they_were_granted(bench: Bench) -> None:
    source = """
        from kernel.vat import Exo

        class Root(Exo):
            def __init__(self, powers):
                self.powers = powers

            def look(self):
                return [self.powers.clock.time() > 0, 0 <= self.powers.random.random() < 1]

        def build_root_object(vat_powers, parameters, baggage):
            return Root(vat_powers)
    """
    assert bench.vat(source, globals=["clock", "random"]).call("look") == [True, True]
    answer = bench.vat(source).call("look")
    assert answer.message == "the vat was not granted the power 'clock': name it in the vat's 'globals'"
    failed = bench.vat(source, globals=["fetch"]).wait_for("failed")[1]
    assert failed["message"] == "there is no power named 'fetch' to grant (there are: clock, logger, random)"
