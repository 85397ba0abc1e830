"""The supervisor: runs one vat in a worker process, frame by frame.

Frames are JSON arrays whose first item says what they are; the kernel sends ``start`` (after as many ``state`` as the
vat's state needs beside what ``start`` has of it), ``message``, ``notify``, ``gc`` and ``ping``, the worker answers
``started`` or ``failed``, ``done``, ``pong``, and sends ``log`` at any time. A ``done`` has everything that a crank
did; nothing else of a crank leaves the worker. What ``build_root_object`` did is handed over with the first ``done``:
starting is not a crank of its own.

Invariant: a frame of the wrong form ends the worker with a sentence that says why; so does whatever the supervisor
itself cannot carry on after. This module does not know what carries the frames.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from kernel.capdata import CapData
from kernel.errors import OcapError, VatProtocolError
from kernel.records import Record
from kernel.refs import parse_vref
from kernel.vat.exo import Exo
from kernel.vat.failures import message_of, traceback_of
from kernel.vat.liveslots import Liveslots
from kernel.vat.modules import BundleModules, Source
from kernel.vat.powers import Output, OutputStream, VatPowers
from kernel.vat.references import enter_vat

if TYPE_CHECKING:
    from collections.abc import Callable


class Bounds(Record):
    """What a vat may send, in bytes."""

    frame: int
    log_per_delivery: int


class Supervisor:
    """Answers the kernel's frames for one vat."""

    def __init__(self, send: Callable[[list[Any]], None], bounds: Bounds) -> None:
        self._send = send
        self._bounds = bounds
        self._output = Output(
            lambda level, text: send(["log", {"level": level, "text": text}]), bounds.log_per_delivery
        )
        self._streams = OutputStream(self._output, "info"), OutputStream(self._output, "warning")
        self._liveslots: Liveslots | None = None
        self._baggage: dict[str, CapData] = {}
        self._durables: list[tuple[str, str, CapData, bool]] = []

    def run(self, receive: Callable[[], object | None]) -> None:
        """Answer frames until there are no more, or the vat could not be started.

        Args:
            receive: Gives the next frame; None at the end.

        Raises:
            VatProtocolError: A frame is not of the right form.
        """
        stdout, stderr = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self._streams
        try:
            while (frame := receive()) is not None:
                if not self.handle(frame):
                    return
        finally:
            sys.stdout, sys.stderr = stdout, stderr

    def handle(self, frame: object) -> bool:
        """Answer one frame; False when the vat could not be started and there is nothing to go on with."""
        if not isinstance(frame, list) or not frame or not isinstance(frame[0], str):
            raise VatProtocolError("the kernel sent a frame that is not an array beginning with a name")
        kind, *rest = frame
        if kind == "ping" and not rest:
            self._send(["pong"])
            return True
        if len(rest) != 1 or not isinstance(rest[0], dict):
            raise VatProtocolError(f"the kernel sent a {kind!r} frame that does not have one object")
        fields = Fields(kind, rest[0])
        if kind == "start":
            return self._start(fields)
        if kind == "state":
            self._take_state(fields)
            return True
        if self._liveslots is None:
            raise VatProtocolError(f"the kernel sent a {kind!r} frame before the vat was started")
        if kind == "message":
            result = fields.take("result", str, None)
            self._liveslots.deliver_message(
                _vref(fields.take("target", str), "object"),
                fields.take("method", str),
                fields.capdata("args"),
                None if result is None else _vref(result, "promise"),
            )
        elif kind == "notify":
            self._liveslots.deliver_notify([_resolution(item) for item in fields.take("resolutions", list)])
        elif kind == "gc":
            drop, retire_exports, retire_imports = (
                [_vref(name, "object") for name in fields.take(field, list)]
                for field in ("dropExports", "retireExports", "retireImports")
            )
            reap = fields.take("bringOutYourDead", bool, False)
            self._liveslots.deliver_garbage(drop, retire_exports, retire_imports, reap=reap)
        else:
            raise VatProtocolError(f"the kernel sent a frame of the unknown kind {kind!r}")
        done = self._liveslots.finish_crank()
        self._finish_output()
        self._send(["done", done])
        return True

    def _take_state(self, fields: Fields) -> None:
        if self._liveslots is not None:
            raise VatProtocolError("the kernel sent state to a vat that has been started")
        for key, value in fields.take("baggage", dict).items():
            self._baggage[key] = _capdata(f"baggage[{key!r}]", value)
        self._durables += map(_durable, fields.take("durables", list, []))

    def _start(self, fields: Fields) -> bool:
        if self._liveslots is not None:
            raise VatProtocolError("the kernel started the vat twice")
        entry, modules = _bundle(fields.take("bundle", dict))
        self._take_state(fields)
        liveslots = Liveslots(
            next_export=fields.take("nextExport", int),
            next_promise=fields.take("nextPromise", int),
            baggage=self._baggage,
            log=self._output.write,
            crank_bytes=self._bounds.frame // 8 * 7,
            durables=self._durables,
        )
        self._baggage, self._durables = {}, []
        names = fields.take("globals", list, [])
        parameters = fields.get("parameters")
        enter_vat(liveslots)
        try:
            root = _build_root(entry, modules, VatPowers(self._output, names, liveslots.leave), parameters, liveslots)
            liveslots.durables.check_kinds()
        except BaseException as error:  # noqa: BLE001  (whatever the vat's code raises, SystemExit too, is its failure)
            self._finish_output()
            self._send(
                [
                    "failed",
                    {"type": type(error).__name__, "message": message_of(error), "traceback": traceback_of(error)},
                ]
            )
            return False
        liveslots.set_root(root)
        self._liveslots = liveslots
        self._finish_output()
        self._send(["started", {}])
        return True

    def _finish_output(self) -> None:
        for stream in self._streams:
            stream.flush()
        self._output.finish_delivery()


