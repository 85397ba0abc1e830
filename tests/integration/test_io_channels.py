"""IO channels: lines between a vat and a process outside, each channel restored on its own."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from bench import Bench

from kernel.engine.router import Call
from kernel.engine.settlement import Settlement
from kernel.errors import LaunchError, RejectedError
from kernel.refs import Kref

ECHO = """
    from kernel.vat import E, Exo

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage

        async def bootstrap(self, vats, services):
            self.baggage["line"] = services["line"]

        async def read(self) -> object:
            return await E(self.baggage["line"]).read()

        async def write(self, text: str) -> object:
            return await E(self.baggage["line"]).write(text)

        async def dance(self) -> object:
            return await E(self.baggage["line"]).dance()

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""


def launch(bench: Bench, path: Path, direction: str = "inout", name: str = "echo") -> dict[str, Any]:
    config = bench.config({"main": bench.bundle(name, ECHO)})
    config["io"] = {"line": {"type": "socket", "path": str(path), "direction": direction}}
    return bench.launch(config)


@pytest.fixture
def path(bench: Bench) -> Path:
    return bench.directory / "line.sock"


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(20)
    client.connect(str(path))
    return client


def test_lines_come_in_order_then_the_end_once(bench: Bench, path: Path) -> None:
    launched = launch(bench, path)
    with connect(path) as client:
        client.sendall("one\r\ntwo é\nlast, without an end".encode())
        client.shutdown(socket.SHUT_WR)
        answers = [bench.send(launched["rootKref"], "read") for _ in range(4)]
    assert answers == ["one", "two é", "last, without an end", None]


def test_a_read_waits_for_its_line(bench: Bench, path: Path) -> None:
    launched = launch(bench, path)
    pending = bench.loop.spawn(bench.kernel.queue_message(launched["rootKref"], "read", []))
    with connect(path) as client:
        bench.run_until(lambda: bench.rows("deliveries") == 0)
        client.sendall(b"at last\n")
        bench.run_until(pending.done)
    assert pending.result().body == '#"at last"'


def test_the_next_client_is_served_when_the_first_has_left(bench: Bench, path: Path) -> None:
    launched = launch(bench, path)
    with connect(path) as first, connect(path) as second:
        second.sendall(b"second\n")
        first.sendall(b"first\n")
        assert bench.send(launched["rootKref"], "read") == "first"
        first.close()
        assert bench.send(launched["rootKref"], "read") is None
        assert bench.send(launched["rootKref"], "read") == "second"


def test_a_written_line_reaches_the_client(bench: Bench, path: Path) -> None:
    launched = launch(bench, path)
    with connect(path) as client:
        client.sendall(b"hello\n")
        assert bench.send(launched["rootKref"], "read") == "hello"
        assert bench.send(launched["rootKref"], "write", "bonjour é") is None
        assert client.recv(100).decode() == "bonjour é\n"


def test_writing_to_nobody_and_what_the_channel_has_not_are_rejected_by_name(bench: Bench, path: Path) -> None:
    launched = launch(bench, path)
    with pytest.raises(RejectedError, match="has no client"):
        bench.send(launched["rootKref"], "write", "x")
    with pytest.raises(RejectedError, match="'dance'"):
        bench.send(launched["rootKref"], "dance")


@pytest.mark.parametrize(("direction", "method", "arguments"), [("in", "write", ["x"]), ("out", "read", [])])
def test_a_one_way_channel_refuses_the_other_way(
    bench: Bench, path: Path, direction: str, method: str, arguments: list[str]
) -> None:
    launched = launch(bench, path, direction)
    with pytest.raises(RejectedError, match="only"):
        bench.send(launched["rootKref"], method, *arguments)


