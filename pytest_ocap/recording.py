"""A driver that writes down what it is asked for, and is otherwise the driver that it stands for.

Invariant: nothing about a verb changes but that it is noted, with its beginning, its end and everything that came of
it.  Members that are no verbs, and those that a driver has beyond the protocol, are the driver's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pytest_ocap.driver import PLAIN, Interrupt, Setting, Subcluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.journal import Journal

VERBS = frozenset(
    {"start", "stop", "kill", "ping", "status", "make_bundle", "launch", "launch_io", "launch_pinned", "launch_linked"}
    | {"list", "probe", "fetch", "repair", "prune", "terminate", "collect", "revoke", "use", "audit"}
)
"""The members of a driver that do something."""


def recorded(driver: KernelDriver, journal: Journal) -> KernelDriver:
    """Give the driver, with each of its verbs noted in the journal."""
    return cast("KernelDriver", _Recording(driver, journal))


class _Recording:
    def __init__(self, driver: KernelDriver, journal: Journal) -> None:
        self._driver = driver
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._driver, name)
        return self._noted(name, member) if name in VERBS else member

    def _noted(self, verb: str, member: Callable[..., Any]) -> Callable[..., Any]:
        about_home = verb != "make_bundle"

        def noted(*arguments: Any, **named: Any) -> Any:
            if about_home and arguments:
                self._journal.meet(arguments[0])
            call = self._journal.begin(verb, _asked(arguments[1:] if about_home else arguments, named))
            try:
                result = member(*arguments, **named)
            except BaseException as error:
                self._journal.end(call, error)
                raise
            self._journal.end(call, result)
            return result

        return noted


def _asked(arguments: tuple[Any, ...], named: dict[str, Any]) -> str:
    """Say in words what a verb is asked for, without defaults."""
    words = [_word(argument) for argument in arguments]
    words += [f"{name}={_word(value)}" for name, value in named.items() if value not in (None, PLAIN, False)]
    return ", ".join(words)


def _word(value: object) -> str:
    if isinstance(value, Subcluster):
        return value.id
    if isinstance(value, Interrupt):
        return f"{value.how} in {value.phase}"
    if isinstance(value, Setting):
        return " ".join((*value.prefix, *(f"{name}={text}" for name, text in value.env.items())))
    return f"{value:g} s" if isinstance(value, float) else str(value)
