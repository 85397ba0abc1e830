"""The benchmarks, in the order of the table."""

from __future__ import annotations

from benchmarks import death, imports, markers, messages, recording, sizes, starting, suite, sweeping, vats

BENCHMARKS = (
    starting.BENCHMARK,
    sizes.BENCHMARK,
    death.BENCHMARK,
    messages.BENCHMARK,
    vats.BENCHMARK,
    suite.BENCHMARK,
    markers.BENCHMARK,
    sweeping.BENCHMARK,
    recording.BENCHMARK,
    imports.BENCHMARK,
    imports.PROJECT,
)
