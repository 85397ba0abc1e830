"""What a marker arranges for a test: an arrangement, whose parts are done at three stages.

Invariant: the stages come in one order, whatever the order of markers and fixtures: first everything *in the home*,
then the first start, with everything *around* it, then what happens *after* it.  Within a stage the order is that of
the table in :mod:`pytest_ocap.arrangements`.  An arrangement stands beside its scenario or its fault, and knows the
driver protocol and its test's situation only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_ocap.driver import Outcome
    from pytest_ocap.situation import Daemon, Situation


class Arrangement:
    """What one marker arranges for one test; at a stage that a subclass leaves out it does nothing.

    What it changes it changes by way of its situation (:meth:`~pytest_ocap.situation.Situation.arm`, ``run_under``,
    ``undo_with``), which takes everything back.

    Attributes:
        marker: The marker's name.
        situation: The test's.
        values: The marker's arguments.
    """

    marker: ClassVar[str]

    def __init__(self, situation: Situation, values: Mapping[str, Any]) -> None:
        self.situation = situation
        self.values = values

    @property
    def given(self) -> Any:
        """What a test is handed that asks for what was arranged."""
        return self

    def in_the_home(self) -> None:
        """Before the start: arrange something in ``situation.store.home``, or elsewhere."""

    def around_the_start(self, start: Callable[[], Outcome]) -> Outcome:
        """Start the daemon for the first time, by ``start``: once, as here, or otherwise."""
        return start()

    def after_the_start(self, daemon: Daemon) -> None:
        """Let something happen to the daemon that was started."""
