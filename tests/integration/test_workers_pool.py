from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from watching import eventually
from workerbench import ECHO, Bench, children_of_the_pool, remember_others

from kernel.errors import ConfinementError
from kernel.events import NullLog
from kernel.loop import Loop
from kernel.workers import Confinement, Limits, WorkerPool, launch, pool

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _others_are_remembered() -> None:
    remember_others()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()
    assert children_of_the_pool() == []


def is_gone(pid: int) -> bool:
    """Say whether a process has ended; whose parent is gone too may wait to be reaped by the system."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_gone(pid: int) -> None:
    eventually(lambda: is_gone(pid))


def template_of(bench: Bench) -> psutil.Process:
    [template] = children_of_the_pool()
    return template


def test_a_vat_answers_messages(bench: Bench) -> None:
    vat = bench.vat()
    assert vat.call("echo", {"a": [1, 2.5, "ü", b"\x00", None]}) == {"a": [1, 2.5, "ü", b"\x00", None]}
    assert vat.frames[0] == ["started", {}]
    assert vat.worker.pid is not None
    assert psutil.Process(vat.worker.pid).name() == "vat vat"


def test_frames_sent_before_the_process_lives_are_kept_in_order(bench: Bench) -> None:
    vat = bench.vat()
    assert vat.worker.pid is None
    for number in range(50):
        vat.send("echo", number)
    bench.until(lambda: len(vat.of_kind("done")) == 50)
    bodies = [frame[1]["syscalls"][0][1][0][2]["body"] for frame in vat.of_kind("done")]
    assert bodies == [f"#{number}" for number in range(50)]


def test_a_ping_is_answered_also_while_the_vat_waits_for_a_promise(bench: Bench) -> None:
    vat = bench.vat(
        """
        from kernel.vat import E, Exo

        class Root(Exo):
            async def wait(self, peer):
                return await peer

        def build_root_object(vat_powers, parameters, baggage):
            return Root()
        """
    )
    args = {"body": '#["&0"]', "slots": ["p-3"]}
    vat.worker.send(["message", {"target": "o+0", "method": "wait", "args": args, "result": "p-9"}])
    vat.worker.send(["ping"])
    vat.wait_for("pong")
    assert vat.of_kind("done")[0][1]["syscalls"] == [["subscribe", "p-3"]]
    vat.worker.send(["notify", {"resolutions": [["p-3", False, {"body": "#7", "slots": []}]]}])
    bench.until(lambda: len(vat.of_kind("done")) == 2)
    assert vat.of_kind("done")[1][1]["syscalls"] == [["resolve", [["p-9", False, {"body": "#7", "slots": []}]]]]


def test_large_messages_pass_both_ways(bench: Bench) -> None:
    vat = bench.vat()
    text = 'a"ü\n' * 700_000
    assert vat.call("echo", text) == text


def test_parameters_baggage_and_counters_reach_the_vat(bench: Bench) -> None:
    vat = bench.vat(
        """
        from kernel.vat import Exo

        class Other(Exo):
            pass

        class Root(Exo):
            def __init__(self, parameters, baggage):
                self.parameters, self.baggage = parameters, baggage

            def look(self):
                return [self.parameters, dict(self.baggage), Other()]

        def build_root_object(vat_powers, parameters, baggage):
            baggage.setdefault("born", "now")
            return Root(parameters, baggage)
        """,
        parameters={"greeting": "hi"},
        baggage={"count": {"body": "#3", "slots": []}},
        nextExport=12,
    )
    vat.send("look")
    done = vat.wait_for("done")[1]
    body = '#[{"greeting":"hi"},{"count":3,"born":"now"},"$0.Alleged: Other"]'
    assert done["syscalls"] == [
        ["resolve", [["p-9", False, {"body": body, "slots": ["o+12"]}]]],
        ["baggageSet", "born", {"body": '#"now"', "slots": []}],
    ]
    assert done["nextExport"] == 13


def test_what_a_vat_prints_and_logs_is_told(bench: Bench) -> None:
    vat = bench.vat(
        """
        from kernel.vat import Exo

        print("loading")

        class Root(Exo):
            def __init__(self, logger):
                self.logger = logger

            def talk(self):
                print("one", "two", end="")
                print(" three")
                self.logger.warning("careful: %s", "hot")
                self.logger.debug("detail")

        def build_root_object(vat_powers, parameters, baggage):
            return Root(vat_powers.logger)
        """
    )
    vat.call("talk")
    assert [frame[1] for frame in vat.of_kind("log")] == [
        {"level": "info", "text": "loading"},
        {"level": "info", "text": "one two three"},
        {"level": "warning", "text": "careful: hot"},
        {"level": "debug", "text": "detail"},
    ]


# --- how workers end ---


def test_a_killed_worker_tells_its_exit_once_and_nothing_after_it(bench: Bench) -> None:
    vat = bench.vat()
    vat.wait_for("started")
    vat.send("echo", 1)
    vat.worker.kill()
    vat.worker.kill()
    exit_ = vat.wait_for_exit()
    assert exit_.signal == "SIGKILL"
    assert exit_.status is None
    assert exit_.reason == "the kernel ended it"
    assert vat.of_kind("done") == []
    assert exit_.pid is not None
    assert not psutil.pid_exists(exit_.pid)
    vat.worker.send(["ping"])  # into the void
    vat.worker.kill()
    other = bench.vat()
    other.call("echo", 1)
    assert len(vat.exits) == 1


def test_a_worker_killed_before_it_lives_ends_all_the_same(bench: Bench) -> None:
    vat = bench.vat(start=False)
    vat.worker.kill()
    assert vat.wait_for_exit().signal == "SIGKILL"


def test_a_worker_killed_from_outside_says_so(bench: Bench) -> None:
    vat = bench.vat()
    vat.wait_for("started")
    assert vat.worker.pid is not None
    os.kill(vat.worker.pid, signal.SIGKILL)
    exit_ = vat.wait_for_exit()
    assert exit_.signal == "SIGKILL"
    assert "from outside the kernel" in exit_.reason


@pytest.mark.parametrize(
    ("source", "type_", "message"),
    [
        ("raise ValueError('at the top')", "ValueError", "at the top"),
        ("x = 1", "TypeError", "main.py has no function build_root_object(vat_powers, parameters, baggage)"),
        ("def build_root_object(): pass", "TypeError", "takes 0 positional arguments but 3 were given"),
        (
            "def build_root_object(*a): return 7",
            "TypeError",
            "build_root_object() must return an Exo, and returned a int",
        ),
        ("def f(:", "SyntaxError", "main.py, line 1"),
        ("raise SystemExit(0)", "SystemExit", "0"),
        ("import os", "ImportError", "a vat cannot import 'os'"),
    ],
)
def test_a_vat_that_cannot_be_built_says_why(bench: Bench, source: str, type_: str, message: str) -> None:
    vat = bench.vat(source)
    failed = vat.wait_for("failed")[1]
    assert failed["type"] == type_
    assert message in failed["message"]
    assert "main.py" in failed["traceback"] or "build_root_object" in failed["traceback"]
    assert vat.wait_for_exit().status == 0


def test_a_failure_shows_the_source_line_it_came_from(bench: Bench) -> None:
    failed = bench.vat("def f():\n    return 1 / 0\nf()\n").wait_for("failed")[1]
    assert 'File "main.py", line 2, in f\n    return 1 / 0\n' in failed["traceback"]
    assert "supervisor.py" not in failed["traceback"]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (["message", {}], "before the vat was started"),
        (["start", {}], "'bundle' in the kernel's 'start' frame is not of type dict"),
        (["start"], "does not have one object"),
        (["dance", {}], "before the vat was started"),
        (["start", {"bundle": {"entry": "x", "modules": {"x": 1}}}], "whose module 'x' is no object"),
    ],
)
def test_a_frame_of_the_wrong_form_ends_the_worker_with_a_reason(
    bench: Bench, frame: list[object], reason: str
) -> None:
    vat = bench.vat(start=False)
    vat.worker.send(frame)
    exit_ = vat.wait_for_exit()
    assert exit_.status == 70
    assert reason in exit_.reason


def test_a_frame_that_is_too_long_ends_its_worker_with_a_reason() -> None:
    bench = Bench(Limits(frame_bytes=10_000))
    try:
        vat = bench.vat()
        vat.wait_for("started")
        vat.send("echo", "x" * 20_000)
        exit_ = vat.wait_for_exit()
        assert exit_.reason.startswith("a 'message' frame of 20")
        assert exit_.reason.endswith("is longer than the bound of 10000 bytes")
        other = bench.vat()
        assert other.call("echo", 1) == 1
    finally:
        bench.close()


def test_a_vat_that_ends_its_process_harms_nobody_else(bench: Bench) -> None:
    source = """
        from kernel.vat import Exo

        class Root(Exo):
            def leave(self):
                [wrap] = [c for c in object.__subclasses__() if c.__name__ == "_wrap_close"]
                wrap.__init__.__globals__["_exit"](5)

        def build_root_object(vat_powers, parameters, baggage):
            return Root()
    """
    other = bench.vat()
    leaving = bench.vat(source)
    leaving.wait_for("started")
    leaving.send("leave")
    exit_ = leaving.wait_for_exit()
    assert exit_.status == 5
    assert exit_.reason == "it ended itself with exit status 5"
    assert other.call("echo", 1) == 1


# --- many, and the template ---


def test_workers_share_one_template(bench: Bench) -> None:
    vats = [bench.vat(name=f"vat{number}") for number in range(8)]
    assert [vat.call("echo", number) for number, vat in enumerate(vats)] == list(range(8))
    assert len({vat.worker.pid for vat in vats}) == 8
    assert len(template_of(bench).children()) == 8


def test_when_the_template_dies_its_workers_go_with_it_and_the_next_use_starts_another(bench: Bench) -> None:
    vat = bench.vat()
    vat.wait_for("started")
    first = template_of(bench)
    first.kill()
    exit_ = vat.wait_for_exit()
    assert "the process that workers are forked from is gone: it was killed by SIGKILL" in exit_.reason
    assert exit_.pid is not None
    wait_until_gone(exit_.pid)
    assert bench.log.named("workers.template-ended")
    assert bench.vat().call("echo", 2) == 2
    assert template_of(bench).pid != first.pid


def test_a_stopped_template_holds_up_nothing_but_new_workers(bench: Bench) -> None:
    vat = bench.vat()
    vat.wait_for("started")
    template_of(bench).suspend()
    assert vat.call("echo", 3) == 3
    late = bench.vat()
    assert vat.call("echo", 4) == 4
    template_of(bench).resume()
    assert late.call("echo", 5) == 5


def test_closing_ends_everything_and_can_be_repeated(bench: Bench) -> None:
    vats = [bench.vat(), bench.vat()]
    for vat in vats:
        vat.wait_for("started")
    pids = [vat.worker.pid for vat in vats]
    bench.pool.close()
    bench.pool.close()
    assert not any(psutil.pid_exists(pid) for pid in pids if pid is not None)
    with pytest.raises(RuntimeError, match="closed"):
        bench.pool.start("late")


def test_closing_ends_a_vat_that_loops_for_ever(bench: Bench) -> None:
    vat = bench.vat("while True: pass")
    bench.until(lambda: vat.worker.pid)
    bench.pool.close()
    assert vat.worker.pid is not None
    assert not psutil.pid_exists(vat.worker.pid)


def test_closing_a_pool_that_was_never_used_starts_nothing() -> None:
    bench = Bench()
    bench.close()
    assert children_of_the_pool() == []


def test_no_descriptor_is_left_open(bench: Bench) -> None:
    bench.vat().call("echo", 1)
    before = psutil.Process().num_fds()
    for _ in range(3):
        vat = bench.vat()
        vat.call("echo", 1)
        vat.worker.kill()
        vat.wait_for_exit()
    assert psutil.Process().num_fds() == before
    bench.pool.close()
    assert psutil.Process().num_fds() == before - 3  # one worker's socket, the template's socket and error pipe


def test_when_no_descriptor_is_left_the_worker_ends_with_a_reason(bench: Bench) -> None:
    import resource

    bench.vat().wait_for("started")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        vat = bench.vat(start=False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)
    assert vat.wait_for_exit().reason == "no worker process could be started: Too many open files"
    assert vat.exits[0].pid is None
    assert bench.vat(ECHO).call("echo", 1) == 1


# --- templates that are not as they should be ---

UNCONFINED = (
    "import sys; sys.path.insert(0, sys.argv[1]); from kernel.workers import confine, template; "
    "from kernel.workers.types import Confinement; "
    "confine.compile_filter = lambda: (None, Confinement('none', 'no filters here', 'Move house.')); "
    "template.main(int(sys.argv[2]), False)"
)


def test_where_nothing_confines_workers_run_and_the_log_says_so_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_BOOT", UNCONFINED)
    assert bench.vat().call("echo", 1) == 1
    assert bench.vat().call("echo", 2) == 2
    assert bench.pool.confinement() == Confinement("none", "no filters here", "Move house.")
    assert bench.log.named("workers.unconfined") == [
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
    bench = Bench(require_confinement=True)
    try:
        assert bench.pool.confinement() == Confinement("full")
        assert bench.vat().call("echo", 1) == 1
    finally:
        bench.close()


def test_a_worker_that_must_be_confined_and_cannot_runs_no_vat(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(require_confinement=True)
    try:
        monkeypatch.setattr(launch, "_BOOT", UNCONFINED)
        template_of(bench).kill()  # the next one finds the machine changed
        bench.until(lambda: bench.log.named("workers.template-ended"))
        vat = bench.vat()
        reason = vat.wait_for_exit().reason
        assert reason == "vat workers cannot be confined, and confinement is required: no filters here"
        assert vat.frames == []
    finally:
        bench.close()


def test_a_template_that_cannot_start_says_why(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_BOOT", "raise LookupError('this Python is broken')")
    vat = bench.vat()
    reason = vat.wait_for_exit().reason
    assert reason == (
        "the process that workers are forked from is gone: it ended with exit status 1: "
        "LookupError: this Python is broken"
    )
    monkeypatch.undo()
    assert bench.vat().call("echo", 1) == 1


@pytest.mark.parametrize(
    ("executable", "reason"),
    [("", "the path of the Python interpreter is not known"), ("/nowhere/python", "No such file or directory")],
)
def test_without_an_interpreter_the_worker_ends_with_a_reason(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, executable: str, reason: str
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    vat = bench.vat()
    assert vat.wait_for_exit().reason.startswith(f"no worker process could be started: {reason}")


def test_closing_ends_a_template_that_is_stopped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    vat = bench.vat()
    vat.wait_for("started")
    monkeypatch.setattr(launch, "STOP_SECONDS", 0.1)
    template_of(bench).suspend()
    bench.pool.close()
    assert vat.worker.pid is not None
    wait_until_gone(vat.worker.pid)
