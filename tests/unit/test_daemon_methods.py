"""The table of methods: parameters are checked before the kernel is asked, and the wrong one is named."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.daemon.methods import METHODS, bind, call_method
from kernel.daemon.rpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcFaultError
from kernel.loop import Loop


class NoKernel:
    """A service whose kernel must not be reached."""

    kernel: Any = None
    is_host = False

    def daemon_facts(self) -> dict[str, Any]:
        raise AssertionError("the kernel was asked")

    def request_stop(self) -> None:
        raise AssertionError("the daemon was stopped")


def fault_of(method: str, params: Any) -> RpcFaultError:
    loop = Loop()
    try:
        with pytest.raises(RpcFaultError) as caught:
            loop.run_until_complete(_calling(method, params))
    finally:
        loop.close()
    return caught.value


async def _calling(method: str, params: Any) -> object:
    return await call_method(NoKernel(), method, params)


def test_every_method_of_the_public_daemon_is_known() -> None:
    public = (
        "getStatus launchSubcluster terminateSubcluster terminateVat restartVat pingVat queueMessage revoke isRevoked "
        "collectGarbage clearState executeDBQuery issueOcapURL redeemOcapURL shutdown terminateAllVats"
    )
    assert set(public.split()) <= set(METHODS)


def test_an_unknown_method_is_named_and_the_known_ones_listed() -> None:
    fault = fault_of("getStaus", [])
    assert fault.rpc_code == METHOD_NOT_FOUND
    assert "'getStaus'" in fault.error.message
    assert "getStatus" in str(fault.error.remedy)


@pytest.mark.parametrize(
    ("method", "params", "named"),
    [
        ("ping", [1], "takes 0 parameters"),
        ("ping", {"x": 1}, "'x'"),
        ("getStatus", ["broken"], '\'state\' of getStatus has to be "running" or "quarantined"'),
        ("terminateVat", [], "'id'"),
        ("terminateVat", {"id": 7}, "'id' of terminateVat has to be a string, not a number"),
        ("queueMessage", ["ko1"], "'method'"),
        ("queueMessage", ["ko1", "m", {}], "'args' of queueMessage has to be an array, not an object"),
        ("queueMessage", [None, "m"], "'kref' of queueMessage has to be a string, not null"),
        ("launchSubcluster", {"config": "x"}, "'config'"),
        ("executeDBQuery", {"sql": ["x"]}, "'sql'"),
        ("repairSubcluster", {"id": "s1", "bundles": {"v": 1}}, "'bundles'"),
        ("pruneSubcluster", {"ids": "s1"}, "'ids'"),
        ("pruneSubcluster", {"quarantined": 1}, "'quarantined'"),
    ],
)
def test_a_wrong_parameter_is_named(method: str, params: Any, named: str) -> None:
    fault = fault_of(method, params)
    assert fault.rpc_code == INVALID_PARAMS
    assert named in fault.error.message


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("queueMessage", ["ko01", "m", []], "ref-invalid"),
        ("terminateSubcluster", {"id": "x1"}, "ref-invalid"),
        ("restartVat", {"id": "v"}, "ref-invalid"),
        ("pruneSubcluster", {"ids": ["s-1"]}, "ref-invalid"),
        ("launchSubcluster", {"config": {}}, "config-invalid"),
    ],
)
def test_a_malformed_value_is_an_invalid_parameter_with_the_kernels_code(method: str, params: Any, code: str) -> None:
    fault = fault_of(method, params)
    assert fault.rpc_code == INVALID_PARAMS
    assert fault.error.code == code


def test_parameters_bind_by_position_and_by_name_alike() -> None:
    by_name = bind("queueMessage", METHODS["queueMessage"], {"kref": "ko1", "method": "m", "args": [1]})
    assert bind("queueMessage", METHODS["queueMessage"], ["ko1", "m", [1]]) == by_name
