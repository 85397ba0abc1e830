"""Asking running vats for a sign of life, or for what they can no longer reach; one at work answers after that."""

from __future__ import annotations

from kernel.engine import vat_failures as failures

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.engine.vat_process import VatProcess
    from kernel.loop import Future, Loop


async def ask_for_pong(process: VatProcess, loop: Loop, seconds: float) -> str:
    """Give ``"pong"`` when the worker answers.

    Raises:
        VatError: It did not within so many seconds, or was ended.
    """
    assert process.worker is not None
    answer: Future[str] = loop.create_future()
    process.pings.append(answer)
    process.worker.send(["ping"])
    timer = loop.call_later(seconds, _expired, process, answer, seconds)
    try:
        return await answer
    finally:
        timer.cancel()


async def ask_for_the_dead(processes: list[VatProcess], loop: Loop, poke: Callable[[int], object]) -> None:
    """Have vats find out what they can no longer reach, and wait until they have said so, or have ended."""
    answers = []
    for process in [process for process in processes if process.ready]:
        answers.append(loop.create_future())
        process.reaping.append(answers[-1])
        poke(process.vat_id)
    for answer in answers:
        await answer


def _expired(process: VatProcess, answer: Future[str], seconds: float) -> None:
    if answer in process.pings:
        process.pings.remove(answer)
        answer.set_exception(failures.ping_expired(process.vat_id, process.name, seconds))
