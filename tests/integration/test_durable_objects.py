"""Durable objects: they survive restarts of vat and daemon, keep their identity, and go when nothing refers to them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from vat_sources import BANK, FRIEND

from kernel.errors import QuarantinedError, RejectedError, VatInitError

if TYPE_CHECKING:
    from bench import Bench


class Bank:
    """A bank and its friend in another vat."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.path = bench.bundle("bank", BANK)
        launched = bench.launch(bench.config({"bank": self.path, "friend": bench.bundle("friend", FRIEND)}))
        self.root = launched["rootKref"]
        self.subcluster = launched["subclusterId"]
        self.vats: dict[str, str] = bench.subcluster(self.subcluster)["vats"]
        (friend,) = bench.kernel.execute_query(
            f"SELECT object FROM clist WHERE vref = 'o+0' AND vat_id = {self.vats['friend'][1:]}"
        )
        self.friend = f"ko{friend['object']}"

    def settled(self, table: str) -> int:
        """Count a table's rows when there is nothing more to be done."""
        self.bench.run_until(lambda: self.bench.rows("deliveries") == 0 and self.bench.rows("suspects") == 0)
        return self.bench.rows(table)


@pytest.fixture
def bank(bench: Bench) -> Bank:
    return Bank(bench)


@pytest.mark.parametrize("how", ["vat", "daemon"])
def test_an_object_keeps_state_and_identity_over_a_restart(bench: Bench, bank: Bank, how: str) -> None:
    account = bench.ask(bank.root, "open", "alice").slots[0]
    assert bench.send(account, "deposit", 5) == 5
    if how == "vat":
        bench.run(bench.kernel.restart_vat(bank.vats["bank"]))
    else:
        bench.reopen()
    assert bench.send(account, "deposit", 2) == 7
    assert bench.send(account, "read") == ["alice", 7, [5, 2]], "what was read is a copy: changing it changed nothing"


def test_another_vats_baggage_goes_on_referring_to_it(bench: Bench, bank: Bank) -> None:
    bench.send(bank.root, "lend", "alice")
    assert bench.send(bank.friend, "deposit", 1) == 1
    bench.reopen()
    assert bench.send(bank.friend, "deposit", 1) == 2
    bench.send(bank.friend, "give_back")
    assert bank.settled("durables") == 0
    assert bank.settled("objects") == 2


def test_the_vats_own_baggage_holds_it_and_reads_back_the_same_object(bench: Bench, bank: Bank) -> None:
    bench.send(bank.root, "keep", "alice")
    bench.reopen()
    answer = bench.ask(bank.root, "kept")
    assert bench.send(answer.slots[0], "deposit", 3) == 3
    bench.reopen()
    assert bench.ask(bank.root, "kept").slots == answer.slots, "it is the same object for those outside too"


def test_an_object_that_comes_back_to_its_vat_is_the_one_in_its_baggage(bench: Bench, bank: Bank) -> None:
    bench.send(bank.root, "circle")
    bench.reopen()
    assert bench.send(bank.root, "walk") == ["one", "two", True]


def test_what_nothing_refers_to_goes_with_what_it_alone_referred_to(bench: Bench, bank: Bank) -> None:
    bench.send(bank.root, "open_and_forget", "nobody")
    assert bank.settled("durables") == 0
    bench.send(bank.root, "keep", "alice")
    assert bank.settled("durables") == 1
    bench.send(bank.root, "close")
    assert bank.settled("durables") == 0
    assert bank.settled("objects") == 2


def test_what_goes_while_its_vat_does_not_run_goes_too(bench: Bench, bank: Bank) -> None:
    bench.send(bank.root, "lend", "alice")
    bench.reopen()
    assert bank.settled("durables") == 1
    bench.send(bank.friend, "give_back")
    assert bank.settled("durables") == 0
    assert bank.vats["bank"] not in bench.kernel.worker_pids(), "nobody had to start it"


def test_an_unpassable_attribute_is_refused_and_the_state_stays(bench: Bench, bank: Bank) -> None:
    account = bench.ask(bank.root, "open", "alice").slots[0]
    with pytest.raises(RejectedError, match=r"Account\.balance is of type object"):
        bench.send(account, "spoil")
    assert bench.send(account, "read") == ["alice", 0, []]
    with pytest.raises(RejectedError, match=r"Account\.other is a Teller of this vat, which will not survive"):
        bench.send(bank.root, "of_a_teller")
    with pytest.raises(RejectedError, match="'Account' object has no attribute 'other'"):
        bench.send(account, "linked")


def test_code_that_lacks_the_class_does_not_start_and_code_that_has_it_again_does(bench: Bench, bank: Bank) -> None:
    bench.send(bank.root, "keep", "alice")
    bench.close()
    module = bench.directory / "bank.py"
    whole = module.read_text()
    bench.bundle("bank", whole.replace("Account", "Konto"))
    bench.open()
    with pytest.raises((QuarantinedError, VatInitError), match="kind 'Account'"):
        bench.send(bank.root, "kept")
    bench.bundle("bank", whole)
    bench.run(bench.kernel.repair_subcluster(bank.subcluster))
    assert bench.send(bench.ask(bank.root, "kept").slots[0], "read") == ["alice", 0, []]


def test_a_killed_daemon_leaves_an_object_as_its_last_answer_said(bench: Bench, bank: Bank, tmp_path: Path) -> None:
    account = bench.ask(bank.root, "open", "alice").slots[0]
    balances = [bench.send(account, "deposit", 1) for _ in range(5)]
    # What is durable at the moment of the answer is all that a killed daemon leaves.
    bench.store.rollback()
    bench.reopen()
    assert bench.send(account, "read")[1] == balances[-1] == 5
