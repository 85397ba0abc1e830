"""The client of the daemon: what it raises, what it keeps, what it waits for."""

from __future__ import annotations

import socket
import threading

import pytest
from served import PATIENCE, Served

from kernel.daemon.client import Client
from kernel.errors import (
    ConnectionLostError,
    DaemonForeignError,
    NotFoundError,
    NotRunningError,
    OcapError,
    RequestTimeoutError,
    RpcError,
)


def test_the_client_raises_the_error_that_the_daemon_had(served: Served) -> None:
    with Client(served.path) as client, pytest.raises(NotFoundError) as caught:
        client.call("missing")
    assert caught.value.data == {"vatId": "v9", "rpcCode": -32603}
    assert caught.value.remedy == "Look again."


def test_the_client_keeps_its_connection_and_opens_another_when_it_was_closed(socket_path: str) -> None:
    served = Served(socket_path)
    with Client(socket_path) as client:
        assert client.call("echo", [1]) == [1]
        assert client.call("echo", {"a": 2}) == {"a": 2}
        served.close()
        served = Served(socket_path)
        assert client.call("echo", [3]) == [3]
    served.close()


def test_a_call_that_takes_too_long_is_given_up_and_the_next_is_not_confused(served: Served) -> None:
    with Client(served.path, timeout=0.1) as client:
        with pytest.raises(RequestTimeoutError, match=r"did not answer wait within 0\.1 s"):
            client.call("wait")
        served.open_gate()
        assert client.call("echo", [1]) == [1]


def test_what_waits_can_be_ended_by_whoever_watches(served: Served) -> None:
    def give_up() -> None:
        raise OcapError("seen enough")

    with Client(served.path, while_waiting=give_up) as client, pytest.raises(OcapError, match="seen enough"):
        client.call("wait")


def test_parameters_that_are_not_json_are_refused_before_anything_is_sent(served: Served) -> None:
    with Client(served.path) as client:
        for params in ([float("nan")], [object()]):
            with pytest.raises(RpcError, match="echo are not JSON"):
                client.call("echo", params)
        assert client.call("echo", [1]) == [1]
    assert served.calls == ["echo"]


def test_a_missing_socket_is_not_running_and_names_the_path(socket_path: str) -> None:
    with Client(socket_path) as client, pytest.raises(NotRunningError, match=socket_path):
        client.call("ping")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"220 smtp ready\n", DaemonForeignError),
        (b"{}\n", DaemonForeignError),
        (b'{"id": 99, "result": 1}\n', DaemonForeignError),
        (b"", ConnectionLostError),
        (b'{"id": 1, "resu', ConnectionLostError),
        (b'{"id": null, "error": {"code": -32600, "message": "one request a connection"}}\n', RpcError),
    ],
)
def test_whoever_answers_something_else_is_told_apart(socket_path: str, said: bytes, expected: type[OcapError]) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(socket_path)
        other.listen()
        answering = threading.Thread(target=_answer_once, args=(other, said))
        answering.start()
        with Client(socket_path) as client, pytest.raises(expected) as caught:
            client.call("ping")
        assert (socket_path if expected is not RpcError else "one request") in caught.value.message
        answering.join(PATIENCE)


def _answer_once(listener: socket.socket, said: bytes) -> None:
    client, _address = listener.accept()
    with client:
        client.recv(65536)
        client.sendall(said)
