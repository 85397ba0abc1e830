"""RPC fuzzed from its own table of methods: every answer is JSON-RPC with a typed outcome, and the daemon goes on.

Each example is a handful of lines on one connection to one real daemon, which has a subcluster to hit.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from clusters import ECHO, bundle, config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.api import Client
from kernel.daemon.ensure import ensure_daemon
from kernel.daemon.home import Home
from kernel.daemon.methods import METHODS
from kernel.errors import OcapError

MOST_BYTES = 400 * 1024 * 1024
"""What the daemon may occupy, whatever it is sent."""

CODES = {-32700, -32600, -32601, -32602, -32603}

REFERENCES = st.sampled_from(["ko1", "ko2", "kp1", "v1", "v2", "s1", "s2", "ko01", "ko-1", "v9223372036854775808", ""])
TEXTS = st.one_of(
    REFERENCES,
    st.text(max_size=20),
    st.sampled_from(["echo", "fail", "bootstrap", "__init__", "SELECT 1", "SELECT * FROM vats", "PRAGMA x", "\ud800"]),
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
VATS = st.dictionaries(st.text(max_size=5), st.dictionaries(TEXTS, JSON, max_size=3) | JSON, max_size=3)
CONFIGS = st.fixed_dictionaries(
    {}, optional={"bootstrap": TEXTS, "vats": VATS | JSON, "services": JSON, "io": JSON, "forceReset": JSON}
)
SUITABLE: dict[str, st.SearchStrategy[Any]] = {
    "config": CONFIGS,
    "args": st.lists(JSON, max_size=3),
    "ids": st.lists(REFERENCES, max_size=3),
    "bundles": st.dictionaries(TEXTS, TEXTS, max_size=2),
    "quarantined": st.booleans(),
}
HARMLESS = sorted(set(METHODS) - {"shutdown"})


@st.composite
def parameters(draw: st.DrawFn, method: str) -> Any:
    """Draw parameters of a method: of its own names and types as a rule, else anything."""
    if draw(st.integers(0, 5)) == 0:
        return draw(JSON)
    params = METHODS[method].params
    given = {p.name: draw(SUITABLE.get(p.name, TEXTS) | JSON) for p in params if draw(st.integers(0, 9))}
    if draw(st.booleans()):
        return given
    return list(given.values())


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Draw a line: a request as a rule, sometimes a batch, sometimes a piece of one or bytes."""
    kind = draw(st.sampled_from(["request"] * 6 + ["batch", "piece", "bytes"]))
    if kind == "bytes":
        return draw(st.binary(max_size=60)).replace(b"\n", b"") or b"x"
    entries = []
    for _ in range(draw(st.integers(1, 3)) if kind == "batch" else 1):
        method = draw(st.sampled_from(HARMLESS) | TEXTS)
        params = draw(parameters(method)) if method in HARMLESS else draw(JSON)
        entry: dict[str, Any] = {"id": draw(st.integers(0, 9) | JSON), "method": method, "params": params}
        if draw(st.integers(0, 9)) == 0:
            del entry[draw(st.sampled_from(sorted(entry)))]
        entries.append(entry)
    line = json.dumps(entries if kind == "batch" else entries[0]).encode()
    return line[: draw(st.integers(1, len(line)))] if kind == "piece" else line


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Give a daemon that all examples talk to."""
    import shutil
    import tempfile

    from kernel.daemon.ensure import stop_daemon

    folder = Path(tempfile.mkdtemp(prefix="oc-", dir="/tmp"))
    home = Home(folder / "h")
    ensure_daemon(home)
    url = bundle(folder, "echo", ECHO)
    with Client(home.socket) as client:
        client.launch_subcluster(config(main=url, other=url))
    yield home
    stop_daemon(home, force=True)
    shutil.rmtree(folder)


def check(answer: Any) -> None:
    """Check that an answer is one, with a typed outcome."""
    if isinstance(answer, list):
        for one in answer:
            check(one)
        return
    assert answer["jsonrpc"] == "2.0"
    assert "id" in answer
    if "result" in answer:
        return
    error = answer["error"]
    assert error["code"] in CODES
    assert isinstance(error["message"], str)
    assert error["message"]
    assert error["data"]["code"] in OcapError.by_code
    assert error["data"]["code"] != OcapError.code, f"an error that nobody foresaw: {error}"


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(lines=st.lists(requests(), min_size=1, max_size=6))
def test_whatever_is_asked_has_a_typed_answer_and_the_daemon_goes_on(daemon: Home, lines: list[bytes]) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(daemon.socket)
        connection.sendall(b"".join(line + b"\n" for line in lines))
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answers:
            found = [json.loads(line) for line in answers]
    assert len(found) == len(lines)
    for answer in found:
        check(answer)
    with Client(daemon.socket) as client:
        status = client.get_status()
    assert psutil.Process(status["daemon"]["pid"]).memory_info().rss < MOST_BYTES


@settings(max_examples=100, deadline=None, database=None)
@given(pieces=st.lists(requests() | st.binary(max_size=40), max_size=4), cut=st.integers(0, 50))
def test_whoever_leaves_in_the_middle_of_a_line_costs_nothing(daemon: Home, pieces: list[bytes], cut: int) -> None:
    data = b"\n".join(pieces)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(daemon.socket)
        connection.sendall(data[: max(0, len(data) - cut)])
    with Client(daemon.socket) as client:
        assert client.ping() == "pong"
