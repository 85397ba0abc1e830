"""The store's schema, and the steps that bring an older store up to it.

``application_id`` says whose file it is, ``user_version`` which schema it has (https://sqlite.org/pragma.html).  A
new version adds a step to ``MIGRATIONS``; a step that has shipped is never edited.  References between records are
rows, never counters or text, so what holds an object or a promise alive can be asked of the store itself.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID = 0x4F434150  # "OCAP"

_VERSION_1 = """
CREATE TABLE kernel (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE subclusters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL CHECK (state IN ('launching', 'running')),
    config TEXT NOT NULL,
    launched_at TEXT NOT NULL
) STRICT;

CREATE TABLE quarantines (
    subcluster_id INTEGER PRIMARY KEY REFERENCES subclusters (id) ON DELETE CASCADE,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    remedy TEXT,
    vat TEXT,
    bundle_spec TEXT,
    path TEXT,
    since TEXT NOT NULL
) STRICT;

CREATE TABLE vats (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subcluster_id INTEGER NOT NULL REFERENCES subclusters (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    incarnation INTEGER NOT NULL DEFAULT 0,
    next_export INTEGER NOT NULL DEFAULT 1,
    next_promise INTEGER NOT NULL DEFAULT 1,
    next_import INTEGER NOT NULL DEFAULT 1,
    UNIQUE (subcluster_id, name)
) STRICT;

CREATE TABLE bundles (
    vat_id INTEGER PRIMARY KEY REFERENCES vats (id) ON DELETE CASCADE,
    spec TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size INTEGER,
    mtime_ns INTEGER,
    inode INTEGER,
    device INTEGER
) STRICT;

CREATE TABLE objects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER REFERENCES vats (id) ON DELETE SET NULL,
    revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1))
) STRICT;
CREATE INDEX objects_by_owner ON objects (owner);

