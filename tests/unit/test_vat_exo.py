from __future__ import annotations

import functools
from typing import Any

import pytest

from kernel.vat import Exo
from kernel.vat.exo import interface_of, invoke, methods_of


class Base(Exo):
    shared = 7

    def inherited(self) -> str:
        return "base"

    def overridden(self) -> str:
        return "base"


class Root(Base):
    def __init__(self) -> None:
        self.instance_function = lambda: "reached"

    def overridden(self) -> str:
        return "root"

    async def later(self) -> int:
        return 1

    def _private(self) -> str:
        return "reached"

    @property
    def secret(self) -> str:
        return "reached"

    @staticmethod
    def static() -> str:
        return "reached"

    @classmethod
    def of_class(cls) -> str:
        return "reached"

    partial = functools.partial(lambda: "reached")

    class Inner:
        pass


def test_public_methods_are_those_that_exos_define() -> None:
    assert sorted(methods_of(Root)) == ["inherited", "later", "overridden"]


def test_methods_are_called_as_python_would() -> None:
    assert invoke(Root(), "inherited", []) == "base"
    assert invoke(Root(), "overridden", []) == "root"


@pytest.mark.parametrize(
    "name",
    [
        "_private",
        "__init__",
        "__class__",
        "__reduce__",
        "secret",
        "static",
        "of_class",
        "partial",
        "instance_function",
        "shared",
        "Inner",
        "interface",
        "missing",
        "",
        "later ",
    ],
)
def test_nothing_else_can_be_called(name: str) -> None:
    with pytest.raises(TypeError) as caught:
        invoke(Root(), name, [])
    assert str(caught.value) == f"Root has no method {name!r} (it has: inherited, later, overridden)"


def test_an_override_that_is_no_method_hides_the_inherited_one() -> None:
    class Hidden(Base):
        inherited: Any = None

    assert sorted(methods_of(Hidden)) == ["overridden"]


def test_methods_of_classes_that_are_no_exos_stay_private() -> None:
    class Mixin:
        def helper(self) -> None: ...

    class Mixed(Mixin, Exo):
        def public(self) -> None: ...

    assert sorted(methods_of(Mixed)) == ["public"]


def test_an_exo_without_methods_says_so() -> None:
    with pytest.raises(TypeError, match=r"Exo has no method 'x' \(it has: no public methods\)"):
        invoke(Exo(), "x", [])


def test_the_interface_is_named_by_the_class_unless_it_says_otherwise() -> None:
    class Named(Exo):
        interface = "Issuer"

    class Odd(Exo):
        def interface(self) -> None:  # type: ignore[override]  # as an author may by mistake
            """Shadow the attribute."""

    assert interface_of(Root()) == "Alleged: Root"
    assert interface_of(Named()) == "Alleged: Issuer"
    assert interface_of(Odd()) == "Alleged: Odd"
