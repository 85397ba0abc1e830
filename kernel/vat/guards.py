"""Checks arguments against annotations, so that a method sees only what it said it takes.

An annotation describes passable data exactly (``str``, ``list[int]``, ``dict[str, float] | None``); any other class
stands for "a reference", because what class an object of another vat has cannot be known from here. Annotations that
cannot be evaluated, and forms that say nothing about data, are not checked.

Invariant: a check never runs the method and never changes an argument.
"""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any

from kernel.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[Any], bool]

_ANYTHING = object()
_signatures: dict[types.FunctionType, Signature] = {}


class Signature(Record):
    """What a method takes: the least and greatest number of arguments, and a check for each place."""

    required: int
    positional: list[tuple[str, str, Check | None]]  # name, the annotation as a person writes it, the check
    variadic: tuple[str, str, Check | None] | None

    def check(self, method: str, args: list[Any]) -> None:
        """Check arguments.

        Raises:
            TypeError: They do not fit; the message names the method and the argument.
        """
        if len(args) < self.required:
            missing = [name for name, _, _ in self.positional[len(args) : self.required]]
            raise TypeError(f"{method}() is missing {_list(missing)}")
        if len(args) > len(self.positional) and self.variadic is None:
            most = len(self.positional)
            takes = f"{most} argument{'' if most == 1 else 's'}"
            raise TypeError(f"{method}() takes {'at most ' if self.required < most else ''}{takes}, not {len(args)}")
        for index, value in enumerate(args):
            place = self.positional[index] if index < len(self.positional) else self.variadic
            if place is not None and place[2] is not None and not place[2](value):
                raise TypeError(f"{method}() takes {place[1]} as argument {place[0]!r}, not {_kind(value)}")


def signature_of(function: types.FunctionType) -> Signature:
    """Give a method's signature without ``self``; remembered for each function."""
    signature = _signatures.get(function)
    if signature is None:
        signature = _signatures[function] = _read_signature(function)
    return signature


def _read_signature(function: types.FunctionType) -> Signature:
    import inspect

    parameters = list(inspect.signature(function).parameters.values())[1:]
    positional: list[tuple[str, str, Check | None]] = []
    variadic = None
    required = 0
    for parameter in parameters:
        annotation = _evaluate(parameter.annotation, function)
        check = None if annotation is _ANYTHING or annotation is parameter.empty else _check_of(annotation)
        place = (parameter.name, _written(annotation), check)
        if parameter.kind is parameter.VAR_POSITIONAL:
            variadic = place
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            positional.append(place)
            required += parameter.default is parameter.empty
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise TypeError(
                f"{function.__qualname__}() has the keyword-only argument {parameter.name!r} without a default, and "
                f"messages have positional arguments only"
            )
    return Signature(required, positional, variadic)


def _evaluate(annotation: Any, function: types.FunctionType) -> Any:
    """Evaluate an annotation that is a string; what cannot be evaluated says nothing that could be checked."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, function.__globals__)
    except Exception:  # noqa: BLE001  (names imported for type checkers only do not exist here; they name references)
        return _ANYTHING


def _check_of(annotation: Any) -> Check | None:
    """Give the check for an annotation; None when everything fits."""
    if annotation is None or annotation is type(None):
        return lambda value: value is None
    if isinstance(annotation, str):  # a forward reference inside a generic: it can only name a class
        return _is_reference
    for plain, check in _PLAIN:
        if annotation is plain:
            return check
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _check_of(arguments[0])
    if origin is typing.Union or origin is types.UnionType:
        return _union(arguments)
    if origin is typing.Literal:
        return lambda value: any(type(value) is type(choice) and value == choice for choice in arguments)
    if isinstance(annotation, typing.NewType):
        return _check_of(annotation.__supertype__)
    kind = origin or annotation
    if not isinstance(kind, type):
        return None
    return _check_of_class(kind, arguments)


def _check_of_class(kind: type, arguments: tuple[Any, ...]) -> Check | None:
    import collections.abc as abstract

    if kind is object:
        return None
    if kind in (tuple, list, abstract.Sequence, abstract.MutableSequence, abstract.Iterable, abstract.Collection):
        return _array(kind, arguments)
    if kind in (dict, abstract.Mapping, abstract.MutableMapping) or typing.is_typeddict(kind):
        return _record(arguments)
    if issubclass(kind, BaseException):
        return lambda value: isinstance(value, BaseException)
    from kernel.capdata import Symbol, Tagged

    if issubclass(kind, (Tagged, Symbol)):
        return lambda value: isinstance(value, kind)
    return _is_reference


def _union(choices: tuple[Any, ...]) -> Check | None:
    checks = [_check_of(choice) for choice in choices]
    if any(check is None for check in checks):
        return None
    return lambda value: any(check(value) for check in checks if check is not None)


def _array(kind: type, arguments: tuple[Any, ...]) -> Check:
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        checks = [_check_of(argument) for argument in arguments]
        return lambda value: (
            isinstance(value, list)
            and len(value) == len(checks)
            and all(check is None or check(item) for check, item in zip(checks, value, strict=True))
        )
    check = _check_of(arguments[0]) if arguments else None
    if check is None:
        return lambda value: isinstance(value, list)
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


def _record(arguments: tuple[Any, ...]) -> Check:
    check = _check_of(arguments[1]) if len(arguments) == 2 else None
    if check is None:
        return lambda value: isinstance(value, dict)
    return lambda value: isinstance(value, dict) and all(check(item) for item in value.values())


def _is_reference(value: Any) -> bool:
    from kernel.vat.exo import Exo
    from kernel.vat.references import Presence, Promise

    return isinstance(value, (Presence, Promise, Exo))


_PLAIN: list[tuple[Any, Check | None]] = [
    (Any, None),
    (bool, lambda value: isinstance(value, bool)),
    (int, lambda value: isinstance(value, int) and not isinstance(value, bool)),
    (float, lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)),
    (str, lambda value: isinstance(value, str)),
    (bytes, lambda value: isinstance(value, bytes)),
]


def _kind(value: Any) -> str:
    from kernel.vat.exo import Exo
    from kernel.vat.references import Presence

    if value is None:
        return "None"
    if isinstance(value, (Presence, Exo)):
        return "a reference"
    return type(value).__name__


def _written(annotation: Any) -> str:
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def _list(names: list[str]) -> str:
    return f"the argument{'' if len(names) == 1 else 's'} {', '.join(map(repr, names))}"
