"""The methods that the daemon serves: one table of names, parameters and what they call.

Parameters are checked strictly before the kernel is asked, so a wrong request names the parameter and changes nothing.
Every method takes its parameters by position or by name.  This module knows neither sockets nor lines.
"""

from __future__ import annotations

from kernel.config import parse_cluster_config
from kernel.daemon.rpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcFaultError, json_type
from kernel.errors import ConfigError, OcapUrlError, RefError, RpcError, UsageError
from kernel.records import Record
from kernel.refs import parse_kref, parse_subcluster_id, parse_vat_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, Protocol

    from kernel.engine import Kernel

    class Service(Protocol):
        """What the methods work on."""

        kernel: Kernel

        @property
        def is_host(self) -> bool:
            """Whether callers are the program that runs the kernel, whose own the system subclusters are."""

        def daemon_facts(self) -> dict[str, Any]:
            """Give the ``daemon`` part of ``getStatus``, without ``state``."""

        def request_stop(self) -> None:
            """Stop the daemon once the answer is on its way."""


class Param(Record):
    """One parameter: ``check`` gives what is expected instead of an unsuitable value, or None for a suitable one."""

    name: str
    check: Callable[[object], str | None]
    required: bool = True


class Method(Record):
    """One method."""

    params: tuple[Param, ...]
    call: Callable[[Service, dict[str, Any]], Awaitable[object]]


async def call_method(service: Service, name: str, params: list[Any] | dict[str, Any]) -> object:
    """Call a method by name.

    Raises:
        RpcFaultError: There is no such method, or the parameters are not its own.
        OcapError: What the kernel raised.
    """
    method = METHODS.get(name)
    if method is None:
        raise RpcFaultError(
            METHOD_NOT_FOUND,
            RpcError(
                f"There is no method {name[:100]!r}.",
                remedy=f"The methods are {', '.join(METHODS)}.",
                method=name[:100],
            ),
        )
    arguments = bind(name, method, params)
    try:
        return await method.call(service, arguments)
    except (ConfigError, OcapUrlError, RefError, UsageError) as error:
        # The parameters had the right types, but not the right form.
        raise RpcFaultError(INVALID_PARAMS, error) from error


def bind(name: str, method: Method, params: list[Any] | dict[str, Any]) -> dict[str, Any]:
    """Give parameters by name, checked (RpcFaultError -32602 naming the one that is wrong)."""
    names = [param.name for param in method.params]
    if isinstance(params, dict):
        for given in params:
            if given not in names:
                raise _wrong(name, given, f"{name} has no parameter {given[:100]!r}", names)
        arguments = params
    else:
        if len(params) > len(names):
            raise _wrong(name, None, f"{name} takes {len(names)} parameters at most, not {len(params)}", names)
        arguments = dict(zip(names, params, strict=False))
    for param in method.params:
        if param.name not in arguments:
            if param.required:
                raise _wrong(name, param.name, f"{name} needs the parameter {param.name!r}", names)
            continue
        expected = param.check(arguments[param.name])
        if expected is not None:
            found = json_type(arguments[param.name])
            raise _wrong(name, param.name, f"{param.name!r} of {name} has to be {expected}, not {found}", names)
    return arguments


def _wrong(method: str, param: str | None, problem: str, names: list[str]) -> RpcFaultError:
    remedy = f"The parameters of {method} are {', '.join(names)}." if names else f"{method} takes no parameters."
    return RpcFaultError(INVALID_PARAMS, RpcError(f"{problem}.", remedy=remedy, method=method, param=param))


# --- checks of parameters ------------------------------------------------------------------------------------------


def _text(value: object) -> str | None:
    return None if isinstance(value, str) else "a string"


def _array(value: object) -> str | None:
    return None if isinstance(value, list) else "an array"


def _object(value: object) -> str | None:
    return None if isinstance(value, dict) else "an object"


def _boolean(value: object) -> str | None:
    return None if isinstance(value, bool) else "a boolean"


def _state(value: object) -> str | None:
    return None if value in ("running", "quarantined") else '"running" or "quarantined"'


def _texts_by_name(value: object) -> str | None:
    if value is None or (isinstance(value, dict) and all(isinstance(item, str) for item in value.values())):
        return None
    return "an object of strings"


def _texts(value: object) -> str | None:
    if value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        return None
    return "an array of strings"


# --- methods -------------------------------------------------------------------------------------------------------


async def _ping(service: Service, arguments: dict[str, Any]) -> object:
    return "pong"


async def _get_status(service: Service, arguments: dict[str, Any]) -> object:
    status = service.kernel.status(arguments.get("state"))
    degraded = service.kernel.count_quarantined() > 0
    return {**status, "daemon": {**service.daemon_facts(), "state": "degraded" if degraded else "ready"}}


async def _launch(service: Service, arguments: dict[str, Any]) -> object:
    config = parse_cluster_config(arguments["config"])
    return await service.kernel.launch_subcluster(config)