CREATE TABLE channels (
    object_id INTEGER PRIMARY KEY REFERENCES objects (id),
    subcluster_id INTEGER NOT NULL REFERENCES subclusters (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    UNIQUE (subcluster_id, name)
) STRICT;

CREATE TABLE promises (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL DEFAULT 'unresolved' CHECK (state IN ('unresolved', 'fulfilled', 'rejected')),
    decider INTEGER REFERENCES vats (id) ON DELETE SET NULL,
    body TEXT,
    CHECK ((state = 'unresolved') = (body IS NULL))
) STRICT;
CREATE INDEX promises_by_decider ON promises (decider) WHERE decider IS NOT NULL;

CREATE TABLE promise_slots (
    promise_id INTEGER NOT NULL REFERENCES promises (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    object INTEGER REFERENCES objects (id),
    promise INTEGER REFERENCES promises (id),
    PRIMARY KEY (promise_id, position),
    CHECK ((object IS NULL) <> (promise IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX promise_slots_by_object ON promise_slots (object) WHERE object IS NOT NULL;
CREATE INDEX promise_slots_by_promise ON promise_slots (promise) WHERE promise IS NOT NULL;

CREATE TABLE subscribers (
    promise_id INTEGER NOT NULL REFERENCES promises (id) ON DELETE CASCADE,
    vat_id INTEGER NOT NULL REFERENCES vats (id) ON DELETE CASCADE,
    PRIMARY KEY (promise_id, vat_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX subscribers_by_vat ON subscribers (vat_id);

-- A delivery waits for the vat that owns its target; one whose target is an unresolved promise waits for the promise.
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('message', 'notify')),
    vat_id INTEGER REFERENCES vats (id) ON DELETE CASCADE,
    object INTEGER REFERENCES objects (id),
    promise INTEGER REFERENCES promises (id),
    method TEXT,
    body TEXT,
    result INTEGER REFERENCES promises (id),
    CHECK ((kind = 'message') = (method IS NOT NULL AND body IS NOT NULL)),
    CHECK ((object IS NULL) <> (promise IS NULL)),
    CHECK (kind = 'notify' OR (vat_id IS NULL) = (object IS NULL))
) STRICT;
CREATE INDEX deliveries_by_vat ON deliveries (vat_id, id) WHERE vat_id IS NOT NULL;
CREATE INDEX deliveries_by_object ON deliveries (object) WHERE object IS NOT NULL;
CREATE INDEX deliveries_by_promise ON deliveries (promise) WHERE promise IS NOT NULL;
CREATE INDEX deliveries_by_result ON deliveries (result) WHERE result IS NOT NULL;

CREATE TABLE delivery_slots (
    delivery_id INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    object INTEGER REFERENCES objects (id),
    promise INTEGER REFERENCES promises (id),
    PRIMARY KEY (delivery_id, position),
    CHECK ((object IS NULL) <> (promise IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_slots_by_object ON delivery_slots (object) WHERE object IS NOT NULL;
CREATE INDEX delivery_slots_by_promise ON delivery_slots (promise) WHERE promise IS NOT NULL;

CREATE TABLE clist (
    vat_id INTEGER NOT NULL REFERENCES vats (id) ON DELETE CASCADE,
    vref TEXT NOT NULL,
    object INTEGER REFERENCES objects (id),
    promise INTEGER REFERENCES promises (id),
    PRIMARY KEY (vat_id, vref),
    CHECK ((object IS NULL) <> (promise IS NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX clist_by_object ON clist (object, vat_id) WHERE object IS NOT NULL;
CREATE UNIQUE INDEX clist_by_promise ON clist (promise, vat_id) WHERE promise IS NOT NULL;

CREATE TABLE baggage (
    vat_id INTEGER NOT NULL REFERENCES vats (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (vat_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE baggage_slots (
    vat_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    position INTEGER NOT NULL,
    object INTEGER REFERENCES objects (id),
    promise INTEGER REFERENCES promises (id),
    PRIMARY KEY (vat_id, key, position),
    FOREIGN KEY (vat_id, key) REFERENCES baggage (vat_id, key) ON DELETE CASCADE,
    CHECK ((object IS NULL) <> (promise IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX baggage_slots_by_object ON baggage_slots (object) WHERE object IS NOT NULL;
CREATE INDEX baggage_slots_by_promise ON baggage_slots (promise) WHERE promise IS NOT NULL;
"""

# Whatever loses a mention of an object makes it a suspect, by triggers, so that no way of deleting a row can forget to.
# Version 1 collected no objects, so all of its are suspects at first.
_VERSION_2 = """
ALTER TABLE objects ADD COLUMN abandoned INTEGER NOT NULL DEFAULT 0 CHECK (abandoned IN (0, 1));
ALTER TABLE clist ADD COLUMN reachable INTEGER NOT NULL DEFAULT 1 CHECK (reachable IN (0, 1));

CREATE TABLE durables (
    vat_id INTEGER NOT NULL REFERENCES vats (id) ON DELETE CASCADE,
    vref TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (vat_id, vref)
) STRICT, WITHOUT ROWID;

CREATE TABLE durable_slots (
    vat_id INTEGER NOT NULL,
    vref TEXT NOT NULL,
    position INTEGER NOT NULL,
    object INTEGER REFERENCES objects (id),
    promise INTEGER REFERENCES promises (id),
    PRIMARY KEY (vat_id, vref, position),
    FOREIGN KEY (vat_id, vref) REFERENCES durables (vat_id, vref) ON DELETE CASCADE,
    CHECK ((object IS NULL) <> (promise IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX durable_slots_by_object ON durable_slots (object) WHERE object IS NOT NULL;
CREATE INDEX durable_slots_by_promise ON durable_slots (promise) WHERE promise IS NOT NULL;

-- What those outside hold: by a wish of theirs, or because it left in an answer.
CREATE TABLE pins (
    object INTEGER NOT NULL REFERENCES objects (id),
    reason TEXT NOT NULL CHECK (reason IN ('pinned', 'url')),
    PRIMARY KEY (object, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    object INTEGER NOT NULL UNIQUE REFERENCES objects (id)
) STRICT;

CREATE TABLE services (
    object_id INTEGER PRIMARY KEY REFERENCES objects (id),
    name TEXT NOT NULL UNIQUE
) STRICT;

ALTER TABLE subclusters ADD COLUMN system TEXT;
CREATE UNIQUE INDEX subclusters_by_system ON subclusters (system) WHERE system IS NOT NULL;

CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE suspects (
    object INTEGER PRIMARY KEY
) STRICT;

CREATE TRIGGER suspect_clist AFTER DELETE ON clist WHEN old.object IS NOT NULL
BEGIN INSERT OR IGNORE INTO suspects VALUES (old.object); END;
CREATE TRIGGER suspect_unreachable AFTER UPDATE OF reachable ON clist WHEN old.object IS NOT NULL AND new.reachable = 0
BEGIN INSERT OR IGNORE INTO suspects VALUES (old.object); END;
CREATE TRIGGER suspect_target AFTER DELETE ON deliveries WHEN old.object IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM clist WHERE object = old.object AND vat_id = old.vat_id AND vref = 'o+0')
BEGIN INSERT OR IGNORE INTO suspects VALUES (old.object); END;
CREATE TRIGGER suspect_delivery_slot AFTER DELETE ON delivery_slots WHEN old.object IS NOT NULL
BEGIN INSERT OR IGNORE INTO suspects VALUES (old.object); END;
CREATE TRIGGER suspect_promise_slot AFTER DELETE ON promise_slots WHEN old.object IS NOT NULL
BEGIN INSERT OR IGNORE INTO suspects VALUES (old.object); END;
CREATE TRIGGER suspect_baggage_slot AFTER DELETE ON baggage_slots WHEN old.object IS NOT NULL
BEGIN INSERT OR IGNORE INTO suspects VALUES (old.object); END;
CREATE TRIGGER suspect_durable_slot AFTER DELETE ON durable_slots WHEN old.object IS NOT NULL
BEGIN INSERT OR IGNORE INTO suspects VALUES (old.object); END;
CREATE TRIGGER suspect_channel AFTER DELETE ON channels
BEGIN DELETE FROM pins WHERE object = old.object_id; INSERT OR IGNORE INTO suspects VALUES (old.object_id); END;
CREATE TRIGGER suspect_pin AFTER DELETE ON pins
BEGIN INSERT OR IGNORE INTO suspects VALUES (old.object); END;
CREATE TRIGGER unpin_orphan AFTER UPDATE OF owner ON objects WHEN new.owner IS NULL AND old.owner IS NOT NULL
BEGIN DELETE FROM pins WHERE object = old.id; END;
CREATE TRIGGER suspect_lease AFTER DELETE ON leases
BEGIN INSERT OR IGNORE INTO suspects VALUES (old.object); END;
INSERT INTO suspects SELECT id FROM objects;
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2)
"""Step ``n`` (counted from 0) brings a store from version ``n`` to version ``n + 1``."""

SCHEMA_VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a store of an older version up to date, all in one transaction.

    Args:
        connection: A connection without a transaction of its own.
        version: The store's ``user_version``; 0 for an empty file.

    Raises:
        sqlite3.Error: The step failed; the store is as it was.
    """
    connection.execute("BEGIN EXCLUSIVE")
    try:
        for step in MIGRATIONS[version:]:
            for statement in _statements(step):
                connection.execute(statement)
        # Neither pragma takes a bound parameter; both values are integers of ours.
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION:d}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    """Split a script of ours at the semicolons that end its statements (``executescript`` would commit before it)."""
    return [statement for statement in script.split(";\n") if statement.strip()]
