"""A daemon killed in the middle of its stop: the next start finds everything."""

from pytest_ocap.suite.variants import variants


@variants("kill_at_stop")
def test_kill_at_stop() -> None:
    """The contract of ``kill_at_stop`` holds."""
