"""The two means agree: on what a workload did, and on what a fault did to it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from recorded import Recorded, comparable, home_in, python, record

from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.supervisor import Supervisor
from pytest_ocap.sweeps.witness import Witness

EACH_CALL = Path(__file__).parent.parent / "support" / "each_call.c"

SQLITE = """
import sqlite3
connection = sqlite3.connect("store.sqlite", isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA synchronous = FULL")
connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT) STRICT")
for number in range(5):
    connection.execute("INSERT INTO t (b) VALUES (?)", (str(number) * 100,))
connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
print("stored")
"""

NODE = """
const fs = require('fs'), net = require('net')
fs.mkdirSync('d')
const file = fs.openSync('d/a', 'w')
fs.writeSync(file, 'hello')
fs.fsyncSync(file)
fs.closeSync(file)
fs.renameSync('d/a', 'd/b')
fs.appendFileSync('d/b', ' world')
const server = net.createServer(c => c.on('data', d => c.end('re: ' + d))).listen('sock', () => {
  const client = net.connect('sock', () => client.write('question'))
  client.on('data', d => { console.log(String(d)); server.close() })
})
"""


@pytest.fixture(scope="module")
def each_call(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: install gcc")
    program = tmp_path_factory.mktemp("each") / "each_call"
    subprocess.run([compiler, "-Wall", "-o", program, EACH_CALL], check=True)
    return [str(program)]


def both(supervisor: Supervisor, witness: Witness, folder: Path, command: list[str]) -> tuple[Recorded, Recorded]:
    one = record(supervisor, home_in(folder, "supervised"), command)
    other = record(witness, home_in(folder, "witnessed"), command)
    assert (one.status, one.output) == (other.status, other.output)
    return one, other


def test_they_agree_on_a_program_that_makes_each_call_once(
    supervisor: Supervisor, witness: Witness, short_tmp: Path, each_call: list[str]
) -> None:
    one, other = both(supervisor, witness, short_tmp, each_call)
    assert one.status == 0, one.output
    assert comparable(one.recording) == comparable(other.recording)
    assert {call.kind for call in one.recording.calls} == {*Kind}


def test_they_agree_on_results_where_the_supervisor_sees_them(
    supervisor: Supervisor, witness: Witness, short_tmp: Path, each_call: list[str]
) -> None:
    one, other = both(supervisor, witness, short_tmp, each_call)
    pairs = [
        (mine.name, mine.path, mine.result, theirs.result)
        for mine, theirs in zip(one.recording.calls, other.recording.calls, strict=True)
        if mine.result is not None
    ]
    assert [pair for pair in pairs if pair[2] != pair[3]] == []
    assert len(pairs) > 30


def test_they_agree_on_a_workload_of_sqlite(supervisor: Supervisor, witness: Witness, short_tmp: Path) -> None:
    one, other = both(supervisor, witness, short_tmp, [shutil.which("python3") or "", "-c", SQLITE])
    assert one.output == "stored\n"
    assert one.points() == other.points()
    assert len(one.points()) > 100
    assert [call.result for call in one.of(Kind.WRITE, Kind.SYNC)] == [
        call.result for call in other.of(Kind.WRITE, Kind.SYNC)
    ]


def test_they_agree_on_a_program_of_node(supervisor: Supervisor, witness: Witness, short_tmp: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js: install nodejs")
    one, other = both(supervisor, witness, short_tmp, [node, "-e", NODE])
    assert one.output == "re: question\n"
    assert one.points() == other.points()
    for done in (one, other):
        assert {call.data for call in done.of(Kind.SEND)} == {b"question", b"re: question"}


@pytest.mark.parametrize("fault", ["w:write:a#2=EIO", "w:write:a#2=kill", "w:rename:a#1=EACCES", "w:sync:a#1=EINTR"])
def test_they_agree_on_what_a_fault_did(supervisor: Supervisor, witness: Witness, short_tmp: Path, fault: str) -> None:
    command = python(
        """
        file = os.open("a", os.O_CREAT | os.O_WRONLY)
        for data in (b"one", b"two", b"three"):
            try:
                os.write(file, data)
                os.fsync(file)
            except OSError as error:
                print(error.errno)
        os.rename("a", "b")
        """
    )
    record(witness, home_in(short_tmp, "learning"), command)
    one = record(supervisor, home_in(short_tmp, "supervised"), command, fault)
    other = record(witness, home_in(short_tmp, "witnessed"), command, fault)
    assert (one.status, [*filter(None, one.output.split("Traceback"))]) == (
        other.status,
        [*filter(None, other.output.split("Traceback"))],
    )
    assert [str(firing.injection) for firing in one.reached.fired] == [fault]
    assert [firing.injection for firing in other.reached.fired] == [firing.injection for firing in one.reached.fired]
    assert one.points() == other.points()
    states = [
        {path.name: path.read_bytes() for path in (short_tmp / name).iterdir()} for name in ("supervised", "witnessed")
    ]
    assert states[0] == states[1]


def test_the_witness_says_what_it_does_not_read(witness: Witness, short_tmp: Path) -> None:
    done = record(
        witness,
        home_in(short_tmp),
        """
        into = os.open("copy", os.O_CREAT | os.O_RDWR)
        os.write(into, b"abc")
        assert os.sendfile(os.open("more", os.O_CREAT | os.O_RDWR), into, 0, 3) == 3
        """,
    )
    assert done.status == 0, done.output
    assert "sendfile on more: what it did was not seen" in done.recording.notes
