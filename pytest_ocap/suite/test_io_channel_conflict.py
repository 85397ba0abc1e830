"""Something else at the path of an IO channel: the start goes on, and the channel's owner is contained and named."""

from pytest_ocap.suite.variants import variants


@variants("io_channel_conflict")
def test_io_channel_conflict() -> None:
    """The contract of ``io_channel_conflict`` holds."""
