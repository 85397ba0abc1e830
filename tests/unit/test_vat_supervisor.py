from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.capdata import encode
from kernel.errors import VatProtocolError
from kernel.vat.supervisor import Bounds, Supervisor

SOURCE = """
from kernel.vat import Exo

class Root(Exo):
    def echo(self, value):
        print("echo")
        return value

def build_root_object(vat_powers, parameters, baggage):
    return Root()
"""
START: dict[str, Any] = {
    "vatId": "v1",
    "name": "main",
    "bundle": {"entry": "vat_main", "modules": {"vat_main": {"path": "m.py", "source": SOURCE, "is_package": False}}},
    "parameters": None,
    "globals": [],
    "baggage": {},
    "nextExport": 1,
    "nextPromise": 1,
    "incarnation": 1,
}
ECHO = {"target": "o+0", "method": "echo", "args": encode([7]).to_json(), "result": "p-5"}


def answers(*frames: object) -> list[list[Any]]:
    """Run a supervisor over some frames and give what it sent."""
    sent: list[list[Any]] = []
    waiting = iter([*frames, None])
    Supervisor(sent.append, Bounds(1 << 20, 1000)).run(lambda: next(waiting))
    return sent


def test_a_session() -> None:
    stdout = sys.stdout
    assert answers(["start", START], ["ping"], ["message", ECHO], ["notify", {"resolutions": []}]) == [
        ["started", {}],
        ["pong"],
        ["log", {"level": "info", "text": "echo"}],
        [
            "done",
            {
                "syscalls": [["resolve", [["p-5", False, {"body": "#7", "slots": []}]]]],
                "nextExport": 1,
                "nextPromise": 1,
            },
        ],
        ["done", {"syscalls": [], "nextExport": 1, "nextPromise": 1}],
    ]
    assert sys.stdout is stdout


def test_a_vat_that_cannot_be_built_ends_the_session() -> None:
    module = {"path": "m.py", "source": "raise KeyError('x')", "is_package": False}
    start = {**START, "bundle": {"entry": "vat_main", "modules": {"vat_main": module}}}
    [[kind, failure]] = answers(["start", start], ["never read"])
    assert kind == "failed"
    assert (failure["type"], failure["message"]) == ("KeyError", "'x'")


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([7], "not an array beginning with a name"),
        ([[]], "not an array beginning with a name"),
        ([[1, {}]], "not an array beginning with a name"),
        ([["message", ECHO]], "a 'message' frame before the vat was started"),
        ([["start", START], ["start", START]], "started the vat twice"),
        ([["start", START, 1]], "does not have one object"),
        ([["start", START], ["dance", {}]], "the unknown kind 'dance'"),
        ([["start", START], ["ping", 1]], "does not have one object"),
        ([["start", {**START, "nextExport": "1"}]], "'nextExport' in the kernel's 'start' frame is not of type int"),
        ([["start", {**START, "nextExport": True}]], "'nextExport' in the kernel's 'start' frame is not of type int"),
        ([["start", {**START, "bundle": {}}]], "a bundle without entry or modules"),
        ([["start", {**START, "baggage": {"x": 1}}]], "baggage['x'] is not CapData"),
        ([["start", START], ["message", {**ECHO, "target": "x"}]], "named a reference wrongly"),
        ([["start", START], ["message", {**ECHO, "target": "p-1"}]], "where the vref of a object belongs"),
        ([["start", START], ["message", {**ECHO, "result": "o-1"}]], "where the vref of a promise belongs"),
        ([["start", START], ["message", {**ECHO, "result": 3}]], "'result' in the kernel's 'message' frame"),
        ([["start", START], ["message", {**ECHO, "method": None}]], "'method' in the kernel's 'message' frame"),
        (
            [["start", START], ["message", {**ECHO, "args": [1]}]],
            "'args' in the kernel's 'message' frame is not CapData",
        ),
        ([["start", START], ["notify", {"resolutions": [1]}]], "not [vref, rejected, value]"),
        ([["start", START], ["notify", {"resolutions": [["p-1", 1, {}]]}]], "not [vref, rejected, value]"),
        ([["start", START], ["notify", {"resolutions": [["o-1", True, {}]]}]], "where the vref of a promise belongs"),
        ([["start", START], ["notify", {"resolutions": [["p-1", True, {}]]}]], "value of a resolution is not CapData"),
    ],
)
def test_a_frame_of_the_wrong_form_is_a_breach_that_says_what_is_wrong(frames: list[object], message: str) -> None:
    with pytest.raises(VatProtocolError) as caught:
        answers(*frames)
    assert message in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["o+0", "p-1", "echo", "#7"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*ECHO, *START]) | st.text(), inner),
    max_leaves=12,
)


@given(st.sampled_from(["start", "message", "notify", "ping"]), json_values)
def test_no_frame_is_anything_but_answered_or_a_breach(kind: str, content: object) -> None:
    try:
        answers(["start", START], [kind, content])
    except VatProtocolError:
        return
