from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional, TypedDict, TypeVar, Union

import pytest

from kernel.vat import Exo, Presence, Promise, RemoteError, Symbol, Tagged
from kernel.vat.guards import signature_of

if TYPE_CHECKING:
    from decimal import Decimal as Unknown  # at run time there is no such name here

Name = NewType("Name", str)
T = TypeVar("T")


class Point(TypedDict):
    x: int


class Peer(Exo):
    pass


REFERENCE = Presence("o-1", None)


def takes_str(self: Any, it: str) -> None: ...
def takes_int(self: Any, it: int) -> None: ...
def takes_float(self: Any, it: float) -> None: ...
def takes_bool(self: Any, it: bool) -> None: ...
def takes_bytes(self: Any, it: bytes) -> None: ...
def takes_none(self: Any, it: None) -> None: ...
def takes_any(self: Any, it: Any) -> None: ...
def takes_object(self: Any, it: object) -> None: ...
def takes_unannotated(self, it): ...  # type: ignore[no-untyped-def]  # what is tried
def takes_list(self: Any, it: list) -> None: ...  # type: ignore[type-arg]  # what is tried
def takes_list_of_int(self: Any, it: list[int]) -> None: ...
def takes_sequence(self: Any, it: Sequence[str]) -> None: ...
def takes_tuple(self: Any, it: tuple[int, str]) -> None: ...
def takes_tuple_of_any_length(self: Any, it: tuple[int, ...]) -> None: ...
def takes_dict(self: Any, it: dict) -> None: ...  # type: ignore[type-arg]  # what is tried
def takes_dict_of_int(self: Any, it: dict[str, int]) -> None: ...
def takes_mapping(self: Any, it: Mapping[str, Any]) -> None: ...
def takes_typed_dict(self: Any, it: Point) -> None: ...
def takes_optional(self: Any, it: Optional[str]) -> None: ...  # noqa: UP045 (the older form is tried)
def takes_union(self: Any, it: Union[int, str]) -> None: ...  # noqa: UP007 (the older form is tried)
def takes_pipe(self: Any, it: int | list[str] | None) -> None: ...
def takes_union_with_any(self: Any, it: int | Any) -> None: ...
def takes_literal(self: Any, it: Literal["in", "out", 1]) -> None: ...
def takes_new_type(self: Any, it: Name) -> None: ...
def takes_annotated(self: Any, it: Annotated[int, {"unit": "s"}]) -> None: ...
def takes_type_variable(self: Any, it: T) -> None: ...
def takes_peer(self: Any, it: Peer) -> None: ...
def takes_presence(self: Any, it: Presence) -> None: ...
def takes_promise(self: Any, it: Promise) -> None: ...
def takes_peers(self: Any, it: list[Peer]) -> None: ...
def takes_forward(self: Any, it: list[Peer]) -> None: ...
def takes_unknown(self: Any, it: Unknown) -> None: ...
def takes_error(self: Any, it: ValueError) -> None: ...
def takes_tagged(self: Any, it: Tagged) -> None: ...
def takes_symbol(self: Any, it: Symbol) -> None: ...


