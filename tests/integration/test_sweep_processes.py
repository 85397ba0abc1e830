"""Whose calls are recorded: those of descendants, of threads, and of each client."""

from __future__ import annotations

import subprocess
from pathlib import Path

from recorded import Recorded, home_in, python, record

from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.means import Means


def test_descendants_are_followed_and_keep_their_names(means: Means, short_tmp: Path) -> None:
    writes = python("os.write(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), b'x')")
    done = record(
        means,
        home_in(short_tmp),
        f"""
        def write(name):
            os.write(os.open(name, os.O_CREAT | os.O_WRONLY), b"x")

        first = os.fork()
        if first == 0:  # a double fork: the grandchild outlives its parent
            os.setsid()
            if os.fork() == 0:
                while os.getppid() == first:
                    pass
                write("grandchild")
                os._exit(0)
            os._exit(0)
        os.waitpid(first, 0)
        second = os.posix_spawn(sys.executable, [*{writes!r}, "spawned"], os.environ)
        os.waitpid(second, 0)
        if os.fork() == 0:
            os.execv(sys.executable, [*{writes!r}, "executed"])
        os.wait()
        write("root")
        """,
    )
    assert done.status == 0, done.output
    written = {call.path: call.process for call in done.of(Kind.WRITE)}
    assert written == {"grandchild": "0.1.1", "spawned": "0.2", "executed": "0.3", "root": "0"}
    assert sorted(call.text or "" for call in done.of(Kind.SPAWN)) == ["0.1", "0.1.1", "0.2", "0.3"]


def test_threads_are_their_process(means: Means, short_tmp: Path) -> None:
    done = record(
        means,
        home_in(short_tmp),
        """
        def write(number):
            file = os.open(f"f{number}", os.O_CREAT | os.O_WRONLY)
            for _ in range(20):
                os.write(file, b"x")

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        """,
    )
    assert done.status == 0, done.output
    written = done.of(Kind.WRITE)
    assert len(written) == 80
    assert {call.process for call in written} == {"0"}
    assert len({call.thread for call in written}) == 4
    assert [call.text for call in done.of(Kind.SPAWN)] == ["thread"] * 4
    assert sorted(done.points({Kind.WRITE})) == sorted(f"w:write:f{i}#{n}" for i in range(4) for n in range(1, 21))


def test_each_client_is_a_root_of_its_own(means: Means, short_tmp: Path) -> None:
    home = home_in(short_tmp)
    with means.record(home, "w") as session:
        for name in ("one", "two"):
            words = [*session.prefix, *python(f"os.open({name!r}, os.O_CREAT | os.O_WRONLY)")]
            subprocess.run(words, cwd=home, check=True)
        assert session.wait(30)
        done = Recorded(0, "", session.recording(), session.reached())
    assert [(call.path, call.process) for call in done.of(Kind.OPEN)] == [("one", "0"), ("two", "1")]
