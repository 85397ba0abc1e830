"""A log that cannot be written: the daemon says so, and never dies of it unheard."""

from pytest_ocap.suite.variants import variants


@variants("log_unwritable")
def test_log_unwritable() -> None:
    """The contract of ``log_unwritable`` holds."""
