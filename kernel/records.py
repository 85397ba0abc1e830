"""Records: tuples with named fields, declared and used as those of ``typing.NamedTuple``, and made much faster.

Importing ``typing`` and having it make the forty records of a daemon costs half as much as starting Python does, since
each gets a constructor of its own that is compiled from a text.  Here they share one.  To a type checker they are the
real thing.

Invariant: a record is a tuple of its fields in the order of their declaration, and cannot be changed.
"""

from __future__ import annotations

from operator import itemgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple as Record
else:

    class _RecordType(type):
        """Makes the classes: a class whose base is :class:`Record` itself declares the fields of its instances."""

        def __new__(cls, name, bases, namespace):
            declares = any(base.__name__ == "Record" for base in bases)
            defaults = {}
            if declares:
                fields = tuple(namespace.get("__annotations__", ()))
                defaults = {field: namespace[field] for field in fields if field in namespace}
                namespace = {
                    **namespace,
                    **{field: property(itemgetter(number)) for number, field in enumerate(fields)},
                    "_fields": fields,
                    "_field_defaults": defaults,
                    "__match_args__": fields,
                    "__slots__": (),
                }
            return super().__new__(cls, name, bases, namespace)

    class Record(tuple, metaclass=_RecordType):
        """A tuple with named fields."""

        __slots__ = ()
        _fields = ()

        def __new__(cls, *values, **named):
            """Take the fields by position or by name."""
            if not named and len(values) == len(cls._fields):
                return tuple.__new__(cls, values)
            return tuple.__new__(cls, _in_order(cls, values, named))

        def _replace(self, **changes):
            """Give a record with some fields changed."""
            return type(self)(**{**self._asdict(), **changes})

        def _asdict(self):
            """Give the fields by name."""
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            fields = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({fields})"

        def __getnewargs__(self):
            return tuple(self)

    def _in_order(cls, values, named):
        """Give the values in the fields' order, and the defaults of those left out; a TypeError says what is wrong."""
        fields = cls._fields
        given = dict(zip(fields, values, strict=False))
        twice = given.keys() & named.keys()
        unknown = named.keys() - set(fields)
        if len(values) > len(fields) or twice or unknown:
            wrong = ", ".join(sorted(twice | unknown)) or f"{len(values)} values for {len(fields)} fields"
            raise TypeError(f"{cls.__name__}({', '.join(fields)}) cannot take {wrong}")
        given = {**cls._field_defaults, **given, **named}
        if len(given) < len(fields):
            missing = ", ".join(field for field in fields if field not in given)
            raise TypeError(f"{cls.__name__}({', '.join(fields)}) lacks {missing}")
        return [given[field] for field in fields]


__all__ = ["Record"]
