"""A start that is slow is waited for, and never called hung."""

from pytest_ocap.suite.variants import variants


@variants("slow_init")
def test_slow_init() -> None:
    """The contract of ``slow_init`` holds."""