@pytest.mark.parametrize(
    ("function", "fitting", "unfitting"),
    [
        (takes_str, ["", "x"], [None, 1, [], REFERENCE]),
        (takes_int, [0, -1, 2**80], [True, 1.0, "1", None]),
        (takes_float, [1.5, 2, float("nan")], [True, "1", None]),
        (takes_bool, [True, False], [0, 1, None]),
        (takes_bytes, [b""], ["", None]),
        (takes_none, [None], [0, ""]),
        (takes_any, [None, 1, REFERENCE, []], []),
        (takes_object, [None, 1, REFERENCE], []),
        (takes_unannotated, [None, 1, REFERENCE], []),
        (takes_list, [[], [1, "x"]], [{}, "x", None]),
        (takes_list_of_int, [[], [1]], [[1, "x"], [True], {}]),
        (takes_sequence, [[], ["x"]], ["x", [1]]),
        (takes_tuple, [[1, "x"]], [[1], ["x", 1], [1, "x", 2]]),
        (takes_tuple_of_any_length, [[], [1, 2]], [["x"]]),
        (takes_dict, [{}, {"a": 1}], [[], None]),
        (takes_dict_of_int, [{}, {"a": 1}], [{"a": "x"}]),
        (takes_mapping, [{}, {"a": 1}], [[]]),
        (takes_typed_dict, [{"x": 1}], [[]]),
        (takes_optional, [None, "x"], [1]),
        (takes_union, [1, "x"], [None, []]),
        (takes_pipe, [1, ["x"], None], ["x", [1]]),
        (takes_union_with_any, [1, "x", None], []),
        (takes_literal, ["in", "out", 1], ["up", True, None]),
        (takes_new_type, ["x"], [1]),
        (takes_annotated, [1], ["x"]),
        (takes_type_variable, [1, None, REFERENCE], []),
        (takes_peer, [REFERENCE, Peer()], [1, {}, None]),
        (takes_presence, [REFERENCE, Peer()], [1]),
        (takes_promise, [REFERENCE], [1]),
        (takes_peers, [[], [REFERENCE]], [[1], REFERENCE]),
        (takes_forward, [[REFERENCE]], [[1]]),
        (takes_unknown, [1, None, REFERENCE], []),
        (takes_error, [ValueError("x"), RemoteError("ValueError", "x")], ["x", None]),
        (takes_tagged, [Tagged("t", 1)], [1]),
        (takes_symbol, [Symbol("s")], ["s"]),
    ],
)
def test_an_annotation_lets_through_what_it_describes(
    function: Any, fitting: list[object], unfitting: list[object]
) -> None:
    signature = signature_of(function)
    for value in fitting:
        signature.check("Root.method", [value])
    for value in unfitting:
        with pytest.raises(TypeError, match="as argument 'it', not "):
            signature.check("Root.method", [value])


def optional(self: Any, first: int, second: str = "x") -> None: ...
def variadic(self: Any, first: int, *rest: str) -> None: ...
def keyword_only(self: Any, *, first: int) -> None: ...
def keyword_with_default(self: Any, *, first: int = 1) -> None: ...
def nothing(self: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "args", "message"),
    [
        (takes_str, [1], "Root.method() takes str as argument 'it', not int"),
        (takes_str, [None], "Root.method() takes str as argument 'it', not None"),
        (takes_str, [REFERENCE], "Root.method() takes str as argument 'it', not a reference"),
        (takes_dict_of_int, [7], "Root.method() takes dict[str, int] as argument 'it', not int"),
        (takes_pipe, ["x"], "Root.method() takes int | list[str] | None as argument 'it', not str"),
        (takes_peer, [3], "Root.method() takes Peer as argument 'it', not int"),
        (takes_str, [], "Root.method() is missing the argument 'it'"),
        (takes_str, ["a", "b"], "Root.method() takes 1 argument, not 2"),
        (nothing, [1], "Root.method() takes 0 arguments, not 1"),
        (optional, [], "Root.method() is missing the argument 'first'"),
        (optional, [1, "x", 2], "Root.method() takes at most 2 arguments, not 3"),
        (optional, [1, 2], "Root.method() takes str as argument 'second', not int"),
        (variadic, [1, "a", 2], "Root.method() takes str as argument 'rest', not int"),
    ],
)
def test_a_misfit_is_told_with_method_argument_and_kind(function: Any, args: list[object], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        signature_of(function).check("Root.method", args)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("function", "args"),
    [(optional, [1]), (optional, [1, "y"]), (variadic, [1, "a", "b"]), (nothing, []), (keyword_with_default, [])],
)
def test_calls_that_fit_pass(function: Any, args: list[object]) -> None:
    signature_of(function).check("Root.method", args)


def test_a_keyword_only_argument_without_default_can_never_be_given() -> None:
    with pytest.raises(TypeError, match="keyword-only argument 'first' without a default"):
        signature_of(keyword_only)  # type: ignore[arg-type]  # what is tried
