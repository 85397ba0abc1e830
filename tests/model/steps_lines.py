"""Steps: a process outside is connected to a subcluster's IO channel; lines go to the vat, and come from it.

What is promised, and checked: each line that comes goes to one living reader, in order, and the end of a client once
after its last line; lines that a vat writes leave once their cranks are durable, in order, and at most once.  While
the kernel lives each leaves exactly once, as long as the client reads; what waits when the kernel ends is lost.
"""

from __future__ import annotations

import socket

from driving import FEW, PICK
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from kernels import PATIENCE_SECONDS, Sent
from steps_lives import Lives
from world import Cluster, Party, Uncertain, Waiting


class Caller:
    """A process outside, connected to an IO channel."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_SECONDS)
        self._socket.connect(path)
        self._received = b""
        self._seen = 0

    def say(self, text: str) -> None:
        """Send text, with its line ends."""
        self._socket.sendall(text.encode())

    def hear(self, count: int) -> list[str]:
        """Wait until there are so many lines that were not given yet, if the connection lasts; give them all."""
        while self._received[self._seen :].count(b"\n") < count and (data := self._socket.recv(4096)):
            self._received += data
        return self._lines()

    def hear_what_is_there(self) -> None:
        """Take what has come, and do not wait."""
        self._socket.setblocking(False)
        try:
            while data := self._socket.recv(4096):
                self._received += data
        except BlockingIOError:
            pass
        finally:
            self._socket.settimeout(PATIENCE_SECONDS)

    def hear_the_end(self) -> None:
        """Take all until the connection ends."""
        try:
            while data := self._socket.recv(4096):
                self._received += data
        except ConnectionResetError:
            pass

    def _lines(self) -> list[str]:
        *lines, _rest = self._received[self._seen :].decode().split("\n")
        self._seen = self._received.rindex(b"\n") + 1 if b"\n" in self._received else 0
        return lines

    def leave(self) -> None:
        """End the connection."""
        self._socket.close()


class Lines(Lives):
    """What is read and written."""

    def __init__(self) -> None:
        super().__init__()
        self._callers_outside: dict[str, Caller] = {}

    def teardown(self) -> None:
        """End the kernel, and the connections."""
        super().teardown()
        for caller in self._callers_outside.values():
            caller.leave()

    def _channels(self, *, connected: bool | None = None) -> list[Cluster]:
        """Give the subclusters that have a channel, and a vat to be asked for it."""
        return [
            cluster
            for cluster in self.world.clusters
            if cluster.line is not None and connected in (None, cluster.line.connected)
            if cluster.parties[0].runs and not cluster.parties[0].root.revoked
        ]

    def _connected(self, which: int) -> tuple[Cluster, Party]:
        """Give one that a process outside is connected to, now if not before."""
        channels = self._channels(connected=True)
        if not channels:
            self.connect(which)
            channels = self._channels(connected=True)
        cluster = channels[which % len(channels)]
        return cluster, cluster.parties[0]

    def _arrive(self, cluster: Cluster, lines: list[str | None]) -> None:
        """Have the world know of lines that were sent, and wait until those who waited for them have them."""
        assert cluster.line is not None
        for line in lines:
            cluster.line.arrive(line)
        self._wait_for_outcomes(cluster.parties[0])

    def _wait_for_outcomes(self, party: Party) -> None:
        self._wait_for(lambda: len(self._baggage()[int(party.id[1:])].get("outcomes", [])) == len(party.outcomes))

    def _read(self, cluster: Cluster, count: int) -> None:
        """Have lines read that must be there."""
        assert cluster.line is not None
        expected, cluster.line.unread = cluster.line.unread[:count], cluster.line.unread[count:]
        party = cluster.parties[0]
        for line in expected:
            party.outcomes.append([self._leave_reading(cluster), line])
        self._wait_for_outcomes(party)

    @precondition(lambda self: self._channels(connected=False))
    @rule(which=PICK)
    def connect(self, which: int) -> None:
        channels = self._channels(connected=False)
        cluster = channels[which % len(channels)]
        assert cluster.line is not None
        if cluster.id in self._callers_outside:
            self._callers_outside.pop(cluster.id).leave()
        hello = str(self._next())
        self._step(f"{cluster.id}.connect() # and say {hello}")
        caller = self._callers_outside[cluster.id] = Caller(cluster.line.path)
        caller.say(hello + "\n")
        cluster.line.connected = True
        self._arrive(cluster, [hello])
        self._read(cluster, len(cluster.line.unread))  # then the channel has accepted the connection

    @precondition(lambda self: self._channels())
    @rule(which=PICK, count=FEW, end=st.sampled_from(["\n", "\r\n"]), waits=st.booleans(), ended=st.booleans())
    def say(self, which: int, count: int, end: str, waits: bool, ended: bool) -> None:
        """Send lines; one may be waited for, by an incarnation that has ended meanwhile."""
        cluster, party = self._connected(which)
        assert cluster.line is not None
        if waits and not cluster.line.unread:
            self._wait_for_line(cluster)
        if ended:
            self._tell_kernel("restartVat", party.id)
            self.world.end_incarnation(party)
        lines: list[str | None] = [f"{self._next()} é" for _ in range(count)]
        self._step(f"{cluster.id}.say({lines})")
        self._callers_outside[cluster.id].say("".join(f"{line}{end}" for line in lines))
        self._arrive(cluster, lines)

    @precondition(lambda self: self._channels())
    @rule(which=PICK, count=FEW)
    def read_lines(self, which: int, count: int) -> None:
        """Read what there is, or let a reader wait for what comes."""
        cluster = self._channels()[which % len(self._channels())]
        assert cluster.line is not None
        if cluster.line.unread:
            self._read(cluster, count)
            return
        self._wait_for_line(cluster)

    def _wait_for_line(self, cluster: Cluster) -> None:
        assert cluster.line is not None
        party = cluster.parties[0]
        number = self._leave_reading(cluster)
        cluster.line.readers.append(Waiting(party, party.incarnation, number, False, None))

    def _leave_reading(self, cluster: Cluster) -> int:
        """Have the vat ask for a line, and note it when it comes under the number that this gives."""
        number = self._next()
        assert self._send(cluster.parties[0], "leave_reading", number) is None
        return number

    @precondition(lambda self: self._channels())
    @rule(which=PICK, count=FEW)
    def write_lines(self, which: int, count: int) -> None:
        cluster = self._channels()[which % len(self._channels())]
        party = cluster.parties[0]
        assert cluster.line is not None
        numbers = [self._next() for _ in range(count)]
        answer = self._send(party, "write_lines", numbers)
        party.log += numbers
        if cluster.line.connected:
            assert answer == numbers
            assert self._callers_outside[cluster.id].hear(count) == list(map(str, numbers))
        else:
            assert answer == "<IoChannelError>"

    @precondition(lambda self: self._channels())
    @rule(which=PICK, unended=st.booleans())
    def leave(self, which: int, unended: bool) -> None:
        """Leave, maybe in the middle of a line; the vat reads all, and learns that it is the end."""
        cluster, _party = self._connected(which)
        assert cluster.line is not None
        last: list[str | None] = [f"{self._next()} unended"] if unended else []
        self._step(f"{cluster.id}.leave() # {last}")
        caller = self._callers_outside.pop(cluster.id)
        for line in last:
            caller.say(str(line))
        caller.leave()
        cluster.line.connected = False
        self._arrive(cluster, [*last, None])
        self._read(cluster, len(cluster.line.unread))  # then the channel has seen the connection's end

    @precondition(lambda self: self._channels())
    @rule(which=PICK, count=st.integers(1, 8), rounds=st.integers(0, 12), end=st.sampled_from("ckw"))
    def burst_of_lines(self, which: int, count: int, rounds: int, end: str) -> None:
        """Have many lines be written at once, and the vat or the kernel end in the middle of it."""
        cluster, party = self._connected(which)
        caller = self._callers_outside[cluster.id]
        sent: list[tuple[Sent, Uncertain]] = []
        for _ in range(count):
            number = self._next()
            party.uncertain.append(Uncertain(number, asks=True))
            note(f"{party.name}.write_lines([{number}])  # without waiting")
            sent.append((self.kernel.begin(party.root.kref, "write_lines", [number]), party.uncertain[-1]))
        self._end_burst(sent, party, rounds, end)
        log = self._baggage()[int(party.id[1:])].get("log", [])
        durable = [one.number for _sent, one in sent if one.number in log]
        if end == "c":
            heard = [int(line) for line in caller.hear(0)]
            assert heard == [number for number in durable if number in heard], (
                f"the lines {heard} left, of which {durable} are durable, in that order"
            )
            assert {one.number for _sent, one in sent if one.required} <= set(heard)
        else:
            assert caller.hear(len(durable)) == list(map(str, durable))

    def _end_kernel(self, *, crash: bool) -> None:
        for caller in self._callers_outside.values():
            caller.hear_what_is_there()  # what a kernel in this process writes from now on was not written
        super()._end_kernel(crash=crash)
        if self.kernel.program is None:
            for name, caller in self._callers_outside.items():
                if any(cluster.id == name for cluster in self.world.clusters):
                    caller.hear_the_end()
