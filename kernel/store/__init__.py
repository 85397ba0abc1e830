"""The SQLite store: schema, migrations, and one module for each kind of record."""

from kernel.store.store import BatchLostError, Store

__all__ = ["BatchLostError", "Store"]
