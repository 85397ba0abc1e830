"""How long it takes to find the crash states of a workload, beside what it costs to copy the home once for each.

    python -m benchmarks.crash_states

The workload is the calls of a database with a write-ahead log: each transaction appends frames (a header of 24 bytes
and a page) and syncs, every fiftieth copies pages into the database and syncs that; a text log beside it is never
synced.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from pytest_ocap.sweeps.calls import Call, Kind, Recording
from pytest_ocap.sweeps.crash import Bound, CrashStates, Image, Model

PAGE = 4096
HEADER = 24


class _Workload:
    """Writes a recording as a database would."""

    def __init__(self, *, syncs: bool) -> None:
        self.calls: list[Call] = []
        self.syncs = syncs
        self.log_size = 0

    def add(self, kind: Kind, path: str, **fields: Any) -> None:
        number = len(self.calls)
        values: dict[str, Any] = {"offset": None, "data": None, "created": False, **fields}
        data = values["data"]
        result = len(data) if isinstance(data, bytes) else 0
        self.calls.append(
            Call(
                number=number,
                process="0",
                pid=1,
                thread=1,
                name=str(kind),
                kind=kind,
                path=path,
                began=float(number),
                ended=number + 0.5,
                result=result,
                **values,
            )
        )

    def transaction(self, number: int, frame: int) -> int:
        for page in range(3):
            at = 32 + frame * (HEADER + PAGE)
            self.add(Kind.WRITE, "store-wal", offset=at, data=bytes([number % 255 + 1]) * HEADER)
            self.add(Kind.WRITE, "store-wal", offset=at + HEADER, data=(b"%d.%d " % (number, page)).ljust(PAGE, b"x"))
            frame += 1
        if self.syncs:
            self.add(Kind.SYNC, "store-wal", data_only=True)
        line = b"transaction %d\n" % number
        self.add(Kind.WRITE, "daemon.log", offset=self.log_size, data=line)
        self.log_size += len(line)
        return frame

    def checkpoint(self, number: int) -> None:
        for page in range(6):
            self.add(Kind.WRITE, "store", offset=(number * 7 + page) * PAGE % (4 << 20), data=b"c%d" % number * 1000)
        if self.syncs:
            self.add(Kind.SYNC, "store", data_only=True)


def workload(calls: int, *, syncs: bool) -> Recording:
    """Make a recording of about so many calls."""
    made = _Workload(syncs=syncs)
    made.add(Kind.OPEN, "store-wal", created=True)
    made.add(Kind.OPEN, "daemon.log", created=True)
    frame = number = 0
    while len(made.calls) < calls:
        number += 1
        frame = made.transaction(number, frame)
        if number % 50 == 0:
            made.checkpoint(number)
            frame = 0
    return Recording("benchmark", tuple(made.calls))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(calls: int, *, syncs: bool) -> None:
    """Measure one workload and print a line."""
    with tempfile.TemporaryDirectory(prefix="oc-") as folder:
        home = Path(folder, "home")
        home.mkdir()
        (home / "store").write_bytes(bytes(range(256)) * (4 << 12))
        image = Image.read(home)
        recording = workload(calls, syncs=syncs)
        began = time.process_time()
        states = CrashStates(image, recording, models=(Model.EXT4, Model.STRICT), bound=Bound())
        found = len(states)
        search = time.process_time() - began

        sample = states.first(100)
        began = time.process_time()
        for number, state in enumerate(sample):
            place = Path(folder, f"state-{number}")
            place.mkdir()
            state.materialise(place)
        made = (time.process_time() - began) / len(sample)
        # What a state costs at least: a copy of a home as large.
        began = time.process_time()
        for number in range(len(sample)):
            shutil.copytree(Path(folder, f"state-{number}"), Path(folder, f"copy-{number}"))
        copied = (time.process_time() - began) / len(sample)
    print(
        f"{'synced' if syncs else 'never synced':>12}: {len(recording.calls)} calls, {found} states of "
        f"{states.proposed} losses in {search:.2f} s of CPU; {search / found * 1e6:.0f} µs a state = "
        f"{search / found / copied:.3f} copies of the home; put on disk in {made * 1e3:.2f} ms = "
        f"{made / copied:.2f} copies; peak {_peak_mib():.0f} MiB"
    )


def main() -> None:
    """Measure with and without syncs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000)
    calls = parser.parse_args().calls
    for syncs in (True, False):
        measure(calls, syncs=syncs)


if __name__ == "__main__":
    main()
