"""Opening a store goes on where one of its locks is interrupted.

``fcntl(2)``: a lock that is not waited for can fail with EINTR too, most likely on a remote file.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from recorded import Recorded, home_in, record

import kernel
from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.points import points
from pytest_ocap.sweeps.supervisor import Supervisor

PROGRAM = f"""
sys.path.insert(0, {str(Path(kernel.__file__).parents[1])!r})
from kernel.store import Store
store = Store.open(os.path.abspath("store"))
print("new" if store.created else "old", flush=True)
os._exit(0)
"""


def steps_down(recorded: Recorded) -> list[str]:
    """Name the points at which SQLite keeps only a reader's lock of a writer's (https://sqlite.org/lockingv3.html)."""
    locks = [found for found in points(recorded.recording, "w", {Kind.LOCK}) if found[1].path == "store"]
    return [
        str(point)
        for (_, before), (point, call) in itertools.pairwise(locks)
        if before.operation is not None and call.operation == before.operation.replace("exclusive", "shared")
        if before.operation != call.operation
    ]


def test_a_store_is_made_though_every_step_down_of_its_locks_is_interrupted(
    supervisor: Supervisor, short_tmp: Path
) -> None:
    faults: list[str] = []
    for number in itertools.count():
        place = short_tmp / str(number)
        place.mkdir()
        done = record(supervisor, home_in(place), PROGRAM, *faults)
        assert (done.status, done.output) == (0, "new\n"), faults
        assert [str(firing.injection) for firing in done.reached.fired] == faults
        further = [point for point in steps_down(done) if f"{point}=EINTR" not in faults]
        if not further:
            break
        faults.append(f"{further[0]}=EINTR")
    assert faults
