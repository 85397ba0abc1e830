"""A store some of whose bundles are gone: the start goes on without them, and says so."""

from pytest_ocap.suite.variants import variants


@variants("missing_bundle")
def test_missing_bundle() -> None:
    """The contract of ``missing_bundle`` holds."""