class Fields:
    """The fields of a frame, taken with their types."""

    def __init__(self, kind: str, values: dict[str, Any]) -> None:
        self._kind = kind
        self._values = values

    def get(self, name: str) -> Any:
        """Give a field of any type; None when it is missing."""
        return self._values.get(name)

    def take(self, name: str, kind: type, *default: Any) -> Any:
        """Give a field of one type, or the default for one that is missing or null."""
        value = self._values.get(name)
        if value is None and default:
            return default[0]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise VatProtocolError(f"{name!r} in the kernel's {self._kind!r} frame is not of type {kind.__name__}")
        return value

    def capdata(self, name: str) -> CapData:
        """Give a field that is CapData."""
        return _capdata(f"{name!r} in the kernel's {self._kind!r} frame", self._values.get(name))


def _capdata(what: str, value: object) -> CapData:
    try:
        return CapData.from_json(value)
    except OcapError as error:
        raise VatProtocolError(f"{what} is not CapData: {error}") from error


def _vref(text: object, kind: str) -> str:
    try:
        vref = parse_vref(text)
    except OcapError as error:
        raise VatProtocolError(f"the kernel named a reference wrongly: {error}") from error
    if vref.kind != kind:
        raise VatProtocolError(f"the kernel named {text} where the vref of a {kind} belongs")
    return str(text)


def _resolution(item: object) -> tuple[str, bool, CapData]:
    if not isinstance(item, list) or len(item) != 3 or not isinstance(item[1], bool):
        raise VatProtocolError("the kernel sent a resolution that is not [vref, rejected, value]")
    return _vref(item[0], "promise"), item[1], _capdata("the value of a resolution", item[2])


def _durable(item: object) -> tuple[str, str, CapData, bool]:
    if not isinstance(item, list) or len(item) != 4 or not isinstance(item[1], str) or not isinstance(item[3], bool):
        raise VatProtocolError("the kernel sent a durable object that is not [vref, kind, state, exported]")
    return _vref(item[0], "object"), item[1], _capdata("the state of a durable object", item[2]), item[3]


def _bundle(bundle: dict[str, Any]) -> tuple[str, dict[str, Source]]:
    entry, modules = bundle.get("entry"), bundle.get("modules")
    if not isinstance(entry, str) or not isinstance(modules, dict):
        raise VatProtocolError("the kernel sent a bundle without entry or modules")
    sources = {}
    for name, module in modules.items():
        if not isinstance(module, dict):
            raise VatProtocolError(f"the kernel sent a bundle whose module {name!r} is no object")
        fields = Fields("start", module)
        sources[name] = Source(
            fields.take("path", str), fields.take("source", str), fields.take("is_package", bool, False)
        )
    return entry, sources


def _build_root(
    entry: str, sources: dict[str, Source], powers: VatPowers, parameters: Any, liveslots: Liveslots
) -> Exo:
    module = BundleModules(sources).load(entry)
    build = getattr(module, "build_root_object", None)
    if not callable(build):
        raise TypeError(f"{sources[entry].path} has no function build_root_object(vat_powers, parameters, baggage)")
    root = build(powers, parameters, liveslots.baggage)
    if not isinstance(root, Exo):
        raise TypeError(f"build_root_object() must return an Exo, and returned a {type(root).__qualname__}")
    return root
