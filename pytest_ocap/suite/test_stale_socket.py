"""Something else where the socket belongs: dead things are replaced, other people's left alone."""

from pytest_ocap.suite.variants import variants


@variants("stale_socket")
def test_stale_socket() -> None:
    """The contract of ``stale_socket`` holds."""
