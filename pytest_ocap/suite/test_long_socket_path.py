"""The longest path that a socket can have works; one byte more is refused by name."""

from pytest_ocap.suite.variants import variants


@variants("long_socket_path")
def test_long_socket_path() -> None:
    """The contract of ``long_socket_path`` holds."""
