"""The pool of workers: vats in processes of their own, how those end, and the template that they share."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil
import pytest
from workerbench import ECHO, Bench, children_of_the_pool, the_template, wait_until_gone

from kernel.workers import Limits

pytestmark = pytest.mark.usefixtures("others_remembered")


def test_a_vat_answers_messages(workers: Bench) -> None:
    vat = workers.vat()
    assert vat.call("echo", {"a": [1, 2.5, "ü", b"\x00", None]}) == {"a": [1, 2.5, "ü", b"\x00", None]}
    assert vat.frames[0] == ["started", {}]
    assert vat.worker.pid is not None
    assert psutil.Process(vat.worker.pid).name() == "vat vat"


def test_frames_sent_before_the_process_lives_are_kept_in_order(workers: Bench) -> None:
    vat = workers.vat()
    assert vat.worker.pid is None
    for number in range(50):
        vat.send("echo", number)
    workers.until(lambda: len(vat.of_kind("done")) == 50)
    bodies = [frame[1]["syscalls"][0][1][0][2]["body"] for frame in vat.of_kind("done")]
    assert bodies == [f"#{number}" for number in range(50)]


def test_a_ping_is_answered_also_while_the_vat_waits_for_a_promise(workers: Bench) -> None:
    vat = workers.vat(
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
    workers.until(lambda: len(vat.of_kind("done")) == 2)
    assert vat.of_kind("done")[1][1]["syscalls"] == [["resolve", [["p-9", False, {"body": "#7", "slots": []}]]]]


def test_large_messages_pass_both_ways(workers: Bench) -> None:
    vat = workers.vat()
    text = 'a"ü\n' * 700_000
    assert vat.call("echo", text) == text


def test_parameters_baggage_and_counters_reach_the_vat(workers: Bench) -> None:
    vat = workers.vat(
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


def test_what_a_vat_prints_and_logs_is_told(workers: Bench) -> None:
    vat = workers.vat(
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


def test_a_killed_worker_tells_its_exit_once_and_nothing_after_it(workers: Bench) -> None:
    vat = workers.vat()
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
    other = workers.vat()
    other.call("echo", 1)
    assert len(vat.exits) == 1


def test_a_worker_killed_before_it_lives_ends_all_the_same(workers: Bench) -> None:
    vat = workers.vat(start=False)
    vat.worker.kill()
    assert vat.wait_for_exit().signal == "SIGKILL"


def test_a_worker_killed_from_outside_says_so(workers: Bench) -> None:
    vat = workers.vat()
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
def test_a_vat_that_cannot_be_built_says_why(workers: Bench, source: str, type_: str, message: str) -> None:
    vat = workers.vat(source)
    failed = vat.wait_for("failed")[1]
    assert failed["type"] == type_
    assert message in failed["message"]
    assert "main.py" in failed["traceback"] or "build_root_object" in failed["traceback"]
    assert vat.wait_for_exit().status == 0


def test_a_failure_shows_the_source_line_it_came_from(workers: Bench) -> None:
    failed = workers.vat("def f():\n    return 1 / 0\nf()\n").wait_for("failed")[1]
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
    workers: Bench, frame: list[object], reason: str
) -> None:
    vat = workers.vat(start=False)
    vat.worker.send(frame)
    exit_ = vat.wait_for_exit()
    assert exit_.status == 70
    assert reason in exit_.reason


def test_a_frame_that_is_too_long_ends_its_worker_with_a_reason() -> None:
    workers = Bench(Limits(frame_bytes=10_000))
    try:
        vat = workers.vat()
        vat.wait_for("started")
        vat.send("echo", "x" * 20_000)
        exit_ = vat.wait_for_exit()
        assert exit_.reason.startswith("a 'message' frame of 20")
        assert exit_.reason.endswith("is longer than the bound of 10000 bytes")
        other = workers.vat()
        assert other.call("echo", 1) == 1
    finally:
        workers.close()


def test_a_vat_that_ends_its_process_harms_nobody_else(workers: Bench) -> None:
    source = """
        from kernel.vat import Exo

        class Root(Exo):
            def leave(self):
                [wrap] = [c for c in object.__subclasses__() if c.__name__ == "_wrap_close"]
                wrap.__init__.__globals__["_exit"](5)

        def build_root_object(vat_powers, parameters, baggage):
            return Root()
    """
    other = workers.vat()
    leaving = workers.vat(source)
    leaving.wait_for("started")
    leaving.send("leave")
    exit_ = leaving.wait_for_exit()
    assert exit_.status == 5
    assert exit_.reason == "it ended itself with exit status 5"
    assert other.call("echo", 1) == 1


# --- many, and the template ---


def test_workers_share_one_template(workers: Bench) -> None:
    vats = [workers.vat(name=f"vat{number}") for number in range(8)]
    assert [vat.call("echo", number) for number, vat in enumerate(vats)] == list(range(8))
    assert len({vat.worker.pid for vat in vats}) == 8
    assert len(the_template().children()) == 8


def test_when_the_template_dies_its_workers_go_with_it_and_the_next_use_starts_another(workers: Bench) -> None:
    vat = workers.vat()
    vat.wait_for("started")
    first = the_template()
    first.kill()
    exit_ = vat.wait_for_exit()
    assert "the process that workers are forked from is gone: it was killed by SIGKILL" in exit_.reason
    assert exit_.pid is not None
    wait_until_gone(exit_.pid)
    assert workers.log.named("workers.template-ended")
    assert workers.vat().call("echo", 2) == 2
    assert the_template().pid != first.pid


def test_a_stopped_template_holds_up_nothing_but_new_workers(workers: Bench) -> None:
    vat = workers.vat()
    vat.wait_for("started")
    the_template().suspend()
    assert vat.call("echo", 3) == 3
    late = workers.vat()
    assert vat.call("echo", 4) == 4
    the_template().resume()
    assert late.call("echo", 5) == 5


def test_closing_ends_everything_and_can_be_repeated(workers: Bench) -> None:
    vats = [workers.vat(), workers.vat()]
    for vat in vats:
        vat.wait_for("started")
    pids = [vat.worker.pid for vat in vats]
    workers.pool.close()
    workers.pool.close()
    assert not any(psutil.pid_exists(pid) for pid in pids if pid is not None)
    with pytest.raises(RuntimeError, match="closed"):
        workers.pool.start("late")


def test_closing_ends_a_vat_that_loops_for_ever(workers: Bench) -> None:
    vat = workers.vat("while True: pass")
    workers.until(lambda: vat.worker.pid)
    workers.pool.close()
    assert vat.worker.pid is not None
    assert not psutil.pid_exists(vat.worker.pid)


def test_closing_a_pool_that_was_never_used_starts_nothing() -> None:
    workers = Bench()
    workers.close()
    assert children_of_the_pool() == []


def test_no_descriptor_is_left_open(workers: Bench) -> None:
    workers.vat().call("echo", 1)
    before = psutil.Process().num_fds()
    for _ in range(3):
        vat = workers.vat()
        vat.call("echo", 1)
        vat.worker.kill()
        vat.wait_for_exit()
    assert psutil.Process().num_fds() == before
    workers.pool.close()
    assert psutil.Process().num_fds() == before - 3  # one worker's socket, the template's socket and error pipe


def test_when_no_descriptor_is_left_the_worker_ends_with_a_reason(workers: Bench) -> None:
    import resource

    workers.vat().wait_for("started")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        vat = workers.vat(start=False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)
    assert vat.wait_for_exit().reason == "no worker process could be started: Too many open files"
    assert vat.exits[0].pid is None
    assert workers.vat(ECHO).call("echo", 1) == 1
