"""What a vat author imports: ``from kernel.vat import E, Exo``.

| name | what |
|---|---|
| `Exo` | base class of objects whose public methods other vats can call |
| `Durable` | base class of objects that survive restarts, state and all |
| `E` | ``E(reference).method(...)`` sends a message and gives a promise of its result |
| `PromiseKit` | a promise that the vat settles itself, later |
| `Promise`, `Presence` | what promises and references of other vats are, for annotations |
| `RemoteError` | what awaiting a rejected promise raises: ``name`` and ``message`` as they were at home |
| `Tagged`, `Symbol` | passable values that Python has no type of its own for |

Everything in this package runs inside a worker process, beside the vat's own code.  It may know the ground modules of
``kernel`` and nothing else: no store, no engine, no files, no sockets.
"""

from __future__ import annotations

from kernel.capdata import RemoteError, Symbol, Tagged
from kernel.vat.durable import Durable
from kernel.vat.exo import Exo
from kernel.vat.promise_kit import PromiseKit
from kernel.vat.references import E, Presence, Promise

__all__ = ["Durable", "E", "Exo", "Presence", "Promise", "PromiseKit", "RemoteError", "Symbol", "Tagged"]
