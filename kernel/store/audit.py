"""The audit: whether the store's records of references agree with each other.

Each check is one statement that finds the rows which break one invariant; on a store that the kernel alone has written
none finds any, at any commit, whatever is under way.  Looks only.  What is made of the findings is not known here.
"""

from __future__ import annotations

from kernel.records import Record
from kernel.store.garbage import HELD

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

MOST = 20
"""How many findings one check gives at most."""

_VAT = "End the vat's subcluster with 'ocap subcluster terminate', or restore the store from a backup."
_RESTORE = "Restore the store from a backup."
_COLLECT = "Call 'collectGarbage': it looks at everything again, and removes this."


class Finding(Record):
    """One broken invariant: a stable code, a sentence, what to do, and the vat or reference that it concerns."""

    code: str
    message: str
    remedy: str
    vat: int | None
    kref: str | None


class Check(Record):
    """A statement that gives rows of (vat, object, promise, detail), and the sentence for each."""

    code: str
    sentence: str
    remedy: str
    sql: str


_OWN = "EXISTS (SELECT 1 FROM objects o WHERE o.id = c.object AND o.owner = c.vat_id)"

CHECKS: tuple[Check, ...] = (
    Check(
        "clist-damaged",
        "vat v{vat} has no root in its c-list",
        _VAT,
        "SELECT v.id, NULL, NULL, NULL FROM vats v"
        " WHERE NOT EXISTS (SELECT 1 FROM clist WHERE vat_id = v.id AND vref = 'o+0')",
    ),
    Check(
        "clist-damaged",
        "the c-list of vat v{vat} has the name {detail}, which does not fit {ref}",
        _VAT,
        "SELECT c.vat_id, c.object, c.promise, c.vref FROM clist c WHERE"
        " substr(c.vref, 1, 1) <> CASE WHEN c.object IS NULL THEN 'p' ELSE 'o' END"
        " OR substr(c.vref, 2, 1) NOT IN ('+', '-')"
        " OR CAST(CAST(substr(c.vref, 3) AS INTEGER) AS TEXT) <> substr(c.vref, 3)",
    ),
    Check(
        "clist-damaged",
        "the c-list of vat v{vat} has {ref} as its export {detail}, but it is not the vat's",
        _VAT,
        "SELECT c.vat_id, c.object, NULL, c.vref FROM clist c"
        f" WHERE c.object IS NOT NULL AND c.vref LIKE 'o+%' AND NOT {_OWN}",
    ),
    Check(
        "clist-damaged",
        "the c-list of vat v{vat} has {ref} as its import {detail}, but it is the vat's own",
        _VAT,
        "SELECT c.vat_id, c.object, NULL, c.vref FROM clist c"
        f" WHERE c.object IS NOT NULL AND c.vref LIKE 'o-%' AND {_OWN}",
    ),
    Check(
        "clist-damaged",
        "the c-list of vat v{vat} has the name {detail}, which the vat's counters say was never used",
        _VAT,
        "SELECT c.vat_id, c.object, c.promise, c.vref FROM clist c JOIN vats v ON v.id = c.vat_id"
        " WHERE CAST(substr(c.vref, 3) AS INTEGER) >= CASE WHEN c.vref LIKE '_-%' THEN v.next_import"
        " WHEN c.vref LIKE 'o+%' THEN v.next_export ELSE v.next_promise END AND c.vref <> 'o+0'",
    ),
    Check(
        "owner-damaged",
        "{ref} belongs to vat v{vat}, whose c-list does not have it",
        _VAT,
        "SELECT o.owner, o.id, NULL, NULL FROM objects o WHERE o.owner IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM clist WHERE vat_id = o.owner AND object = o.id)",
    ),
    Check(
        "owner-damaged",
        "{ref} is an IO channel or a kernel service, and belongs to vat v{vat}",
        _RESTORE,
        "SELECT o.owner, o.id, NULL, NULL FROM objects o JOIN"
        " (SELECT object_id FROM channels UNION ALL SELECT object_id FROM services) ON object_id = o.id"
        " WHERE o.owner IS NOT NULL",
    ),
    Check(
        "clist-damaged",
        "vat v{vat} keeps {ref} in its {detail}, and its c-list does not have it, or says that the vat cannot reach it",
        _VAT,
        "SELECT k.vat_id, k.object, NULL, k.place FROM ("
        "SELECT vat_id, object, 'baggage' AS place FROM baggage_slots WHERE object IS NOT NULL"
        " UNION ALL SELECT vat_id, object, 'durable objects' FROM durable_slots WHERE object IS NOT NULL) k"
        " WHERE NOT EXISTS (SELECT 1 FROM clist c WHERE c.vat_id = k.vat_id AND c.object = k.object"
        " AND (c.reachable = 1 OR c.vref LIKE 'o+%'))",
    ),
    Check(
        "durable-damaged",
        "vat v{vat} has a durable object by the name {detail}, which is none of its exports or was never used",
        _VAT,
        "SELECT d.vat_id, NULL, NULL, d.vref FROM durables d JOIN vats v ON v.id = d.vat_id"
        " WHERE d.vref NOT LIKE 'o+%' OR CAST(substr(d.vref, 3) AS INTEGER) NOT BETWEEN 1 AND v.next_export - 1",
    ),
    Check(
        "promise-damaged",
        "vat v{vat} is to resolve {ref}, which its c-list does not have",
        _VAT,
        "SELECT p.decider, NULL, p.id, NULL FROM promises p WHERE p.decider IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM clist WHERE vat_id = p.decider AND promise = p.id)",
    ),
    Check(
        "promise-damaged",
        "vat v{vat} waits for news of {ref}, which is resolved, and none is queued",
        "Restart the vat: what it still waits for is rejected then.",
        "SELECT s.vat_id, NULL, p.id, NULL FROM subscribers s JOIN promises p ON p.id = s.promise_id"
        " WHERE p.state <> 'unresolved'",
    ),
    Check(
        "queue-damaged",
        "the message no. {detail} to {ref} waits for vat v{vat}, which does not own that",
        _VAT,
        "SELECT d.vat_id, d.object, NULL, d.id FROM deliveries d JOIN objects o ON o.id = d.object"
        " WHERE d.object IS NOT NULL AND o.owner IS NOT d.vat_id",
    ),
    Check(
        "queue-damaged",
        "the message no. {detail} waits for {ref} to be resolved, which it is",
        _RESTORE,
        "SELECT NULL, NULL, p.id, d.id FROM deliveries d JOIN promises p ON p.id = d.promise"
        " WHERE d.kind = 'message' AND p.state <> 'unresolved'",
    ),
    Check(
        "queue-damaged",
        "news of {ref} waits for vat v{vat}, and it is not resolved",
        _VAT,
        "SELECT d.vat_id, NULL, p.id, NULL FROM deliveries d JOIN promises p ON p.id = d.promise"
        " WHERE d.kind = 'notify' AND p.state = 'unresolved'",
    ),
    Check(
        "queue-damaged",
        "the answer to message no. {detail} is to go to {ref}, which is resolved, or another vat's to resolve",
        _RESTORE,
        "SELECT NULL, NULL, p.id, d.id FROM deliveries d JOIN promises p ON p.id = d.result"
        " WHERE p.state <> 'unresolved' OR p.decider IS NOT NULL",
    ),
    Check(
        "leak",
        "nothing refers to {ref} any more, and it is still there",
        _COLLECT,
        "SELECT o.owner, o.id, NULL, NULL FROM objects o LEFT JOIN clist e ON e.vat_id = o.owner AND e.object = o.id"
        f" WHERE NOT {HELD} AND o.id NOT IN (SELECT object FROM suspects)"
        " AND (coalesce(e.reachable, 1) = 1"
        " OR NOT EXISTS (SELECT 1 FROM clist WHERE object = o.id AND vat_id IS NOT o.owner))",
    ),
)

