"""A home that cannot be written: the start says so, with the path."""

from pytest_ocap.suite.variants import variants


@variants("read_only_home")
def test_read_only_home() -> None:
    """The contract of ``read_only_home`` holds."""
