-- A store of schema version 1, as the kernel wrote it; @BUNDLES@ stands for the URL of the folder of its bundles.
PRAGMA application_id = 1329807696;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE baggage (
    vat_id INTEGER NOT NULL REFERENCES vats (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (vat_id, key)
) STRICT, WITHOUT ROWID;
INSERT INTO "baggage" VALUES(1,'count','#3');
INSERT INTO "baggage" VALUES(2,'peer','#"$0"');
INSERT INTO "baggage" VALUES(3,'kept','#"$0.Alleged: Cell"');
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
INSERT INTO "baggage_slots" VALUES(2,'peer',0,3,NULL);
INSERT INTO "baggage_slots" VALUES(3,'kept',0,5,NULL);
CREATE TABLE bundles (
    vat_id INTEGER PRIMARY KEY REFERENCES vats (id) ON DELETE CASCADE,
    spec TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size INTEGER,
    mtime_ns INTEGER,
    inode INTEGER,
    device INTEGER
) STRICT;
INSERT INTO "bundles" VALUES(1,'@BUNDLES@/counter.bundle','d887f103e7d5c141223160bdcc2eb924f4404d1da5acd8cec5aad8f9124dbfc6',742,1795533089961909949,2148563,65024);
INSERT INTO "bundles" VALUES(2,'@BUNDLES@/holder.bundle','4880252e6fee6022fba11c1bf8129ba1bbdff3646374696706ccca1b6660f54e',985,1795533090043640320,2148517,65024);
INSERT INTO "bundles" VALUES(3,'@BUNDLES@/keeper.bundle','2da3f8639e8efd55cd3d95a7ea75786d87fda7bba9002599b87d28c3d5f03b3d',707,1795533090044499509,2148594,65024);
CREATE TABLE channels (
    object_id INTEGER PRIMARY KEY REFERENCES objects (id),
    subcluster_id INTEGER NOT NULL REFERENCES subclusters (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    UNIQUE (subcluster_id, name)
) STRICT;
CREATE TABLE clist (
    vat_id INTEGER NOT NULL REFERENCES vats (id) ON DELETE CASCADE,
    vref TEXT NOT NULL,
    object INTEGER REFERENCES objects (id),
    promise INTEGER REFERENCES promises (id),
    PRIMARY KEY (vat_id, vref),
    CHECK ((object IS NULL) <> (promise IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO "clist" VALUES(1,'o+0',1,NULL);
INSERT INTO "clist" VALUES(2,'o+0',2,NULL);
INSERT INTO "clist" VALUES(2,'o+1',4,NULL);
INSERT INTO "clist" VALUES(2,'o+2',5,NULL);
INSERT INTO "clist" VALUES(2,'o-1',3,NULL);
INSERT INTO "clist" VALUES(3,'o+0',3,NULL);
INSERT INTO "clist" VALUES(3,'o-1',4,NULL);
INSERT INTO "clist" VALUES(3,'o-4',5,NULL);
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
INSERT INTO "deliveries" VALUES(17,'message',1,1,NULL,'increment','#[]',13);
CREATE TABLE delivery_slots (
    delivery_id INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    object INTEGER REFERENCES objects (id),
    promise INTEGER REFERENCES promises (id),
    PRIMARY KEY (delivery_id, position),
    CHECK ((object IS NULL) <> (promise IS NULL))
) STRICT, WITHOUT ROWID;
CREATE TABLE kernel (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE objects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER REFERENCES vats (id) ON DELETE SET NULL,
    revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1))
) STRICT;
INSERT INTO "objects" VALUES(1,1,0);
INSERT INTO "objects" VALUES(2,2,0);
INSERT INTO "objects" VALUES(3,3,0);
INSERT INTO "objects" VALUES(4,2,0);
INSERT INTO "objects" VALUES(5,2,0);
CREATE TABLE promise_slots (
    promise_id INTEGER NOT NULL REFERENCES promises (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    object INTEGER REFERENCES objects (id),
    promise INTEGER REFERENCES promises (id),
    PRIMARY KEY (promise_id, position),
    CHECK ((object IS NULL) <> (promise IS NULL))
) STRICT, WITHOUT ROWID;
CREATE TABLE promises (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL DEFAULT 'unresolved' CHECK (state IN ('unresolved', 'fulfilled', 'rejected')),
    decider INTEGER REFERENCES vats (id) ON DELETE SET NULL,
    body TEXT,
    CHECK ((state = 'unresolved') = (body IS NULL))
) STRICT;
INSERT INTO "promises" VALUES(10,'fulfilled',NULL,'#7');
INSERT INTO "promises" VALUES(13,'unresolved',NULL,NULL);
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
CREATE TABLE subclusters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL CHECK (state IN ('launching', 'running')),
    config TEXT NOT NULL,
    launched_at TEXT NOT NULL
) STRICT;
INSERT INTO "subclusters" VALUES(1,'running','{"bootstrap":"main","vats":{"main":{"bundleSpec":"@BUNDLES@/counter.bundle"}}}','2026-11-24T15:11:29.962Z');
INSERT INTO "subclusters" VALUES(2,'running','{"bootstrap":"holder","vats":{"holder":{"bundleSpec":"@BUNDLES@/holder.bundle"},"keeper":{"bundleSpec":"@BUNDLES@/keeper.bundle"}}}','2026-11-24T15:11:30.044Z');
CREATE TABLE subscribers (
    promise_id INTEGER NOT NULL REFERENCES promises (id) ON DELETE CASCADE,
    vat_id INTEGER NOT NULL REFERENCES vats (id) ON DELETE CASCADE,
    PRIMARY KEY (promise_id, vat_id)
) STRICT, WITHOUT ROWID;
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
INSERT INTO "vats" VALUES(1,1,'main',1,1,1,5);
INSERT INTO "vats" VALUES(2,2,'holder',1,3,5,6);
INSERT INTO "vats" VALUES(3,2,'keeper',1,1,1,6);
CREATE INDEX objects_by_owner ON objects (owner);
CREATE INDEX promises_by_decider ON promises (decider) WHERE decider IS NOT NULL;
CREATE INDEX promise_slots_by_object ON promise_slots (object) WHERE object IS NOT NULL;
CREATE INDEX promise_slots_by_promise ON promise_slots (promise) WHERE promise IS NOT NULL;
CREATE INDEX subscribers_by_vat ON subscribers (vat_id);
CREATE INDEX deliveries_by_vat ON deliveries (vat_id, id) WHERE vat_id IS NOT NULL;
CREATE INDEX deliveries_by_object ON deliveries (object) WHERE object IS NOT NULL;
CREATE INDEX deliveries_by_promise ON deliveries (promise) WHERE promise IS NOT NULL;
CREATE INDEX deliveries_by_result ON deliveries (result) WHERE result IS NOT NULL;
CREATE INDEX delivery_slots_by_object ON delivery_slots (object) WHERE object IS NOT NULL;
CREATE INDEX delivery_slots_by_promise ON delivery_slots (promise) WHERE promise IS NOT NULL;
CREATE UNIQUE INDEX clist_by_object ON clist (object, vat_id) WHERE object IS NOT NULL;
CREATE UNIQUE INDEX clist_by_promise ON clist (promise, vat_id) WHERE promise IS NOT NULL;
CREATE INDEX baggage_slots_by_object ON baggage_slots (object) WHERE object IS NOT NULL;
CREATE INDEX baggage_slots_by_promise ON baggage_slots (promise) WHERE promise IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('subclusters',2);
INSERT INTO "sqlite_sequence" VALUES('vats',3);
INSERT INTO "sqlite_sequence" VALUES('objects',5);
INSERT INTO "sqlite_sequence" VALUES('promises',13);
INSERT INTO "sqlite_sequence" VALUES('deliveries',17);
COMMIT;
