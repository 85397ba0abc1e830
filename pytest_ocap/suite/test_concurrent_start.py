"""Many callers start the daemon at once: one comes up, and everybody gets it."""

from pytest_ocap.suite.variants import variants


@variants("concurrent_start")
def test_concurrent_start() -> None:
    """The contract of ``concurrent_start`` holds."""
