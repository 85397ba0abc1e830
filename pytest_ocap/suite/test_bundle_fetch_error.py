"""A bundle that cannot be fetched: a typed error at once, which names the file."""

from pytest_ocap.suite.variants import variants


@variants("bundle_fetch_error")
def test_bundle_fetch_error() -> None:
    """The contract of ``bundle_fetch_error`` holds."""
