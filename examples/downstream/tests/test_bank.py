"""The bank keeps its promises, whatever happens to the machine that it runs on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.inprocess import KernelOpener

PROJECT = Path(__file__).parents[1]


class Bank:
    """The bank's subcluster on a running daemon, used through the `ocap` command as its operators do."""

    def __init__(self, home: Path, files: Path) -> None:
        self.home = home
        self.files = files
        self.id = ""
        self.teller = ""

    def open(self) -> None:
        shutil.copy(PROJECT / "cluster.json", self.files)
        for vat in ("bank", "teller"):
            self.ocap("bundle", str(PROJECT / "vats" / f"{vat}.py"), "-o", str(self.files / f"{vat}.bundle"))
        launched = json.loads(self.ocap("subcluster", "launch", str(self.files / "cluster.json"), "--json"))
        self.id, self.teller = launched["subclusterId"], launched["rootKref"]

    def ask(self, method: str, *arguments: object) -> Any:
        words = [json.dumps(argument) for argument in arguments]
        return json.loads(self.ocap("daemon", "queueMessage", self.teller, method, *words))

    def ocap(self, *words: str) -> str:
        command = [sys.executable, "-m", "kernel.cli", "--home", str(self.home), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout


@pytest.fixture
def bank(ocap_driver: KernelDriver, ocap_home: Path, tmp_path: Path) -> Iterator[Bank]:
    assert ocap_driver.start(ocap_home, timeout=20.0).ok
    bank = Bank(ocap_home, tmp_path)
    bank.open()
    yield bank
    ocap_driver.stop(ocap_home, timeout=10.0, force=True)


def test_a_payment_moves_money(bank: Bank) -> None:
    assert bank.ask("pay", "ada", "grace", 30) == "ada has paid 30 to grace and has 70 left"
    assert [bank.ask("balance", "ada"), bank.ask("balance", "grace")] == [70, 130]


def test_nobody_pays_what_they_do_not_have(bank: Bank) -> None:
    with pytest.raises(RuntimeError, match="ada cannot pay 101: there are 100"):
        bank.ask("pay", "ada", "grace", 101)
    assert bank.ask("balance", "ada") == 100


def test_money_is_neither_made_nor_lost_by_a_crash(bank: Bank, ocap_driver: KernelDriver) -> None:
    bank.ask("pay", "ada", "grace", 30)

    ocap_driver.kill(bank.home)
    assert ocap_driver.start(bank.home, timeout=20.0).ok

    assert [bank.ask("balance", "ada"), bank.ask("balance", "grace")] == [70, 130]


def test_the_bank_comes_back_when_its_code_does(bank: Bank, ocap_driver: KernelDriver) -> None:
    bank.ask("pay", "ada", "grace", 30)
    assert ocap_driver.stop(bank.home, timeout=10.0).ok
    code = (bank.files / "bank.bundle").rename(bank.files / "misplaced")

    assert ocap_driver.start(bank.home, timeout=20.0).ok
    (listed,) = ocap_driver.list(bank.home, timeout=10.0).value
    assert (listed.id, listed.state, listed.code) == (bank.id, "quarantined", "bundle-missing")

    code.rename(bank.files / "bank.bundle")
    bank.ocap("subcluster", "repair", bank.id)
    assert bank.ask("balance", "grace") == 130


def test_a_restore_can_be_looked_at_without_a_daemon(
    bank: Bank, ocap_driver: KernelDriver, ocap_kernel: KernelOpener
) -> None:
    assert ocap_driver.stop(bank.home, timeout=10.0).ok
    (bank.files / "teller.bundle").unlink()

    kernel = ocap_kernel(bank.home)

    (subcluster,) = kernel.status()["subclusters"]
    assert subcluster["quarantine"]["vat"] == "teller"
    assert subcluster["quarantine"]["path"] == str(bank.files / "teller.bundle")
