"""The benchmarks, in the order of the table."""

from __future__ import annotations

from benchmarks import death, imports, starting, suite, vats

BENCHMARKS = (starting.BENCHMARK, death.BENCHMARK, vats.BENCHMARK, suite.BENCHMARK, imports.BENCHMARK, imports.PROJECT)
