"""A daemon killed alone, its workers not: they end, and the next daemon goes on."""

from pytest_ocap.suite.variants import variants


@variants("orphaned_worker")
def test_orphaned_worker() -> None:
    """The contract of ``orphaned_worker`` holds."""
