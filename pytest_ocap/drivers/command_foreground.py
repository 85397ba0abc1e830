"""A start whose command is the daemon itself: it is ready when it answers, and who answers need not be who was started.

Invariant: what is said of such a start does not depend on whether another daemon, which was there or came up beside it,
happened to answer before it had ended or had taken that one's place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_ocap import processes
from pytest_ocap.listeners import TELLS, listener

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_ocap.driver import Outcome
    from pytest_ocap.drivers.command_clients import AdoptedClient

LOOK_SECONDS = 0.02
"""How often it is asked."""

PING_SECONDS = 1.0
"""How long one ping may take."""

TAKEOVER_SECONDS = 2.0
"""How long a daemon may take to end, or to take the place, where another one answers already."""


def attend(
    client: AdoptedClient, home: Path, seconds: float, ping: Callable[[float], Outcome], socket: Path | None
) -> Outcome:
    """Wait until a daemon in the foreground is ready, or has ended, or ``seconds`` are over.

    One that has ended beside another that is ready, or will be by then, is as good as ready.

    Args:
        client: The daemon.
        home: Its home.
        seconds: How long to wait.
        ping: Pings whoever answers for this home, within so many seconds.
        socket: Where it is asked, if that is known.
    """
    clock = client.clock
    deadline = clock.now() + seconds
    settled: float | None = None
    while not client.wait(LOOK_SECONDS):
        left = deadline - clock.now()
        if ping(min(PING_SECONDS, max(0.01, left))).ok:
            settled = settled or clock.now() + TAKEOVER_SECONDS
            if _reaches(client, socket) or clock.now() >= settled:
                return client.outcome(ok=True)
        if left <= 0:
            return client.outcome(ok=False, timed_out=True)
    ended = client.outcome(ok=False)
    while not (ready := ping(PING_SECONDS).ok):
        if clock.now() >= deadline or not processes.using(home):
            break
        clock.sleep(LOOK_SECONDS)
    return replace(ended, ok=ready)


def _reaches(client: AdoptedClient, socket: Path | None) -> bool:
    """Say whether who is asked is who was started, as far as that can be told."""
    if socket is None or not TELLS:
        return True
    pid = listener(socket)
    return pid is not None and client.brought(pid)  # nobody: one has given up the place, and the next is to take it