_SLOTS = (
    ("deliveries", "delivery_slots", "id", "delivery_id", "message no. {detail}"),
    ("promises", "promise_slots", "id", "promise_id", "the value of the promise kp{detail}"),
    ("baggage", "baggage_slots", "vat_id, key", "vat_id, key", "the baggage of v{detail}"),
    ("durables", "durable_slots", "vat_id, vref", "vat_id, vref", "a durable object of v{detail}"),
)
"""What holds CapData: its table, that of its references, the columns that join them, and words for it."""


def _check_of_slots(table: str, slots: str, key: str, foreign: str, words: str) -> Check:
    return Check(
        "body-damaged",
        f"{words} has lost one of the references that it mentions, or its body",
        _RESTORE,
        f"SELECT NULL, NULL, NULL, {key.partition(',')[0]} FROM {table} WHERE substr(body, 1, 1) <> '#' OR ({key}) IN ("
        f"SELECT {foreign} FROM {slots} GROUP BY {foreign} HAVING count(*) <> max(position) + 1)",
    )


CHECKS += tuple(_check_of_slots(*names) for names in _SLOTS)


def audit(connection: sqlite3.Connection) -> list[Finding]:
    """Give what is wrong with the records of references; nothing for a store that is whole.

    Raises:
        sqlite3.Error: The store cannot be read.
    """
    found = []
    for check in CHECKS:
        for vat, number, promise, detail in connection.execute(check.sql).fetchmany(MOST):
            kref = f"ko{number}" if number is not None else None if promise is None else f"kp{promise}"
            sentence = check.sentence.format(vat=vat, ref=kref, detail=detail)
            found.append(Finding(check.code, sentence, check.remedy, vat, kref))
    return found
