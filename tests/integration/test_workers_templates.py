"""Templates that are not as they should be: unconfined, unstartable, stopped."""

from __future__ import annotations

import sys

import pytest
from workerbench import Bench, children_of_the_pool, the_template, wait_until_gone

from kernel.errors import ConfinementError
from kernel.events import NullLog
from kernel.loop import Loop
from kernel.workers import Confinement, WorkerPool, launch, pool

pytestmark = pytest.mark.usefixtures("others_remembered")


UNCONFINED = (
    "import sys; sys.path.insert(0, sys.argv[1]); from kernel.workers import confine, template; "
    "from kernel.workers.types import Confinement; "
    "confine.compile_filter = lambda: (None, Confinement('none', 'no filters here', 'Move house.')); "
    "template.main(int(sys.argv[2]), False)"
)


def test_where_nothing_confines_workers_run_and_the_log_says_so_once(
    workers: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_BOOT", UNCONFINED)
    assert workers.vat().call("echo", 1) == 1
    assert workers.vat().call("echo", 2) == 2
    assert workers.pool.confinement() == Confinement("none", "no filters here", "Move house.")
    assert workers.log.named("workers.unconfined") == [
        {"level": "warning", "event": "workers.unconfined", "reason": "no filters here", "remedy": "Move house."}
    ]


@pytest.mark.parametrize(
    ("boot", "reason"),
    [
        (UNCONFINED, "no filters here"),
        ("raise LookupError('broken')", "was not found out: it ended with exit status 1: LookupError: broken"),
        ("import time; time.sleep(60)", "was not ready within 0.2 s"),
    ],
)
def test_where_confinement_is_required_and_turns_out_to_be_missing_there_is_no_pool(
    monkeypatch: pytest.MonkeyPatch, boot: str, reason: str
) -> None:
    monkeypatch.setattr(launch, "_BOOT", boot)
    monkeypatch.setattr(launch, "STOP_SECONDS", 0.1)
    if "sleep" in boot:
        monkeypatch.setattr(pool, "READY_SECONDS", 0.2)
    loop = Loop()
    try:
        with pytest.raises(ConfinementError, match="vat workers cannot be confined") as caught:
            WorkerPool(loop, NullLog(), require_confinement=True)
        assert reason in caught.value.message
        assert caught.value.remedy
        assert children_of_the_pool() == []
    finally:
        loop.close()


def test_where_confinement_is_required_and_works_vats_run() -> None:
    workers = Bench(require_confinement=True)
    try:
        assert workers.pool.confinement() == Confinement("full")
        assert workers.vat().call("echo", 1) == 1
    finally:
        workers.close()


def test_a_worker_that_must_be_confined_and_cannot_runs_no_vat(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Bench(require_confinement=True)
    try:
        monkeypatch.setattr(launch, "_BOOT", UNCONFINED)
        the_template().kill()  # the next one finds the machine changed
        workers.until(lambda: workers.log.named("workers.template-ended"))
        vat = workers.vat()
        reason = vat.wait_for_exit().reason
        assert reason == "vat workers cannot be confined, and confinement is required: no filters here"
        assert vat.frames == []
    finally:
        workers.close()


def test_a_template_that_cannot_start_says_why(workers: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_BOOT", "raise LookupError('this Python is broken')")
    vat = workers.vat()
    reason = vat.wait_for_exit().reason
    assert reason == (
        "the process that workers are forked from is gone: it ended with exit status 1: "
        "LookupError: this Python is broken"
    )
    monkeypatch.undo()
    assert workers.vat().call("echo", 1) == 1


@pytest.mark.parametrize(
    ("executable", "reason"),
    [("", "the path of the Python interpreter is not known"), ("/nowhere/python", "No such file or directory")],
)
def test_without_an_interpreter_the_worker_ends_with_a_reason(
    workers: Bench, monkeypatch: pytest.MonkeyPatch, executable: str, reason: str
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    vat = workers.vat()
    assert vat.wait_for_exit().reason.startswith(f"no worker process could be started: {reason}")


def test_closing_ends_a_template_that_is_stopped(workers: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    vat = workers.vat()
    vat.wait_for("started")
    monkeypatch.setattr(launch, "STOP_SECONDS", 0.1)
    the_template().suspend()
    workers.pool.close()
    assert vat.worker.pid is not None
    wait_until_gone(vat.worker.pid)
