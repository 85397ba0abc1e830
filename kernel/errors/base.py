"""The base of all errors: what every one of them has, and how an exception is told to others."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, ClassVar

_MAX_CAUSES = 16


class OcapError(Exception):
    """The kernel failed."""

    code: ClassVar[str] = "internal-error"
    exit_code: ClassVar[int] = 1
    by_code: ClassVar[dict[str, type[OcapError]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in vars(cls):
            if cls.code in OcapError.by_code:
                raise TypeError(f"error code {cls.code!r} is used by two classes")
            OcapError.by_code[cls.code] = cls

    def __init__(self, message: str | None = None, *, remedy: str | None = None, **data: Any) -> None:
        """Make an error.

        Args:
            message: What happened, naming the path or id concerned; the class's docstring when left out.
            remedy: The next step for the reader, as an imperative sentence.
            data: JSON-able facts for programs (``path=``, ``phase=``, ``subclusterId=``, ...).
        """
        doc = (type(self).__doc__ or "").strip().partition("\n")[0]
        self.message = message or doc
        self.remedy = remedy
        self.data: dict[str, Any] = {
            key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in data.items()
        }
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message

    def to_json(self) -> dict[str, Any]:
        """Give the error as JSON data: code, type, message, remedy, causes and the facts it carries."""
        record: dict[str, Any] = {**self.data, "code": self.code, "type": type(self).__name__, "message": self.message}
        if self.remedy:
            record["remedy"] = self.remedy
        causes = cause_chain(self)
        if causes:
            record["causes"] = causes
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> OcapError:
        """Rebuild an error that another process wrote with :meth:`to_json`; an unknown code gives the base class."""
        kind = OcapError.by_code.get(str(record.get("code")), OcapError)
        data = {str(key): value for key, value in record.items() if key not in ("type", "message", "remedy")}
        if kind.code == data.get("code"):
            del data["code"]
        error = kind.__new__(kind)
        OcapError.__init__(error, str(record.get("message") or "") or None, remedy=record.get("remedy") or None, **data)
        return error


OcapError.by_code[OcapError.code] = OcapError


def describe(error: BaseException) -> str:
    """Say in one line what an exception is: always its type, then its message, else its ``repr``.

    Never an object's default ``repr`` alone (``<X object at 0x...>`` tells a reader nothing).
    """
    name = type(error).__name__
    if isinstance(error, OcapError):
        return f"{name}: {error.message}"
    try:
        text = str(error).strip()
    except Exception as broken:  # noqa: BLE001 - an exception whose own __str__ fails must still be reported
        return f"{name} (its message could not be rendered: {type(broken).__name__})"
    if not text or (text.startswith("<") and " object at 0x" in text):
        fields = (
            {key: value for key, value in vars(error).items() if not key.startswith("__")}
            if hasattr(error, "__dict__")
            else {}
        )
        text = ", ".join(f"{key}={value!r}" for key, value in fields.items()) or "no message was given"
    return f"{name}: {text}"


def cause_chain(error: BaseException) -> list[str]:
    """Describe the causes of an exception, nearest first, without the exception itself; groups are opened."""
    described: list[str] = []
    seen = {id(error)}
    waiting: list[BaseException] = [error]
    while waiting and len(described) < _MAX_CAUSES:
        current = waiting.pop(0)
        following: list[BaseException] = []
        if current.__cause__ is not None:
            following.append(current.__cause__)
        elif current.__context__ is not None and not current.__suppress_context__:
            following.append(current.__context__)
        if sys.version_info >= (3, 11) and isinstance(current, BaseExceptionGroup):
            following.extend(current.exceptions)
        for cause in following:
            if id(cause) not in seen:
                seen.add(id(cause))
                described.append(describe(cause))
                waiting.append(cause)
    return described


def to_record(error: BaseException) -> dict[str, Any]:
    """Give any exception as JSON data in the form of :meth:`OcapError.to_json`."""
    if isinstance(error, OcapError):
        return error.to_json()
    record: dict[str, Any] = {"code": OcapError.code, "type": type(error).__name__, "message": describe(error)}
    if isinstance(error, OSError) and error.filename is not None:
        record["path"] = os.fsdecode(error.filename)
    causes = cause_chain(error)
    if causes:
        record["causes"] = causes
    return record
