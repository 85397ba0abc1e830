"""A promise that vat code settles itself, sooner or later: what a vat answers with when it does not know yet.

Invariant: the first settlement counts; later ones are of no effect.
"""

from __future__ import annotations

from kernel.capdata import RemoteError
from kernel.vat.references import Promise, current_vat


class PromiseKit:
    """A new promise, and the means to settle it.

    The promise can be returned, passed on and sent to like any other.  It does not survive a restart of the vat: those
    who wait for it are told then.
    """

    __slots__ = ("_settled", "_vat", "promise")

    def __init__(self) -> None:
        self._vat = current_vat()
        self._settled = False
        self.promise = Promise(self._vat, None, decided_here=True)
        """The promise."""

    def resolve(self, value: object = None) -> None:
        """Fulfil the promise with a value; with another promise, it becomes whatever becomes of that."""
        if not self._settled:
            self._settled = True
            self._vat.resolve(self.promise, value)

    def reject(self, reason: BaseException | str) -> None:
        """Reject the promise with an error, or a text for one."""
        if not self._settled:
            self._settled = True
            self._vat.reject(self.promise, RemoteError("Error", reason) if isinstance(reason, str) else reason)
