"""The items of a sweep: shards of each workload."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_ocap.driver import lacks
from pytest_ocap.options import driver_of
from pytest_ocap.sweeps import options
from pytest_ocap.sweeps.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make an item for each shard of each workload; one that the driver cannot serve is skipped by name."""
    metafunc.parametrize(("workload", "shard"), list(_shards(metafunc.config)))


def _shards(config: pytest.Config) -> Iterator[object]:
    if not options.wanted(config):
        return
    wishes = options.wishes(config)
    width = len(str(wishes.shards))
    for name in wishes.workloads:
        lacking = lacks(driver_of(config), WORKLOADS[name].needs)
        if lacking is not None:
            yield pytest.param(name, 0, id=name, marks=pytest.mark.skip(reason=f"workload {name!r}: {lacking}"))
            continue
        for shard in range(wishes.shards):
            yield pytest.param(name, shard, id=f"{name}-{shard + 1:0{width}}of{wishes.shards}")


def test_sweep(workload: str, shard: int, request: pytest.FixtureRequest) -> None:
    """No fault at a point of this shard breaks an oracle."""
    from pytest_ocap.sweeps.face import face_of, shard_key
    from pytest_ocap.sweeps.running import PointError
    from pytest_ocap.sweeps.summary import explain
    from pytest_ocap.verdict import HarnessBrokenError, UnsupportedError

    try:
        found = face_of(request.config).sweeper().shard(workload, shard)
    except UnsupportedError as error:
        pytest.skip(str(error))
    except (HarnessBrokenError, PointError) as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    request.node.stash[shard_key] = found
    if found.red:
        pytest.fail(explain(found), pytrace=False)
