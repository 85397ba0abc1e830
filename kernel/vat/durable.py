"""Durable objects: objects of a declared class whose state the store keeps, so that they outlive the vat's process.

Everything that such an object is given as an attribute is its state.  As in the baggage, values are kept encoded and
decoded at each reading: changing a list that was read changes nothing until it is put back.  A new incarnation makes
the objects anew from their state when they are first needed, without calling ``__init__``; others cannot tell them
apart.

Invariant: an object has one name for as long as it exists, whichever incarnation it lives in; its state goes when
neither the kernel nor the vat's code mentions it any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from weakref import ref

from kernel.capdata import decode, encode
from kernel.errors import CapDataError
from kernel.vat.exo import Exo
from kernel.vat.references import current_vat
from kernel.vat.texts import size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

    from kernel.capdata import CapData
    from kernel.smallcaps import ValueOf
    from kernel.vat.holdings import Imports

_RECORD = "_durable_record"


class Durable(Exo):
    """Base class of durable objects; attributes take what the baggage takes.

    ``kind`` names the class in the store; the class's name when left out.  It must not change while objects of the
    class exist, so that later versions of the vat's code find them.
    """

    kind: ClassVar[str | None] = None

    def __new__(cls, *_args: object, **_named: object) -> Self:
        """Make an object with its name; its state is empty."""
        if cls is Durable:
            raise TypeError("Durable is a base class: declare a class of your own")
        made = super().__new__(cls)
        object.__setattr__(made, _RECORD, current_vat().adopt(made))
        return made

    def __getattr__(self, name: str) -> Any:
        if name == _RECORD:
            raise AttributeError(name)
        return record_of(self).get(name, type(self).__name__)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(getattr(type(self), name, None), "__set__"):
            object.__setattr__(self, name, value)  # a property's own affair
        else:
            record_of(self).set(name, value, type(self).__name__)

    def __delattr__(self, name: str) -> None:
        record_of(self).delete(name, type(self).__name__)


def kind_of(cls: type[Durable]) -> str:
    """Give the name under which objects of a class are stored."""
    return cls.kind or cls.__name__


def kinds() -> dict[str, type[Durable]]:
    """Give the classes that are declared, by kind.

    Raises:
        TypeError: Two classes have the same kind.
    """
    found: dict[str, type[Durable]] = {}
    pending = Durable.__subclasses__()
    while pending:
        cls = pending.pop()
        other = found.setdefault(kind_of(cls), cls)
        if other is not cls:
            raise TypeError(
                f"two durable classes are of the kind {kind_of(cls)!r}: {other.__qualname__} and {cls.__qualname__}; "
                "give one of them another 'kind'"
            )
        pending += cls.__subclasses__()
    return found


class Record:
    """One object's state, by attribute, encoded."""

    def __init__(self, registry: Durables, vref: str, kind: str, fields: dict[str, CapData]) -> None:
        self._registry = registry
        self.vref = vref
        self.kind = kind
        self.fields = fields

    def get(self, name: str, class_name: str) -> Any:
        """Read an attribute."""
        try:
            data = self.fields[name]
        except KeyError:
            raise AttributeError(f"{class_name!r} object has no attribute {name!r}") from None
        return decode(data, self._registry.value_of, what=f"{class_name}.{name}")

    def set(self, name: str, value: Any, class_name: str) -> None:
        """Write an attribute; a TypeError says why a value cannot be kept."""
        try:
            self._registry.charge_for(self)
            data = self._registry.encode(value, f"{class_name}.{name}")
        except CapDataError as error:
            raise TypeError(error.message) from None
        self._registry.put(self, name, data)

    def delete(self, name: str, class_name: str) -> None:
        """Remove an attribute."""
        if name not in self.fields:
            raise AttributeError(f"{class_name!r} object has no attribute {name!r}")
        self._registry.put(self, name, None)


def record_of(durable: Durable) -> Record:
    """Give an object's record."""
    record = durable.__dict__[_RECORD]
    assert isinstance(record, Record)
    return record


