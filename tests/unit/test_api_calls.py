"""The kernel as a library: its faces have the same methods, and those are the wire's."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import typing

from kernel import api
from kernel.api.async_calls import AsyncCalls
from kernel.api.blocking_calls import BlockingCalls
from kernel.daemon.methods import METHODS

CONVENIENCES = {"call", "send"}
"""What is no method of the wire."""


def snake_case(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=URL)$", "_", name)
    return spaced.strip("_").lower()


def methods_of(kind: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member) for name, member in vars(kind).items() if callable(member) and name[0] != "_"
    }


def test_each_method_of_the_wire_has_its_twin_and_nothing_else_is_there() -> None:
    wire = {snake_case(name) for name in METHODS}
    assert {"execute_db_query", "issue_ocap_url", "terminate_all_vats"} <= wire
    assert set(methods_of(AsyncCalls)) == wire | CONVENIENCES


def test_the_blocking_methods_are_the_asynchronous_ones_word_for_word() -> None:
    assert methods_of(BlockingCalls) == methods_of(AsyncCalls)
    for name in methods_of(AsyncCalls):
        asynchronous, blocking = getattr(AsyncCalls, name), getattr(BlockingCalls, name)
        assert asynchronous.__doc__ == blocking.__doc__
        assert inspect.iscoroutinefunction(asynchronous)
        assert not inspect.iscoroutinefunction(blocking)


def test_every_face_has_all_methods() -> None:
    assert issubclass(api.Kernel, AsyncCalls)
    assert issubclass(api.AsyncClient, AsyncCalls)
    assert issubclass(api.Client, BlockingCalls)


def test_the_annotations_can_be_read_at_run_time_by_whoever_imports_the_types() -> None:
    assert typing.get_type_hints(api.SubclusterStatus)["state"] == typing.Literal["running", "quarantined"]
    assert api.Launched._fields == ("subcluster_id", "root_kref", "bootstrap_result")


def test_the_library_is_no_part_of_the_command_or_of_the_daemon() -> None:
    program = (
        "import sys\n"
        "import kernel.cli.app, kernel.daemon.main, kernel.daemon.server, kernel.daemon.methods, kernel.engine\n"
        "print([name for name in sys.modules if name.startswith('kernel.api') or name == 'asyncio'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
