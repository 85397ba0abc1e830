"""A daemon that dies right after it said that it is ready: nobody takes what it left for a daemon."""

from pytest_ocap.suite.variants import variants


@variants("ready_then_dies")
def test_ready_then_dies() -> None:
    """The contract of ``ready_then_dies`` holds."""
