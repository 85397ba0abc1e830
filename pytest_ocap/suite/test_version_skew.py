"""A store of another version: refused and left alone, or migrated whole."""

from pytest_ocap.suite.variants import variants


@variants("version_skew")
def test_version_skew() -> None:
    """The contract of ``version_skew`` holds."""
