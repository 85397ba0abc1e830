"""What is recorded of programs that do one thing each: by the supervisor, and by its witness."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from recorded import PATIENCE, home_in, python, record

from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.means import Means
from pytest_ocap.sweeps.supervisor import Supervisor

MIB = 1 << 20


def test_each_kind_of_call_is_recorded_once_with_its_path(means: Means, short_tmp: Path) -> None:
    done = record(
        means,
        home_in(short_tmp),
        """
        file = os.open("a", os.O_CREAT | os.O_WRONLY, 0o640)
        os.write(file, b"hello")
        os.ftruncate(file, 3)
        os.fdatasync(file)
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)
        os.close(file)
        os.mkdir("d", 0o700)
        os.rename("a", "d/b")
        os.link("d/b", "c")
        os.symlink("c", "s")
        os.unlink("s")
        os.truncate("c", 1)
        os.chmod("c", 0o600)
        directory = os.open("d", os.O_RDONLY)
        os.fsync(directory)
        os.sync()
        os.unlink("d/b")
        os.rmdir("d")
        """,
    )
    assert done.status == 0, done.output
    assert done.points((*Kind,)) == [
        "w:open:a#1",
        "w:write:a#1",
        "w:truncate:a#1",
        "w:sync:a#1",
        "w:lock:a#1",
        "w:lock:a#2",
        "w:close:a#1",
        "w:mkdir:d#1",
        "w:rename:a#1",
        "w:link:d/b#1",
        "w:symlink:s#1",
        "w:unlink:s#1",
        "w:truncate:c#1",
        "w:chmod:c#1",
        "w:sync:d#1",
        "w:sync-all:(unnamed)#1",
        "w:unlink:d/b#1",
        "w:rmdir:d#1",
    ]
    (write,) = done.of(Kind.WRITE)
    assert (write.data, write.result) == (b"hello", 5)
    assert [call.operation for call in done.of(Kind.LOCK)] == ["flock, waiting: exclusive", "lock: exclusive 5+10"]
    assert [(call.target, call.result) for call in done.of(Kind.RENAME, Kind.LINK)] == [("d/b", 0), ("c", 0)]
    assert [call.size for call in done.of(Kind.TRUNCATE)] == [3, 1]
    assert done.of(Kind.SYNC)[0].data_only
    assert not done.of(Kind.SYNC)[1].data_only


def test_the_supervisor_knows_which_file_is_which_and_where_a_write_began(
    supervisor: Supervisor, short_tmp: Path
) -> None:
    done = record(
        supervisor,
        home_in(short_tmp),
        """
        os.umask(0o027)
        one = os.open("a", os.O_CREAT | os.O_RDWR, 0o666)
        os.write(one, b"0123456789")
        os.rename("a", "b")
        again = os.dup(one)
        os.write(again, b"abc")
        os.unlink("b")
        os.write(one, b"d")
        new = os.open("a", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.write(new, b"x")
        os.pwrite(one, b"y", 2)
        os.writev(new, [b"p", b"q"])
        old = os.open("a", os.O_WRONLY | os.O_TRUNC)
        """,
    )
    assert done.status == 0, done.output
    opened = done.of(Kind.OPEN)
    assert [(call.created, call.truncated, call.append) for call in opened] == [
        (True, False, False),
        (True, False, True),
        (False, True, False),
    ]
    assert opened[0].mode == 0o640
    assert opened[0].file != opened[1].file
    assert opened[1].file == opened[2].file
    assert [(call.path, call.file, call.offset, call.data) for call in done.of(Kind.WRITE)] == [
        ("a", opened[0].file, 0, b"0123456789"),
        ("b", opened[0].file, 10, b"abc"),
        (None, opened[0].file, 13, b"d"),
        ("a", opened[1].file, 0, b"x"),
        (None, opened[0].file, 2, b"y"),
        ("a", opened[1].file, 1, b"pq"),
    ]


def test_writes_say_that_they_are_durable_when_the_file_was_opened_so(supervisor: Supervisor, short_tmp: Path) -> None:
    done = record(
        supervisor,
        home_in(short_tmp),
        """
        os.write(os.open("a", os.O_CREAT | os.O_WRONLY | os.O_DSYNC), b"x")
        os.write(os.open("b", os.O_CREAT | os.O_WRONLY), b"x")
        """,
    )
    assert [call.durable for call in done.of(Kind.WRITE)] == [True, False]


def test_paths_are_those_of_the_process_that_names_them(means: Means, short_tmp: Path) -> None:
    home = home_in(short_tmp)
    (short_tmp / "way").symlink_to(home)
    done = record(
        means,
        home,
        f"""
        os.mkdir("d")
        directory = os.open("d", os.O_RDONLY)
        os.open("one", os.O_CREAT | os.O_WRONLY, dir_fd=directory)
        os.chdir("d")
        os.open("two", os.O_CREAT | os.O_WRONLY)
        os.open("../three", os.O_CREAT | os.O_WRONLY)
        os.open({os.fspath(short_tmp / "way" / "four")!r}, os.O_CREAT | os.O_WRONLY)
        os.open({os.fspath(short_tmp / "outside")!r}, os.O_CREAT | os.O_WRONLY)
        os.open("/dev/null", os.O_WRONLY)
        """,
    )
    assert done.status == 0, done.output
    assert [call.path for call in done.of(Kind.OPEN)] == ["d/one", "d/two", "three", "four"]


def test_what_fails_is_recorded_with_its_error(means: Means, short_tmp: Path) -> None:
    done = record(
        means,
        home_in(short_tmp),
        """
        for attempt in (
            lambda: os.open("a/b", os.O_CREAT | os.O_WRONLY),
            lambda: os.rename("a", "b"),
            lambda: os.mkdir("."),
            lambda: os.unlink("a"),
        ):
            try:
                attempt()
            except OSError as error:
                print(error.errno, end=" ")
        """,
    )
    assert done.output == "2 2 17 2 "
    assert [(call.kind, call.result) for call in done.of(Kind.OPEN, Kind.RENAME, Kind.MKDIR, Kind.UNLINK)] == [
        (Kind.OPEN, -2),
        (Kind.RENAME, -2),
        (Kind.MKDIR, -17),
        (Kind.UNLINK, -2),
    ]


def test_a_file_without_a_name_is_recorded_and_gets_its_name(means: Means, short_tmp: Path) -> None:
    done = record(
        means,
        home_in(short_tmp),
        """
        os.mkdir("d")
        file = os.open("d", os.O_TMPFILE | os.O_WRONLY)
        os.write(file, b"x")
        os.link(f"/proc/self/fd/{file}", "d/named", src_dir_fd=os.open(".", os.O_RDONLY), follow_symlinks=True)
        os.write(file, b"y")
        print(open("d/named").read())
        """,
    )
    assert done.output == "xy\n"
    (opened,) = done.of(Kind.OPEN)
    assert (opened.path, opened.text) == (None, "d")
    assert done.of(Kind.WRITE)[0].path is None
    (link,) = done.of(Kind.LINK)
    assert (link.target, link.result) == ("d/named", 0)


def test_a_shared_mapping_is_noted(means: Means, short_tmp: Path) -> None:
    done = record(
        means,
        home_in(short_tmp),
        """
        file = os.open("m", os.O_CREAT | os.O_RDWR)
        os.ftruncate(file, 4096)
        mmap.mmap(file, 4096)
        mmap.mmap(file, 4096, flags=mmap.MAP_PRIVATE)
        mmap.mmap(-1, 4096)
        """,
    )
    assert [(call.path, call.size) for call in done.of(Kind.MMAP)] == [("m", 4096)]
    assert done.recording.notes == (
        "m is mapped shared and writable: what is written through the mapping cannot be seen",
    )


def test_large_and_vectored_writes_are_captured_whole(means: Means, short_tmp: Path) -> None:
    home = home_in(short_tmp)
    parts = 2 if means.name == "strace" else 10  # strace writes four characters for each byte
    done = record(
        means,
        home,
        f"""
        file = os.open("large", os.O_CREAT | os.O_WRONLY)
        parts = [bytes([number]) * {MIB} for number in range({parts})]
        assert os.writev(file, parts) == {parts * MIB}
        """,
    )
    assert done.status == 0, done.output
    (write,) = done.of(Kind.WRITE)
    assert write.data == b"".join(bytes([number]) * MIB for number in range(parts))
    assert write.data == (home / "large").read_bytes()
    assert write.result == parts * MIB


def test_a_conversation_over_the_home_s_socket_is_recorded(means: Means, short_tmp: Path) -> None:
    done = record(
        means,
        home_in(short_tmp),
        """
        server = socket.socket(socket.AF_UNIX)
        server.bind("sock")
        server.listen()
        client = socket.socket(socket.AF_UNIX)
        client.connect("sock")
        client.sendall(b"question")
        connection, _ = server.accept()
        assert connection.recv(100) == b"question"
        connection.sendmsg([b"ans", b"wer"])
        assert os.read(client.fileno(), 100) == b"answer"
        connection.close()
        elsewhere, other = socket.socketpair()
        elsewhere.send(b"not of the home")
        """,
    )
    assert done.status == 0, done.output
    kinds = (Kind.BIND, Kind.LISTEN, Kind.CONNECT, Kind.ACCEPT, Kind.SEND, Kind.RECEIVE, Kind.CLOSE)
    assert [(call.kind, call.data) for call in done.of(*kinds)] == [
        (Kind.BIND, None),
        (Kind.LISTEN, None),
        (Kind.CONNECT, None),
        (Kind.SEND, b"question"),
        (Kind.ACCEPT, None),
        (Kind.RECEIVE, b"question"),
        (Kind.SEND, b"answer"),
        (Kind.RECEIVE, b"answer"),
        (Kind.CLOSE, None),
        *[(Kind.CLOSE, None)] * (len(done.of(Kind.CLOSE)) - 1),
    ]
    assert {call.path for call in done.of(*kinds)} == {"sock"}
    ends = {call.kind: call.channel for call in done.of(Kind.CONNECT, Kind.ACCEPT)}
    assert [call.channel for call in done.of(Kind.SEND)] == [ends[Kind.CONNECT], ends[Kind.ACCEPT]]


def test_copies_within_the_kernel_are_recorded_with_what_they_write(supervisor: Supervisor, short_tmp: Path) -> None:
    home = home_in(short_tmp)
    (short_tmp / "source").write_bytes(b"0123456789")
    done = record(
        supervisor,
        home,
        """
        source = os.open("../source", os.O_RDONLY)
        into = os.open("copy", os.O_CREAT | os.O_RDWR)
        os.write(into, b"ab")
        assert os.sendfile(into, source, 1, 3) == 3
        assert os.copy_file_range(source, into, 4, 2, 7) == 4
        reading, writing = os.pipe()
        os.write(writing, b"piped")
        os.splice(reading, into, 5)
        """,
    )
    assert done.status == 0, done.output
    assert [(call.name, call.offset, call.data) for call in done.of(Kind.WRITE)] == [
        ("write", 0, b"ab"),
        ("sendfile", 2, b"123"),
        ("copy_file_range", 7, b"2345"),
        ("splice", None, None),
    ]
    assert (home / "copy").read_bytes() == b"ab123piped5"
    assert done.recording.notes == ("splice from a pipe or a socket into copy: what it wrote was not seen",)


def test_what_cannot_be_followed_is_noted(supervisor: Supervisor, short_tmp: Path) -> None:
    done = record(
        supervisor,
        home_in(short_tmp),
        """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        ring = libc.syscall(425, 8, ctypes.create_string_buffer(128))  # io_uring_setup
        print(ring, ctypes.get_errno())
        server = socket.socket(socket.AF_UNIX)
        server.bind("sock")
        server.listen()
        client = socket.socket(socket.AF_UNIX)
        client.connect("sock")
        socket.send_fds(client, [b"x"], [0])
        """,
    )
    assert done.output == "-1 38\n"
    assert done.recording.notes == (
        "io_uring was refused (ENOSYS), since what is done through it cannot be seen",
        "a message with ancillary data (a descriptor, say) on a connection of sock",
    )
    (sent,) = done.of(Kind.SEND)
    assert (sent.data, sent.result) == (b"x", None)


def test_a_flush_that_promises_nothing_is_no_sync(supervisor: Supervisor, short_tmp: Path) -> None:
    done = record(
        supervisor,
        home_in(short_tmp),
        """
        import ctypes
        file = os.open("m", os.O_CREAT | os.O_RDWR)
        os.ftruncate(file, 4096)
        ctypes.CDLL(None).sync_file_range(file, ctypes.c_int64(0), ctypes.c_int64(0), 2)
        mapped = mmap.mmap(file, 4096)
        mapped[0] = 1
        mapped.flush()
        """,
    )
    assert done.status == 0, done.output
    assert [(call.kind, call.path, call.name) for call in done.of(Kind.FLUSH, Kind.SYNC)] == [
        (Kind.FLUSH, "m", "sync_file_range"),
        (Kind.SYNC, "m", "msync"),
    ]


def test_a_recording_and_the_harness_read_one_clock(short_tmp: Path) -> None:
    program = """
    before = time.monotonic()
    with open("noted", "w") as file:
        file.write("x")
    print(before, time.monotonic())
    """
    with Supervisor() as supervisor:  # one that has to be started first
        if reason := supervisor.missing():
            pytest.skip(reason)
        home = home_in(short_tmp)
        with supervisor.record(home, "w") as session:
            done = subprocess.run([*session.prefix, *python(program)], cwd=home, stdout=subprocess.PIPE, check=True)
            assert session.wait(PATIENCE)
            recording = session.recording()
    before, after = map(float, done.stdout.split())
    moments = [session.began + call.began for call in recording.calls if call.path == "noted"]
    assert moments
    assert all(before <= moment <= after for moment in moments)
