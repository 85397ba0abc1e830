"""A pid file whose pid is somebody else's by now: that process is never touched."""

from pytest_ocap.suite.variants import variants


@variants("pid_reuse")
def test_pid_reuse() -> None:
    """The contract of ``pid_reuse`` holds."""
