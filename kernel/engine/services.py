"""Kernel services: objects of the kernel's own, which the host registers and vats send messages to.

A subcluster names the services that it wants in its configuration, and its ``bootstrap`` is given them.  One that is
*system only* is given to system subclusters alone, which the host launches and nobody else can; so a reference to it
reaches other vats only if such a subcluster passes it on.

A service is any object whose public methods take and give what can be passed; a reference is a :class:`Slot` of a kref,
and a :class:`CapData` is an answer that is encoded already.
A call begins when the crank that made it is durable, and one that has not ended when the kernel does is rejected at the
next start, like everything that nobody can resolve any more.  A service that fails rejects, and harms nothing else.
"""

from __future__ import annotations

from types import CoroutineType

from kernel.capdata import CapData, decode, encode
from kernel.engine.answers import Answers
from kernel.engine.settlement import Settlement, rejection
from kernel.errors import ConfigError, NotFoundError, OcapError, RejectedError, UsageError, describe
from kernel.records import Record
from kernel.refs import format_kref, parse_kref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kernel.engine.batch import Batch
    from kernel.engine.kernel import Kernel
    from kernel.engine.router import Router
    from kernel.events import Log
    from kernel.loop import Loop
    from kernel.refs import Kref
    from kernel.store import Store


class Service(Record):
    """A registered service."""

    target: object
    system_only: bool


def method_of(name: str, target: object, method: str) -> Callable[..., Any]:
    """Give what vats call as a method of a service (RejectedError: there is no such method)."""
    function: Any = None if method.startswith("_") else getattr(target, method, None)
    if not callable(function):
        raise RejectedError(f"the kernel service {name!r} has no method {method!r}")
    return function  # type: ignore[no-any-return]  # callable() says no more than that


class Services:
    """See the head of this module."""

    def __init__(self, store: Store, batch: Batch, router: Router, loop: Loop, log: Log, kernel: Kernel) -> None:
        """Make them; ``kernel`` is what the kernel's own services work on."""
        self._store = store
        self._batch = batch
        self._loop = loop
        self._log = log
        self._answers = Answers(batch, router, loop, log)
        self._kernel = kernel
        self._registered: dict[str, Service] = {}
        self._has_own = False

    def register(self, name: str, target: object, *, system_only: bool) -> None:
        """Let vats have a service; its object is durable, it is not: register it again in each life of the kernel.

        Raises:
            UsageError: There is a service of that name.
        """
        if name in self._all():
            raise UsageError(f"there is a kernel service named {name!r} already", service=name)
        self._registered[name] = Service(target, system_only)

    def _all(self) -> dict[str, Service]:
        """Give the registered services; the kernel's own are made when the first is asked for."""
        if not self._has_own:
            self._has_own = True
            from kernel.engine.own_services import own_services

            for name, (target, system_only) in own_services(self._kernel, self._loop).items():
                self._registered[name] = Service(target, system_only)
        return self._registered

    def check(self, name: str, *, system: bool) -> None:
        """Make sure that a subcluster may have a service.

        Raises:
            ConfigError: There is none of that name, or it is for system subclusters.
        """
        service = self._all().get(name)
        if service is None or (service.system_only and not system):
            known = sorted(known for known, entry in self._all().items() if system or not entry.system_only)
            raise ConfigError(
                f"services: there is no kernel service named {name!r}"
                if service is None
                else f"services: the kernel service {name!r} is for system subclusters only",
                key="services",
                remedy=f"Name an IO channel of the same configuration, or one of: {', '.join(known)}.",
            )

    def object_of(self, name: str) -> int:
        """Give the number of a service's object, which is made when it is first wanted.  Call it inside a unit."""
        known = self._store.references.service(name)
        if known is None:
            known = self._store.references.insert_object(None)
            self._store.references.insert_service(known, name)
        return known

    def call(self, name: str, method: str, body: str, slots: tuple[Kref, ...], result: int | None) -> None:
        """Take a message to a service, inside a crank's unit; the call waits until that is durable."""
        for slot in slots:
            if slot.kind == "object":
                self._store.outside.lease(slot.number)
        self._batch.after_commit(self._begin, name, method, CapData(body, tuple(map(format_kref, slots))), result)

    def _begin(self, name: str, method: str, data: CapData, result: int | None) -> None:
        self._loop.spawn(self._perform(name, method, data, result))

    async def _perform(self, name: str, method: str, data: CapData, result: int | None) -> None:
        try:
            service = self._all().get(name)
            if service is None:
                raise NotFoundError(f"nobody has registered the kernel service {name!r} since the kernel started")
            function = method_of(name, service.target, method)
            arguments = decode(data, what=f"the arguments of {name}.{method}()")
            if not isinstance(arguments, list):
                raise RejectedError(f"the arguments of {name}.{method}() are no list")
            value: Any = function(*arguments)
            if isinstance(value, CoroutineType):
                value = await value
            answer = value if isinstance(value, CapData) else encode(value, what=f"the result of {name}.{method}()")
            settlement = Settlement(False, answer.body, tuple(parse_kref(slot) for slot in answer.slots))
            missing = [slot for slot in settlement.slots if not self._exists(slot)]
            if missing:
                gone = format_kref(missing[0])
                raise NotFoundError(f"the kernel service {name!r} answered with {gone}, which does not exist")
        except OcapError as error:
            settlement = rejection(error)
        except Exception as error:  # noqa: BLE001 - what the host's code does wrong is the affair of whoever called it
            self._log.warning("service.failed", service=name, method=method, error=describe(error))
            settlement = rejection(RejectedError(f"{name}.{method}() failed: {describe(error)}"))
        self._answers.give(result, settlement)

    def _exists(self, slot: Kref) -> bool:
        records = self._store.references.object if slot.kind == "object" else self._store.promises.get
        return records(slot.number) is not None
