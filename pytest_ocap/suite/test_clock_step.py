"""The wall clock jumps under a daemon, and between two of its runs."""

from pytest_ocap.suite.variants import variants


@variants("clock_step")
def test_clock_step() -> None:
    """The contract of ``clock_step`` holds."""