async def _terminate_subcluster(service: Service, arguments: dict[str, Any]) -> None:
    parse_subcluster_id(arguments["id"])
    await service.kernel.terminate_subcluster(arguments["id"], by_host=service.is_host)


async def _terminate_vat(service: Service, arguments: dict[str, Any]) -> None:
    parse_vat_id(arguments["id"])
    await service.kernel.terminate_vat(arguments["id"], by_host=service.is_host)


async def _restart_vat(service: Service, arguments: dict[str, Any]) -> None:
    parse_vat_id(arguments["id"])
    await service.kernel.restart_vat(arguments["id"])


async def _terminate_all_vats(service: Service, arguments: dict[str, Any]) -> None:
    await service.kernel.terminate_all_vats(by_host=service.is_host)


async def _clear_state(service: Service, arguments: dict[str, Any]) -> None:
    await service.kernel.clear_state(by_host=service.is_host)


async def _collect_garbage(service: Service, arguments: dict[str, Any]) -> None:
    await service.kernel.collect_garbage()


async def _ping_vat(service: Service, arguments: dict[str, Any]) -> object:
    parse_vat_id(arguments["id"])
    return await service.kernel.ping_vat(arguments["id"])


async def _queue_message(service: Service, arguments: dict[str, Any]) -> object:
    parse_kref(arguments["kref"])
    answer = await service.kernel.queue_message(arguments["kref"], arguments["method"], arguments.get("args", []))
    return answer.to_json()


async def _revoke(service: Service, arguments: dict[str, Any]) -> None:
    parse_kref(arguments["kref"])
    service.kernel.revoke(arguments["kref"], by_host=service.is_host)


async def _is_revoked(service: Service, arguments: dict[str, Any]) -> object:
    parse_kref(arguments["kref"])
    return service.kernel.is_revoked(arguments["kref"])


async def _issue_ocap_url(service: Service, arguments: dict[str, Any]) -> object:
    parse_kref(arguments["kref"])
    return service.kernel.issue_ocap_url(arguments["kref"])


async def _redeem_ocap_url(service: Service, arguments: dict[str, Any]) -> object:
    return service.kernel.redeem_ocap_url(arguments["url"])


async def _pin(service: Service, arguments: dict[str, Any]) -> None:
    parse_kref(arguments["kref"])
    service.kernel.pin(arguments["kref"])


async def _unpin(service: Service, arguments: dict[str, Any]) -> None:
    parse_kref(arguments["kref"])
    service.kernel.unpin(arguments["kref"], by_host=service.is_host)


async def _execute_query(service: Service, arguments: dict[str, Any]) -> object:
    return service.kernel.execute_query(arguments["sql"])


async def _repair(service: Service, arguments: dict[str, Any]) -> object:
    parse_subcluster_id(arguments["id"])
    return await service.kernel.repair_subcluster(arguments["id"], arguments.get("bundles"), by_host=service.is_host)


async def _prune(service: Service, arguments: dict[str, Any]) -> object:
    ids = arguments.get("ids")
    for name in ids or ():
        parse_subcluster_id(name)
    return await service.kernel.prune_subclusters(
        ids, quarantined=arguments.get("quarantined", False), by_host=service.is_host
    )


async def _shutdown(service: Service, arguments: dict[str, Any]) -> object:
    service.request_stop()
    return {"status": "shutting down"}


_ID = Param("id", _text)
_KREF = Param("kref", _text)

METHODS: dict[str, Method] = {
    "ping": Method((), _ping),
    "getStatus": Method((Param("state", _state, required=False),), _get_status),
    "launchSubcluster": Method((Param("config", _object),), _launch),
    "terminateSubcluster": Method((_ID,), _terminate_subcluster),
    "terminateVat": Method((_ID,), _terminate_vat),
    "restartVat": Method((_ID,), _restart_vat),
    "terminateAllVats": Method((), _terminate_all_vats),
    "pingVat": Method((_ID,), _ping_vat),
    "queueMessage": Method((_KREF, Param("method", _text), Param("args", _array, required=False)), _queue_message),
    "revoke": Method((_KREF,), _revoke),
    "isRevoked": Method((_KREF,), _is_revoked),
    "issueOcapURL": Method((_KREF,), _issue_ocap_url),
    "redeemOcapURL": Method((Param("url", _text),), _redeem_ocap_url),
    "pin": Method((_KREF,), _pin),
    "unpin": Method((_KREF,), _unpin),
    "collectGarbage": Method((), _collect_garbage),
    "clearState": Method((), _clear_state),
    "executeDBQuery": Method((Param("sql", _text),), _execute_query),
    "repairSubcluster": Method((_ID, Param("bundles", _texts_by_name, required=False)), _repair),
    "pruneSubcluster": Method(
        (Param("ids", _texts, required=False), Param("quarantined", _boolean, required=False)), _prune
    ),
    "shutdown": Method((), _shutdown),
}
