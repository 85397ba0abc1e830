"""Exos: the objects of a vat that others can hold references to.

Invariant: what can be called from outside is exactly the functions that subclasses of :class:`Exo` define under names
that do not begin with an underscore. Nothing that an instance carries, and nothing that :class:`Exo` itself has, can
be reached.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from kernel.vat.guards import signature_of


class Exo:
    """Base class of objects that other vats can call.

    Public methods take passable values by position and may be ``async``; their arguments are checked against their
    annotations.  ``interface`` is the name by which others see the object; the class's name when left out.
    """

    interface: str | None = None


def interface_of(exo: Exo) -> str:
    """Give the interface name that accompanies references to an object, as ``Alleged: Counter``."""
    name = type(exo).interface
    return f"Alleged: {name if isinstance(name, str) and name else type(exo).__name__}"


BOOTSTRAP = "bootstrap"
"""What the kernel sends to a subcluster's first root, once, at launch; a root that does not care need not have it."""


def methods_of(kind: type[Exo]) -> dict[str, FunctionType]:
    """Give the methods that can be called from outside, by name."""
    methods: dict[str, FunctionType] = {}
    hidden: set[str] = set()
    for base in kind.__mro__:
        if base is Exo:
            break
        for name, member in vars(base).items():
            if name.startswith("_") or name in methods or name in hidden:
                continue
            if isinstance(member, FunctionType) and issubclass(base, Exo):
                methods[name] = member
            else:
                hidden.add(name)
    return methods


def invoke(exo: Exo, method: str, args: list[Any]) -> Any:
    """Call a method as a message does; gives what it gives, which may be a coroutine or a promise.

    Raises:
        TypeError: There is no such public method, or the arguments do not fit its signature; the message names them.
    """
    methods = methods_of(type(exo))
    function = methods.get(method)
    if function is None and method == BOOTSTRAP:
        return None
    kind = type(exo).__name__
    if function is None:
        known = ", ".join(sorted(methods)) or "no public methods"
        raise TypeError(f"{kind} has no method {method!r} (it has: {known})")
    signature_of(function).check(f"{kind}.{method}", args)
    return function(exo, *args)