def test_the_socket_is_for_its_user_only_and_goes_with_the_kernel(bench: Bench, path: Path) -> None:
    launch(bench, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    bench.close()
    assert not path.exists()


def test_channels_are_restored_before_vats_run(bench: Bench, path: Path) -> None:
    launched = launch(bench, path)
    bench.reopen()
    with connect(path) as client:
        client.sendall(b"again\n")
        assert bench.send(launched["rootKref"], "read") == "again"


def test_a_socket_left_by_a_crash_is_replaced(bench: Bench, path: Path) -> None:
    launched = launch(bench, path)
    bench.close()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    bench.open()
    with connect(path) as client:
        client.sendall(b"here\n")
        assert bench.send(launched["rootKref"], "read") == "here"


@pytest.mark.parametrize("kind", ["file", "directory", "listener"])
def test_a_channel_that_cannot_be_restored_is_contained_and_comes_back_on_repair(
    bench: Bench, path: Path, kind: str
) -> None:
    launched = launch(bench, path)
    other = launch(bench, bench.directory / "other.sock", name="other")
    bench.close()
    listener = socket.socket(socket.AF_UNIX)
    if kind == "file":
        path.write_text("mine")
    elif kind == "directory":
        path.mkdir()
    else:
        listener.bind(str(path))
        listener.listen()
    report = bench.open()
    assert report.quarantined == (), "channels are a phase of their own"
    status = bench.subcluster(launched["subclusterId"])
    assert status["quarantine"]["code"] == "io-channel-failed"
    assert status["quarantine"]["path"] == str(path)
    warning = bench.log.named("subcluster.quarantined")[0]
    assert (warning["subclusterId"], warning["path"]) == (launched["subclusterId"], str(path))
    with connect(bench.directory / "other.sock") as client:
        client.sendall(b"fine\n")
        assert bench.send(other["rootKref"], "read") == "fine"
    assert os.path.lexists(path), "what is another's is left alone"
    listener.close()
    path.rmdir() if kind == "directory" else path.unlink()
    bench.run(bench.kernel.repair_subcluster(launched["subclusterId"]))
    with connect(path) as client:
        client.sendall(b"back\n")
        assert bench.send(launched["rootKref"], "read") == "back"


def test_a_channel_in_use_fails_the_launch_by_name(bench: Bench, path: Path) -> None:
    launch(bench, path)
    with pytest.raises(LaunchError, match="somebody listens") as caught:
        launch(bench, path, name="second")
    assert caught.value.data["cause"] == "io-channel-failed"
    assert caught.value.data["path"] == str(path)
    assert len(bench.kernel.status()["subclusters"]) == 1
    connect(path).close()


def test_a_flood_is_not_read_further_than_the_vat_does(bench: Bench, path: Path) -> None:
    launched = launch(bench, path)
    with connect(path) as client:
        client.setblocking(False)
        sent = 0
        line = b"x" * 99 + b"\n"

        def flooded() -> bool:
            nonlocal sent
            try:
                for _ in range(100):
                    sent += client.send(line)
            except BlockingIOError:
                return True
            return sent > 64 << 20

        bench.run_until(flooded)
        assert sent < 8 << 20, "the kernel stopped reading"
        assert bench.send(launched["rootKref"], "read") == "x" * 99


def test_a_line_without_end_cuts_the_client_off(bench: Bench, path: Path) -> None:
    launched = launch(bench, path)
    with connect(path) as client:
        client.setblocking(False)

        def cut_off() -> bool:
            try:
                client.send(b"y" * 65536)
            except BlockingIOError:
                return False
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False

        bench.run_until(cut_off)
    assert bench.log.named("io.client-cut-off")
    assert bench.send(launched["rootKref"], "read") is None


def test_a_line_goes_to_who_waits_now_and_not_to_an_incarnation_that_has_ended(bench: Bench, path: Path) -> None:
    launched = launch(bench, path)
    lost = bench.loop.spawn(bench.kernel.queue_message(launched["rootKref"], "read", []))
    lost.add_done_callback(lambda _future: None)
    bench.run_until(lambda: bench.rows("promises") > 1)
    bench.run(bench.kernel.restart_vat("v1"))
    bench.run_until(lost.done)
    pending = bench.loop.spawn(bench.kernel.queue_message(launched["rootKref"], "read", []))
    with connect(path) as client:
        client.sendall(b"one\ntwo\n")
        bench.run_until(pending.done)
        assert pending.result().body == '#"one"'
        assert bench.send(launched["rootKref"], "read") == "two"
    assert bench.rows("promises") == 0, "the answer that nobody waited for is not kept"


def test_an_answer_that_the_store_loses_is_given_again(bench: Bench, path: Path) -> None:
    launch(bench, path)
    kernel, connection = bench.kernel, bench.store.connection
    with kernel._batch.unit():
        result = bench.store.promises.insert()
        answer = kernel._router.wait_for(result)
    kernel._batch.commit()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    kernel._channels._answers.give(result, Settlement(False, '#"' + "x" * 500_000 + '"', ()))
    assert bench.log.named("store.batch-lost")
    connection.execute("PRAGMA max_page_count = 1000000")
    bench.run_until(answer.done)
    assert len(answer.result().body) > 500_000


def test_arguments_that_are_no_list_are_refused_and_disturb_nobody(bench: Bench, path: Path) -> None:
    launch(bench, path)
    kernel = bench.kernel
    channel = bench.store.connection.execute("SELECT object_id FROM channels").fetchone()[0]
    with kernel._batch.unit():
        result = bench.store.promises.insert()
        answer = kernel._router.wait_for(result)
        kernel._router.send(Kref("object", channel), Call("write", "#5", (), result))
    bench.run_until(answer.done)
    assert answer.result().rejected
