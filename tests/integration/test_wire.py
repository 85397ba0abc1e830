"""The wire, as the public daemon speaks it: each method, its parameters, the shape of its result, its error codes.

Spoken by hand over the socket of a real daemon, so that nothing of our own client can hide a difference.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import ECHO, bundle, config

from kernel.daemon.ensure import ensure_daemon
from kernel.daemon.home import Home
from kernel.daemon.methods import METHODS


class Wire:
    """One connection, spoken by hand."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        self._socket.connect(path)
        self._file = self._socket.makefile("rb")

    def say(self, line: bytes) -> Any:
        """Send a line as it is; give the answer."""
        self._socket.sendall(line + b"\n")
        return json.loads(self._file.readline())

    def ask(self, method: str, params: Any) -> Any:
        """Make a request; give the whole answer."""
        answer = self.say(json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode())
        assert answer["jsonrpc"] == "2.0"
        assert answer["id"] == 7
        return answer

    def result(self, method: str, params: Any) -> Any:
        """Make a request that succeeds; give its result."""
        answer = self.ask(method, params)
        assert answer.keys() == {"jsonrpc", "id", "result"}, answer
        return answer["result"]

    def error(self, method: str, params: Any) -> tuple[int, str, str]:
        """Make a request that fails; give the JSON-RPC code, the message, and the kernel's code."""
        answer = self.ask(method, params)
        assert answer.keys() == {"jsonrpc", "id", "error"}, answer
        error = answer["error"]
        assert error.keys() == {"code", "message", "data"}
        assert error["data"]["message"] == error["message"]
        return error["code"], error["message"], error["data"]["code"]

    def at_end(self) -> bool:
        """Say whether the daemon has closed the connection."""
        return self._file.readline() == b""

    def close(self) -> None:
        """Part."""
        self._file.close()
        self._socket.close()


@pytest.fixture
def wire(home: Home) -> Iterator[Wire]:
    ensure_daemon(home)
    wire = Wire(home.socket)
    yield wire
    wire.close()


@pytest.fixture
def root(wire: Wire, short_tmp: Path) -> str:
    """Give the root of a subcluster, s1, of two vats, v1 and v2."""
    url = bundle(short_tmp, "echo", ECHO)
    launched = wire.result("launchSubcluster", {"config": config(main=url, other=url)})
    assert isinstance(launched["rootKref"], str)
    return str(launched["rootKref"])


# --- each method ---------------------------------------------------------------------------------------------------


def test_ping(wire: Wire) -> None:
    assert wire.result("ping", []) == "pong"


def test_get_status(wire: Wire, root: str) -> None:
    status = wire.result("getStatus", [])
    assert status.keys() == {"vats", "subclusters", "remoteComms", "daemon"}
    [main, other] = status["vats"]
    assert main.keys() == other.keys() == {"id", "config", "subclusterId"}
    assert [main["id"], other["id"], main["subclusterId"]] == ["v1", "v2", "s1"]
    assert main["config"]["bundleSpec"].endswith("/echo.bundle")
    [subcluster] = status["subclusters"]
    assert {"id", "config", "vats", "state", "quarantine"} <= subcluster.keys()
    assert subcluster["vats"] == {"main": "v1", "other": "v2"}
    assert subcluster["config"]["bootstrap"] == "main"
    assert (subcluster["state"], subcluster["quarantine"]) == ("running", None)
    assert status["remoteComms"] == {"state": "disconnected"}
    assert {"pid", "version", "state", "startedAt"} <= status["daemon"].keys()


def test_launch_subcluster(wire: Wire, short_tmp: Path) -> None:
    launched = wire.result("launchSubcluster", {"config": config(main=bundle(short_tmp, "c"))})
    assert launched.keys() == {"subclusterId", "rootKref", "bootstrapResult"}
    assert launched["subclusterId"] == "s1"
    assert re.fullmatch(r"ko\d+", launched["rootKref"])
    assert launched["bootstrapResult"] is None or launched["bootstrapResult"].keys() == {"body", "slots"}
    code, message, kernel_code = wire.error("launchSubcluster", {"config": {"bootstrap": "main", "vats": {}}})
    assert (code, kernel_code) == (-32602, "config-invalid")
    for unknown in ("sourceSpec", "bundleName", "creationOptions", "platformConfig", "network"):
        vats = {"main": {"bundleSpec": "file:///x", unknown: {}}}
        code, message, _ = wire.error("launchSubcluster", {"config": {"bootstrap": "main", "vats": vats}})
        assert code == -32602
        assert unknown in message
    for unknown in ("forceReset", "bundles", "nonsense"):
        given = {**config(main=bundle(short_tmp, "c")), unknown: {}}
        code, message, _ = wire.error("launchSubcluster", {"config": given})
        assert code == -32602
        assert unknown in message


