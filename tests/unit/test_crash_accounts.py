"""What crash states tell: what had been promised, what was lost, and how far the search for them went."""

from __future__ import annotations

from crashes import search, the
from scripts import Script

from pytest_ocap.sweeps.crash import Bound, Family, Model
from pytest_ocap.sweeps.crash.pages import PAGE

# --- what had been promised ----------------------------------------------------------------------------------------


def test_an_exchange_is_what_had_gone_through_accepted_connections() -> None:
    w = Script()
    w.open("a", create=True)
    w.connect(7)
    w.send(7, b"request\n")
    w.accept(1)
    w.receive(1, b"request\n")
    w.write("a", 0, b"x")
    w.send(1, b"answer\n")
    with w.during():
        w.write("a", 1, b"y")
    states = search(w)
    early = the(states, "a", b"x", Model.EXT4)
    assert [call.data for call in early.exchange(Model.EXT4).received] == [b"request\n"]
    complete = the(states, "a", b"xy", Model.EXT4).exchange(Model.EXT4)
    assert [call.data for call in complete.sent] == [b"answer\n"]
    assert complete.in_flight == ()


def test_a_send_under_way_is_in_flight() -> None:
    w = Script()
    w.accept(1)
    w.send(1, b"answer\n")
    w.never_came_back()
    w.open("a", create=True)
    exchange = the(search(w), "a", b"").exchange()
    assert exchange.sent == ()
    assert [call.data for call in exchange.in_flight] == [b"answer\n"]


def test_what_loses_something_promised_comes_first_of_its_kind() -> None:
    w = Script()
    w.accept(1)
    for name in "abc":
        w.open(name, create=True)
        w.fsync_dir("")
    w.write("b", 0, b"x")
    w.send(1, b"ok\n")
    w.fsync("b")
    w.write("c", 0, b"y")
    states = search(w)
    lost = [s for s in states if s.family is Family.ALL_LOST]
    assert lost[0].exchange().sent
    assert "write of 1 byte at 0 of b" in lost[0].lost()


# --- words, and the bound --------------------------------------------------------------------------------------------


def test_a_state_says_when_the_power_was_cut_and_what_was_lost() -> None:
    w = Script()
    w.open("daemon.lock.tmp", create=True)
    w.fsync("daemon.lock.tmp")
    w.open("wal", create=True)
    w.fsync("wal")
    w.fsync_dir("")
    w.rename("daemon.lock.tmp", "daemon.lock")
    w.write("wal", 0, b"1" * PAGE)
    zeros = [s for s in search(w) if s.loss.torn is not None and s.loss.torn.start == s.loss.torn.end]
    state = next(s for s in zeros if "daemon.lock" not in s.image().entries)
    assert state.describe() == (
        "cut after call 6 pwrite64(wal); lost: rename daemon.lock.tmp -> daemon.lock; "
        "length without bytes: write of 4096 bytes at 0 of wal; possible under strict"
    )


def test_much_that_was_lost_is_said_in_few_words() -> None:
    w = Script()
    w.open("wal", create=True)
    w.fsync_dir("")
    for number in range(4):
        w.write("wal", number * PAGE, b"1" * PAGE)
    w.open("log", create=True)
    lost = the([s for s in search(w) if "log" in s.image().entries], "wal", b"")
    assert lost.describe() == "cut after call 6 openat(log); lost: 4 writes of wal; possible under ext4-ordered, strict"
    assert len(lost.lost()) == 4


def test_the_end_of_all_that_was_done_is_lost_in_one_word() -> None:
    w = Script()
    for name in "abcd":
        w.open(name, create=True)
    nothing = the(search(w), "a", None, Model.EXT4)
    assert nothing.describe() == (
        "cut after call 3 openat(d); lost: all 4 changes from call 0 on; possible under ext4-ordered, strict"
    )


def test_the_bound_is_stated_with_what_it_leaves_out() -> None:
    w = Script()
    for number in range(20):
        w.open(f"file{number}", create=True)
    states = search(w, bound=Bound(reordered=2, window=3, tears=2))
    assert states.left_out > 0
    assert f"{len(states)} distinct crash states" in states.words()
    assert "each set of up to 2 of the 3 newest changes" in states.words()
    assert f"{len(states) - 10} of the states were not tried" in states.words(tried=10)
    full = search(Script(), bound=Bound())
    assert (len(full), full.left_out) == (0, 0)
