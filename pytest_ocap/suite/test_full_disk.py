"""A disk without room: nothing is acknowledged that is not kept, and all goes on when there is room."""

from pytest_ocap.suite.variants import variants


@variants("full_disk")
def test_full_disk() -> None:
    """The contract of ``full_disk`` holds."""