def test_terminate_subcluster(wire: Wire, root: str) -> None:
    assert wire.result("terminateSubcluster", {"id": "s1"}) is None
    assert wire.result("getStatus", [])["subclusters"] == []
    assert wire.error("terminateSubcluster", {"id": "s1"})[::2] == (-32603, "not-found")


def test_terminate_vat(wire: Wire, root: str) -> None:
    assert wire.result("terminateVat", {"id": "v2"}) is None
    assert [vat["id"] for vat in wire.result("getStatus", [])["vats"]] == ["v1"]
    assert wire.error("terminateVat", {"id": "v2"})[::2] == (-32603, "not-found")


def test_restart_vat(wire: Wire, root: str) -> None:
    assert wire.result("restartVat", {"id": "v1"}) is None
    assert wire.error("restartVat", {"id": "v99"})[::2] == (-32603, "not-found")


def test_terminate_all_vats(wire: Wire, root: str) -> None:
    assert wire.result("terminateAllVats", []) is None
    assert wire.result("getStatus", [])["vats"] == []


def test_ping_vat(wire: Wire, root: str) -> None:
    assert wire.result("pingVat", {"id": "v1"}) == "pong"
    assert wire.error("pingVat", {"id": "v99"})[::2] == (-32603, "not-found")


def test_queue_message(wire: Wire, root: str) -> None:
    assert wire.result("queueMessage", [root, "echo", ["hello"]]) == {"body": '#"hello"', "slots": []}
    assert wire.result("queueMessage", [root, "echo", [None]]) == {"body": "#null", "slots": []}
    assert wire.result("queueMessage", [root, "echo", ["#undefined"]]) == {"body": '#"!#undefined"', "slots": []}
    code, message, kernel_code = wire.error("queueMessage", [root, "fail", ["word: for 'word' #1"]])
    assert (code, message, kernel_code) == (-32603, "word: for 'word' #1", "rejected")
    assert wire.error("queueMessage", ["ko99", "echo", []])[::2] == (-32603, "not-found")


def test_references_in_answers_are_slots(wire: Wire, root: str) -> None:
    answer = wire.result("queueMessage", [root, "me", []])
    assert answer["slots"] == [root]
    assert re.fullmatch(r'#"\$0(\.[^"]*)?"', answer["body"])


def test_revoke_and_is_revoked(wire: Wire, root: str) -> None:
    assert wire.result("isRevoked", {"kref": root}) is False
    assert wire.result("revoke", {"kref": root}) is None
    assert wire.result("isRevoked", {"kref": root}) is True
    assert wire.error("queueMessage", [root, "echo", [1]])[::2] == (-32603, "revoked")
    for method in ("revoke", "isRevoked"):
        assert wire.error(method, {"kref": "ko99"})[::2] == (-32603, "not-found")


def test_collect_garbage(wire: Wire, root: str) -> None:
    assert wire.result("collectGarbage", []) is None


def test_clear_state(wire: Wire, root: str) -> None:
    assert wire.result("clearState", []) is None
    assert wire.result("getStatus", [])["subclusters"] == []


def test_execute_db_query(wire: Wire, root: str) -> None:
    rows = wire.result("executeDBQuery", {"sql": "SELECT id, name FROM vats ORDER BY id"})
    assert rows == [{"id": 1, "name": "main"}, {"id": 2, "name": "other"}]
    assert wire.error("executeDBQuery", {"sql": "DELETE FROM vats"})[::2] == (-32603, "query-refused")


def test_issue_and_redeem_ocap_url(wire: Wire, root: str) -> None:
    url = wire.result("issueOcapURL", {"kref": root})
    assert isinstance(url, str)
    assert wire.result("redeemOcapURL", {"url": url}) == root
    assert wire.error("redeemOcapURL", {"url": url[:-4] + "AAAA"})[::2] == (-32602, "ocap-url-invalid")