class Durables:
    """The durable objects of one vat."""

    def __init__(
        self,
        imports: Imports,
        encode: Callable[[object, str], CapData],
        value_of: ValueOf,
        new_vref: Callable[[], str],
        charge: Callable[[int], None],
    ) -> None:
        """Make an empty registry.

        Args:
            imports: Told which imports the states mention.
            encode: Takes a value and what error messages call it; raises CapDataError for what cannot be kept.
            value_of: As for :func:`kernel.capdata.decode`.
            new_vref: Gives a name that was never used.
            charge: Takes how many bytes more the crank sends; raises CapDataError when that is too much.
        """
        self._imports = imports
        self.encode = encode
        self.value_of = value_of
        self._new_vref = new_vref
        self._charge = charge
        self._records: dict[str, Record] = {}
        self._live: dict[str, ref[Durable]] = {}
        self._known: set[str] = set()
        self._changed: dict[str, None] = {}
        self._doubtful: list[str] = []

    def load(self, entries: Iterable[tuple[str, str, CapData, bool]]) -> None:
        """Take over what earlier incarnations left: name, kind, state, and whether the kernel mentions it."""
        for vref, kind, data, known in entries:
            values = decode(data, what=f"the state of the durable object {vref}")
            self._records[vref] = Record(self, vref, kind, {name: encode(value) for name, value in values.items()})
            self._imports.arrived(data.slots)
            for field in self._records[vref].fields.values():
                self._imports.stored(field.slots)
            if known:
                self._known.add(vref)
            else:
                self._doubtful.append(vref)

    def check_kinds(self) -> None:
        """Make sure that every object's class is declared.

        Raises:
            TypeError: One is not, or two are of the same kind.
        """
        declared = kinds() if self._records or Durable.__subclasses__() else {}
        missing = sorted({record.kind for record in self._records.values()} - declared.keys())
        if missing:
            raise TypeError(
                f"the vat has durable objects of the kind {missing[0]!r}, and its code declares no such Durable class"
            )

    def adopt(self, made: Durable) -> Record:
        """Give a new object its name and its state."""
        vref = self._new_vref()
        record = self._records[vref] = Record(self, vref, kind_of(type(made)), {})
        self._live[vref] = ref(made, lambda _reference: self._doubtful.append(vref))
        self._changed[vref] = None
        return record

    def get(self, vref: str) -> Durable | None:
        """Give the object of a name, made anew from its state if need be; None when there is none."""
        reference = self._live.get(vref)
        found = None if reference is None else reference()
        record = self._records.get(vref)
        if found is None and record is not None:
            cls = kinds().get(record.kind)
            if cls is None:
                raise TypeError(f"the vat's code declares no Durable class of the kind {record.kind!r}")
            found = Exo.__new__(cls)
            object.__setattr__(found, _RECORD, record)
            self._live[vref] = ref(found, lambda _reference: self._doubtful.append(vref))
        return found

    def charge_for(self, record: Record) -> None:
        """Count the state that a change sends anew, when it is the crank's first."""
        if record.vref not in self._changed:
            self._charge(sum(len(name) + size_of(data.body) for name, data in record.fields.items()))

    def put(self, record: Record, name: str, data: CapData | None) -> None:
        """Write or remove an attribute."""
        earlier = record.fields.pop(name, None)
        if data is not None:
            self._imports.stored(data.slots)
            record.fields[name] = data
        if earlier is not None:
            self._imports.unstored(earlier.slots)
        if earlier != data:
            self._changed[record.vref] = None

    def retired(self, vref: str) -> None:
        """The kernel does not mention an object any more; names of objects that are not durable are passed over."""
        if vref in self._records:
            self._known.discard(vref)
            self._doubtful.append(vref)

    def take_changes(self) -> list[list[Any]]:
        """Give the changed states since the last call, as syscalls."""
        changed, self._changed = self._changed, {}
        records = [self._records[vref] for vref in changed if vref in self._records]
        return [["durableSet", record.vref, record.kind, _whole(record).to_json()] for record in records]

    def mentioned(self, syscall: list[Any]) -> None:
        """Note the names that the kernel hears of by a system call."""
        self._known.update(slot for slot in _slots_of(syscall) if slot in self._records)

    def take_deleted(self) -> list[list[Any]]:
        """Give the objects that nothing mentions, as syscalls, and forget them; after the changes of the same crank."""
        deleted: list[list[Any]] = []
        while self._doubtful:
            vref = self._doubtful.pop()
            reference = self._live.get(vref)
            if vref in self._known or vref not in self._records or (reference is not None and reference() is not None):
                continue
            for field in self._records.pop(vref).fields.values():
                self._imports.unstored(field.slots)
            self._live.pop(vref, None)
            deleted.append(["durableDelete", vref])
        return deleted

    def __bool__(self) -> bool:
        return bool(self._records)


def _whole(record: Record) -> CapData:
    return encode({name: decode(data) for name, data in record.fields.items()})


def _slots_of(syscall: list[Any]) -> Iterable[str]:
    """Give the names that a system call mentions."""
    if syscall[0] == "resolve":
        return [slot for _, _, data in syscall[1] for slot in data["slots"]]
    if syscall[0] == "send":
        return [syscall[1], *syscall[3]["slots"]]
    return syscall[-1]["slots"] if isinstance(syscall[-1], dict) else ()
