"""How long things take, each beside the floor below which this machine could not go, measured in the same run.

``python -m benchmarks`` prints the table and writes it as JSON; ``python -m benchmarks.compare A B`` prints the ratio
of two such files, or of two revisions, which it measures in turn.  A benchmark is one module of this package that makes
a :class:`benchmarks.table.Benchmark`, and a line in :mod:`benchmarks.all`.

``python -m benchmarks.scaling`` measures how all that grows, in homes that :mod:`benchmarks.homes` makes.  ``python -m
benchmarks.recording`` and ``python -m benchmarks.crash_states`` are tables of the parts that sweeps are made of.  With
``--page`` the table and that of growth are written into ``docs/performance.md``.

Nothing here asserts a time: machines differ, and a busy one is slower.  Whoever compares looks at ratios, and at the
processor time, which other people's load changes little.
"""
