"""The server: many requests and many clients, wrong lines of every kind, and bounds on what one client can cost."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Iterator

import pytest
from served import PATIENCE, Raw, Served
from watching import eventually

from kernel.daemon.client import Client
from kernel.errors import (
    ConnectionLostError,
    DaemonForeignError,
    NotRunningError,
)


@pytest.fixture
def raw(served: Served) -> Iterator[Raw]:
    client = Raw(served.path)
    yield client
    client.close()


def test_many_requests_on_one_connection_are_answered_by_id(served: Served, raw: Raw) -> None:
    raw.send(b"".join(b'{"id": %d, "method": "echo", "params": [%d]}\n' % (n, n) for n in range(200)))
    answers = [raw.answer() for _ in range(200)]
    assert sorted(answer["id"] for answer in answers) == list(range(200))
    assert all(answer["result"] == [answer["id"]] for answer in answers)


def test_a_slow_request_does_not_hold_up_a_quick_one(served: Served, raw: Raw) -> None:
    raw.send(b'{"id": "slow", "method": "wait"}\n{"id": "quick", "method": "echo"}\n')
    assert raw.answer()["id"] == "quick"
    served.open_gate()
    assert raw.answer() == {"jsonrpc": "2.0", "id": "slow", "result": "waited"}


def test_a_request_without_an_id_is_answered_with_null(raw: Raw) -> None:
    assert raw.ask(b'{"method": "echo", "params": {"a": 1}}\n') == {"jsonrpc": "2.0", "id": None, "result": {"a": 1}}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"nonsense\n", -32700),
        (b"\n", -32700),
        (b'"\xff"\n', -32700),
        (b"7\n", -32600),
        (b"[]\n", -32600),
        (b'{"id": 1}\n', -32600),
        (b'{"id": 1, "method": "echo", "params": 7}\n', -32602),
        (b'{"id": 1, "method": "defect"}\n', -32603),
        (b'{"id": 1, "method": "not-json"}\n', -32603),
        (b'{"id": 1, "method": "not-json", "params": [1]}\n', -32603),
    ],
)
def test_a_wrong_line_is_answered_and_the_connection_lives_on(raw: Raw, line: bytes, code: int) -> None:
    answer = raw.ask(line)
    assert answer["error"]["code"] == code
    assert answer["error"]["data"]["code"]
    assert answer["error"]["message"]
    assert raw.ask(b'{"id": 2, "method": "echo"}\n')["id"] == 2


def test_a_batch_is_answered_as_a_batch(raw: Raw) -> None:
    answers = raw.ask(b'[{"id": 1, "method": "echo"}, 7, {"id": 2, "method": "missing"}]\n')
    assert [answer["id"] for answer in answers] == [1, None, 2]
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, -32600, -32603]
    assert "1000" in raw.ask(b"[" + b"1," * 1000 + b"1]\n")["error"]["message"]


def test_a_kernel_error_has_its_own_words_and_data(raw: Raw) -> None:
    error = raw.ask(b'{"id": 1, "method": "missing"}\n')["error"]
    assert error["message"] == "there is no such thing"
    assert (error["data"]["code"], error["data"]["vatId"]) == ("not-found", "v9")


def test_a_defect_of_a_method_is_in_the_log_with_its_traceback(served: Served, raw: Raw) -> None:
    answer = raw.ask(b'{"id": 1, "method": "defect"}\n')
    assert "a defect of ours" in answer["error"]["message"]
    assert "_call" in served.log.named("rpc.failed")[0]["error"]["traceback"]


def test_half_a_line_and_an_end_is_answered_and_closed(raw: Raw) -> None:
    raw.send(b'{"id": 1, "method": "echo"}\n{"id": 2, "met')
    raw.socket.shutdown(socket.SHUT_WR)
    answers = [raw.answer(), raw.answer()]
    assert {answer["id"] for answer in answers} == {1, None}
    assert "middle of a line" in next(answer for answer in answers if "error" in answer)["error"]["message"]
    assert raw.answer() is None


def test_a_client_that_has_said_all_is_still_answered(served: Served, raw: Raw) -> None:
    raw.send(b'{"id": 1, "method": "wait"}\n')
    raw.socket.shutdown(socket.SHUT_WR)
    eventually(lambda: served.calls == ["wait"])
    served.open_gate()
    assert raw.answer()["result"] == "waited"
    assert raw.answer() is None


def test_a_client_that_leaves_costs_nothing(served: Served) -> None:
    for _ in range(50):
        client = Raw(served.path)
        client.send(b'{"id": 1, "method": "wait"}\n')
        client.close()
    eventually(lambda: len(served.calls) == 50)
    served.open_gate()
    eventually(lambda: served.server.under_way == 0)
    with Client(served.path) as other:
        assert other.call("echo", [1]) == [1]


def test_a_line_over_the_limit_is_refused_and_the_connection_closed(socket_path: str) -> None:
    served = Served(socket_path, max_line=1000)
    raw = Raw(socket_path)
    answer = raw.ask(b"x" * 5000)
    assert answer["error"]["code"] == -32600
    assert "1000 bytes" in answer["error"]["message"]
    assert raw.answer() is None
    raw.close()
    served.close()


def test_what_all_clients_send_together_is_bounded_and_small_requests_are_served_all_the_same(socket_path: str) -> None:
    served = Served(socket_path, max_unfinished=4 * 1024 * 1024)
    clients = [Raw(socket_path) for _ in range(3)]
    for client in clients[:2]:
        client.send(b"x" * 1_900_000)
    eventually(lambda: served.server.unfinished() == 3_800_000)
    answer = clients[2].ask(b"x" * 1_900_000)
    assert "too much" in answer["error"]["message"]
    with Client(socket_path) as other:
        assert other.call("echo", ["x" * 100_000]) == ["x" * 100_000]
    for client in clients:
        client.close()
    served.close()


def test_64_mebibytes_are_taken_and_one_byte_more_is_not(served: Served) -> None:
    limit = 64 * 1024 * 1024
    head, foot = b'{"id": 1, "method": "count", "params": ["', b'"]}'
    for extra in (0, 1):
        raw = Raw(served.path)
        sender = threading.Thread(
            target=_send_until_refused, args=(raw, head, limit + extra - len(head) - len(foot), foot)
        )
        sender.start()
        answer = raw.answer()
        sender.join(PATIENCE)
        raw.close()
        assert ("longer than" in answer["error"]["message"]) == bool(extra)


def _send_until_refused(raw: Raw, head: bytes, filling: int, foot: bytes) -> None:
    try:
        raw.send(head + b"x" * filling + foot + b"\n")
    except OSError:
        return  # the server had read enough


def test_a_client_that_does_not_read_is_not_read_either(served: Served) -> None:
    raw = Raw(served.path)
    request = b'{"id": 1, "method": "echo", "params": ["%s"]}\n' % (b"x" * 100_000)
    raw.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        raw.send(request * 2000)
    assert len(served.calls) < 1000
    with Client(served.path) as other:
        assert other.call("echo", [1]) == [1]
    raw.close()


def test_no_more_than_so_many_requests_of_a_client_are_under_way(served: Served, raw: Raw) -> None:
    raw.send(b'{"id": 1, "method": "wait"}\n' * 500)
    eventually(lambda: len(served.calls) >= 64)
    with Client(served.path) as client:
        client.call("echo")
    assert served.calls.count("wait") == 64
    served.open_gate()
    assert [raw.answer()["result"] for _ in range(500)] == ["waited"] * 500


def test_too_many_clients_are_told_so_and_those_who_left_make_room(socket_path: str) -> None:
    served = Served(socket_path, max_connections=3)
    clients = [Raw(socket_path) for _ in range(3)]
    for client in clients:
        client.send(b'{"id": 1, "method": "wait"}\n')
    clients[0].socket.shutdown(socket.SHUT_WR)
    eventually(lambda: len(served.calls) == 3)
    refused = Raw(socket_path)
    assert "3 connections already" in refused.answer()["error"]["message"]
    refused.close()
    clients[0].close()
    with Client(socket_path) as other:
        assert other.call("echo") == []
    for client in clients[1:]:
        client.close()
    served.close()


def test_many_clients_at_once_are_all_served(served: Served) -> None:
    clients = [Raw(served.path) for _ in range(300)]
    for number, client in enumerate(clients):
        client.send(b'{"id": %d, "method": "echo"}\n' % number)
    assert [client.answer()["id"] for client in clients] == list(range(300))
    for client in clients:
        client.close()


def test_running_out_of_descriptors_is_survived(served: Served) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients = [socket.socket(socket.AF_UNIX) for _ in range(8)]
    lowest_free = os.dup(0)
    os.close(lowest_free)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        for client in clients:
            client.connect(served.path)
        eventually(lambda: bool(served.log.named("rpc.accept_failed")))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for client in clients:
            client.close()
    with Client(served.path) as other:
        assert other.call("echo") == []


def test_another_user_is_refused_by_name(socket_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from kernel.daemon import server as module

    served = Served(socket_path)
    monkeypatch.setattr(module, "peer_credentials", lambda _client: (77, served.server._uid + 1))
    with Client(socket_path) as client, pytest.raises((DaemonForeignError, ConnectionLostError)) as caught:
        client.call("echo")
    assert isinstance(caught.value, ConnectionLostError) or "uid" in caught.value.message
    assert served.log.named("rpc.peer_refused")[0]["uid"] == served.server._uid + 1
    assert served.calls == []
    served.close()


def test_draining_answers_what_is_under_way_and_takes_no_more(served: Served, raw: Raw) -> None:
    raw.send(b'{"id": 1, "method": "wait"}\n')
    eventually(lambda: served.calls == ["wait"])
    drained = threading.Event()
    served.on_loop(lambda: served.server.drain().add_done_callback(lambda _done: drained.set()))
    with Client(served.path) as late, pytest.raises(NotRunningError):
        late.call("echo")
    assert not drained.is_set()
    served.open_gate()
    assert raw.answer()["result"] == "waited"
    assert drained.wait(PATIENCE)
    assert not os.path.exists(served.path)


def test_closing_tells_those_who_wait(served: Served, raw: Raw) -> None:
    raw.send(b'{"id": 1, "method": "wait"}\n')
    eventually(lambda: served.calls == ["wait"])
    served.on_loop(served.server.close)
    assert "stopping" in raw.answer()["error"]["message"]
    assert raw.answer() is None
