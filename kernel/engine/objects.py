"""What those outside the kernel can do with single objects: revoke, pin, and keep them as URLs."""

from __future__ import annotations

from kernel.refs import object_kref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernel.engine.batch import Batch
    from kernel.engine.lookup import Lookup
    from kernel.store import Store


class Objects:
    """This part of :class:`kernel.engine.kernel.Kernel`."""

    _store: Store
    _batch: Batch
    _lookup: Lookup

    def revoke(self, kref: str, *, by_host: bool = True) -> None:
        """Revoke an object, for good: messages to it are rejected from now on.

        Raises:
            RefError: ``kref`` is not an object's.
            NotFoundError: There is no such object.
            SystemSubclusterError: It is of a system subcluster of the host's, or a service or IO channel that one has.
            StoreError: The store failed; it is not revoked.
        """
        number = self._own_object(kref, by_host)
        with self._batch.unit():
            self._store.references.revoke(number)
            self._store.outside.unpin(number, "url")
        self._batch.commit()

    def is_revoked(self, kref: str) -> bool:
        """Say whether an object has been revoked.

        Raises:
            RefError: ``kref`` is not an object's.
            NotFoundError: There is no such object.
        """
        record = self._store.references.object(self._lookup.object(kref))
        assert record is not None
        return record.revoked

    def pin(self, kref: str) -> None:
        """Hold an object for those outside, for as long as its vat exists.  Idempotent.

        Raises:
            RefError: ``kref`` is not an object's.
            NotFoundError: There is no such object.
            StoreError: The store failed; it is not held.
        """
        number = self._lookup.object(kref)
        with self._batch.unit():
            self._store.outside.pin(number, "pinned")
        self._batch.commit()

    def unpin(self, kref: str, *, by_host: bool = True) -> None:
        """Hold an object no longer for those outside.  Idempotent; raises as :meth:`revoke`."""
        number = self._own_object(kref, by_host)
        with self._batch.unit():
            self._store.outside.unpin(number, "pinned")
        self._batch.commit()

    def issue_ocap_url(self, kref: str) -> str:
        """Give the URL by which this kernel, and no other, finds an object; see :mod:`kernel.engine.urls`.

        Raises:
            RefError: ``kref`` is not an object's.
            NotFoundError: There is no such object, or none any more.
            RevokedError, VatTerminatedError: It is no more, and why.
            StoreError: The store failed; there is no URL.
        """
        from kernel.engine.urls import issue

        number = self._lookup.living_object(kref)
        with self._batch.unit():
            url = issue(self._store, number)
        self._batch.commit()
        return url

    def redeem_ocap_url(self, url: str) -> str:
        """Give the kref of the object that a URL stands for.

        Raises:
            OcapUrlError: It is not a URL that this kernel has issued, or its object is no more.
            RevokedError: The object has been revoked.
        """
        from kernel.engine.urls import redeem

        with self._store.reading():
            return object_kref(redeem(self._store, url))

    def _own_object(self, kref: str, by_host: bool) -> int:
        """Give the number of an object that the caller may do away with (raises as :meth:`revoke`)."""
        number = self._lookup.object(kref)
        if not by_host and (system := self._store.subclusters.system_of_object(number)) is not None:
            self._lookup.check_owner(system, by_host, f"the object {kref} of ")
        return number
