"""A daemon booted on a store with exactly one missing bundle can be used as always."""

from pytest_ocap.suite.variants import variants


@variants("degraded_boot")
def test_degraded_boot() -> None:
    """The contract of ``degraded_boot`` holds."""