def test_pin_and_unpin(wire: Wire, root: str) -> None:
    assert wire.result("pin", {"kref": root}) is None
    assert wire.result("unpin", {"kref": root}) is None
    assert wire.error("pin", {"kref": "ko999"})[::2] == (-32603, "not-found")


def test_repair_subcluster(wire: Wire, root: str) -> None:
    repaired = wire.result("repairSubcluster", {"id": "s1"})  # it runs, and is left as it is
    assert (repaired["id"], repaired["state"]) == ("s1", "running")
    assert wire.error("repairSubcluster", {"id": "s9"})[::2] == (-32603, "not-found")


def test_prune_subcluster(wire: Wire, root: str) -> None:
    assert wire.result("pruneSubcluster", {"quarantined": True}) == {"pruned": []}
    assert wire.error("pruneSubcluster", {"ids": ["s1"]})[::2] == (-32603, "not-quarantined")


def test_shutdown(wire: Wire, home: Home) -> None:
    answer = wire.say(b'{"jsonrpc": "2.0", "id": 1, "method": "shutdown"}')
    assert answer == {"jsonrpc": "2.0", "id": 1, "result": {"status": "shutting down"}}
    assert wire.at_end()


def test_each_method_of_the_daemon_has_its_test_here() -> None:
    text = Path(__file__).read_text()
    untested = [name for name in METHODS if f'"{name}"' not in text and f'"method": "{name}"' not in text]
    assert untested == []


# --- parameters, framing, errors -----------------------------------------------------------------------------------


def test_parameters_go_by_position_and_by_name(wire: Wire, root: str) -> None:
    by_name = {"kref": root, "method": "echo", "args": [1]}
    assert wire.result("queueMessage", by_name) == wire.result("queueMessage", [root, "echo", [1]])
    for method, params in {"pingVat": ["v1"], "isRevoked": [root], "executeDBQuery": ["SELECT 1 AS n"]}.items():
        wire.result(method, params)


WRONG: list[tuple[str, Any]] = [
    ("queueMessage", ["ko1"]),
    ("queueMessage", ["ko1", 5, []]),
    ("queueMessage", ["ko1", "echo", {}]),
    ("queueMessage", ["not a kref", "echo", []]),
    ("terminateVat", {}),
    ("terminateVat", {"id": 5}),
    ("terminateVat", {"id": "x5"}),
    ("launchSubcluster", {"config": 5}),
    ("revoke", {"kref": "kp"}),
    ("executeDBQuery", {"sql": None}),
    ("ping", ["something"]),
    ("ping", 5),
]


def test_wrong_parameters_are_32602(wire: Wire) -> None:
    for method, params in WRONG:
        assert (method, params, wire.error(method, params)[0]) == (method, params, -32602)


def test_the_public_daemons_liberties_are_taken(wire: Wire) -> None:
    assert wire.say(b'{"id": "x", "method": "ping"}') == {"jsonrpc": "2.0", "id": "x", "result": "pong"}
    assert wire.say(b'{"method": "ping", "params": []}') == {"jsonrpc": "2.0", "id": None, "result": "pong"}
    assert wire.say(b'{"id": 1, "method": "ping", "params": null}')["result"] == "pong"


NO_REQUESTS = [
    (b"{", -32700),
    (b"\xff\xfe", -32700),
    (b"NaN", -32700),
    (b"[" * 100_000, -32700),
    (b"5", -32600),
    (b"[]", -32600),
    (b"null", -32600),
    (b'{"id": 1}', -32600),
    (b'{"id": 1, "method": 5}', -32600),
    (b'{"id": {}, "method": "ping"}', -32600),
    (b'{"id": 1, "method": "nonsense"}', -32601),
    (b'{"id": 1, "method": "__class__"}', -32601),
]


def test_what_is_no_request_has_the_specifications_code(wire: Wire) -> None:
    for line, code in NO_REQUESTS:
        error = wire.say(line)["error"]
        assert (line[:40], error["code"]) == (line[:40], code)
        assert error["message"]
        assert error["data"]["code"]
    assert wire.result("ping", []) == "pong"
