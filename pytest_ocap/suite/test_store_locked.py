"""A store that another process holds: the start waits or fails, and says what is in its way."""

from pytest_ocap.suite.variants import variants


@variants("store_locked")
def test_store_locked() -> None:
    """The contract of ``store_locked`` holds."""
