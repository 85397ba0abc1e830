"""A start that must fail: at once, with its cause, leaving nothing."""

from pytest_ocap.suite.variants import variants


@variants("legible_fatal")
def test_legible_fatal() -> None:
    """The contract of ``legible_fatal`` holds."""
