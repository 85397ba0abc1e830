"""IO channels as kernel objects: vats send them messages.

What a channel does leaves the kernel only after the crank that asked for it is durable.

Each subcluster's channels are opened on their own; one that fails is the affair of its subcluster only.  A read that
waits when the daemon ends is rejected at the next start, like everything that nobody can resolve any more.
"""

from __future__ import annotations

from kernel.capdata import CapData, decode, encode
from kernel.engine.answers import Answers
from kernel.engine.settlement import NOTHING, Settlement, rejection
from kernel.errors import CapDataError, IoChannelError, OcapError
from kernel.io import LineChannel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from kernel.config import IoConfig
    from kernel.engine.batch import Batch
    from kernel.engine.router import Router
    from kernel.events import Log
    from kernel.loop import Loop
    from kernel.store.references import ChannelRecord


class Channels:
    """The open channels of every subcluster."""

    def __init__(self, batch: Batch, router: Router, loop: Loop, log: Log) -> None:
        self._batch = batch
        self._router = router
        self._loop = loop
        self._log = log
        self._answers = Answers(batch, router, loop, log)
        self._open: dict[int, dict[str, LineChannel]] = {}

    def open_all(self, subcluster: int, io: Mapping[str, IoConfig]) -> None:
        """Open a subcluster's channels: all of them or none.  Those that are open stay so.

        Raises:
            IoChannelError: One of them cannot be opened, naming it and its path.
        """
        if subcluster in self._open:
            return
        opened: dict[str, LineChannel] = {}
        try:
            for name, config in io.items():
                channel = LineChannel(name, config.path, config.direction, loop=self._loop, log=self._log)
                channel.open()
                opened[name] = channel
        except BaseException:
            for channel in opened.values():
                channel.close()
            raise
        if opened:
            self._open[subcluster] = opened

    def rename(self, provisional: int, subcluster: int) -> None:
        """Give channels that were opened before their subcluster had an id to that subcluster."""
        opened = self._open.pop(provisional, None)
        if opened is not None:
            self._open[subcluster] = opened

    def close_all(self, subcluster: int) -> None:
        """Close a subcluster's channels."""
        for channel in self._open.pop(subcluster, {}).values():
            channel.close()

    def close(self) -> None:
        """Close every channel."""
        for subcluster in list(self._open):
            self.close_all(subcluster)

    def call(self, record: ChannelRecord, method: str, data: CapData, result: int | None) -> None:
        """Take a message to a channel, inside a crank's unit; its effect waits until that is durable."""
        self._batch.after_commit(self._perform, record, method, data, result)

    def _perform(self, record: ChannelRecord, method: str, data: CapData, result: int | None) -> None:
        try:
            channel = self._open.get(record.subcluster_id, {}).get(record.name)
            if channel is None:
                raise IoChannelError(f"the IO channel {record.name!r} is not open", channel=record.name)
            arguments: Any = decode(data)
            texts = isinstance(arguments, list) and all(isinstance(argument, str) for argument in arguments)
            if method == "read" and arguments == []:
                channel.read(lambda line: self._take(result, line))
            elif method == "write" and texts and len(arguments) == 1:
                channel.write(arguments[0])
                self._answers.give(result, NOTHING)
            else:
                raise IoChannelError(
                    f"the IO channel {record.name!r} has no method {method!r} with such arguments",
                    channel=record.name,
                    remedy="It has read() and write(text).",
                )
        except (IoChannelError, CapDataError) as error:
            self._answers.give(result, rejection(error))

    def _take(self, result: int | None, line: str | None) -> bool:
        """Answer a read with a line, unless whoever asked has ended meanwhile: then the line is for the next reader."""
        wanted = result is None or self._router.is_awaited(result)
        self._answers.give(result, _line(line) if wanted else NOTHING)
        return wanted


def _line(line: str | None) -> Settlement:
    try:
        return Settlement(False, encode(line).body, ())
    except OcapError as error:
        return rejection(error)
