"""The benchmarks, in the order of the table."""

from __future__ import annotations

from benchmarks import death, imports, messages, sizes, starting, suite, sweeping, vats

BENCHMARKS = (
    starting.BENCHMARK,
    sizes.BENCHMARK,
    sizes.LARGEST,
    death.BENCHMARK,
    messages.BENCHMARK,
    vats.BENCHMARK,
    suite.BENCHMARK,
    sweeping.BENCHMARK,
    imports.BENCHMARK,
    imports.PROJECT,
)
