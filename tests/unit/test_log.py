"""The log: whole lines of JSON, whatever is in them; rotation; and what a full disk costs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from kernel.daemon import log as module
from kernel.daemon.log import DaemonLog, append_record, parse_line, read_records, render_line, tail, wanted_size
from kernel.errors import LogError, StoreCorruptError, UsageError
from kernel.timestamps import timestamp


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "daemon.log")


def opened(path: str, **options: Any) -> DaemonLog:
    log = DaemonLog(path, **options)
    log.open()
    return log


def rendered(**fields: Any) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(render_line("info", "an.event", fields, 0.0))
    return record


def test_a_line_has_time_level_and_event_first_and_then_the_fields(path: str) -> None:
    log = opened(path, wall_clock=lambda: 1767225600.25)
    log.warning("subcluster.quarantined", subclusterId="s2")
    log.close()
    assert Path(path).read_text() == (
        '{"ts": "2026-01-01T00:00:00.250Z", "level": "warning", "event": "subcluster.quarantined", '
        '"subclusterId": "s2"}\n'
    )
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_the_timestamp_follows_a_frozen_clock(path: str) -> None:
    import time

    with freeze_time("2026-05-04 03:02:01"):
        assert timestamp(time.time()) == "2026-05-04T03:02:01.000Z"


def test_the_size_at_which_the_log_is_moved_aside_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCAP_LOG_BYTES", raising=False)
    assert wanted_size() == 10 * 1024 * 1024
    monkeypatch.setenv("OCAP_LOG_BYTES", "4096")
    assert wanted_size() == 4096


@pytest.mark.parametrize("text", ["0", "-1", "10MB", " "])
def test_a_size_that_is_none_is_refused_by_the_variable_s_name(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCAP_LOG_BYTES", text)
    with pytest.raises(UsageError, match="OCAP_LOG_BYTES has to be a number of bytes above 0"):
        wanted_size()


def test_every_level_can_be_written_and_low_ones_left_out(path: str) -> None:
    log = opened(path, level="warning")
    for level in ("debug", "info", "warning", "error", "fatal"):
        getattr(log, level)("an.event")
    log.close()
    assert [record["level"] for record in read_records(path)] == ["warning", "error", "fatal"]


class Opaque:
    """An object without a text of its own."""

    def __init__(self) -> None:
        self.name = "x"


class Broken:
    """An object whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def test_no_value_is_rendered_as_an_objects_default_repr() -> None:
    record = rendered(value=Opaque(), broken=Broken())
    assert record["value"] == "Opaque(name=str)"
    assert "Broken" in record["broken"]
    assert "object at 0x" not in json.dumps(record)


def test_values_that_are_not_json_are_rendered() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    record = rendered(
        error=StoreCorruptError("damaged", path="/s"),
        os_error=FileNotFoundError(2, "No such file", "/gone"),
        data=b"\xff\x00",
        path=Path("/p"),
        some={1},
        number=float("nan"),
        keys={(1, 2): 3},
        cycle=cycle,
        level="mine",
        lone="\udc80",
    )
    assert record["error"]["code"] == "store-corrupt"
    assert record["os_error"]["path"] == "/gone"
    assert record["path"] == "/p"
    assert record["number"] == "nan"
    assert record["keys"] == {"(1, 2)": 3}
    assert record["level"] == "info"
    assert record["field.level"] == "mine"


def test_a_line_stays_one_line_and_of_bounded_length() -> None:
    line = render_line("info", "an.event", {"text": "a\nb\u2028c\x00", "long": "x" * 10_000_000}, 0.0)
    assert line.count(b"\n") == 1
    assert len(line) < module.MAX_LINE_BYTES
    assert json.loads(line)["text"] == "a\nb\u2028c\x00"
    assert "10000000 characters" in json.loads(line)["long"]


def test_old_files_are_kept_by_number_and_the_oldest_goes(path: str) -> None:
    log = opened(path, max_bytes=200, keep=2)
    for number in range(12):
        log.info("an.event", number=number)
    log.close()
    assert sorted(os.listdir(os.path.dirname(path))) == ["daemon.log", "daemon.log.1", "daemon.log.2"]
    numbers = [record["number"] for name in (f"{path}.2", f"{path}.1", path) for record in read_records(name)]
    assert numbers == list(range(numbers[0], 12))
    assert all(os.path.getsize(name) <= 200 for name in (path, f"{path}.1", f"{path}.2"))


def test_a_rotation_that_fails_is_told_once_and_costs_no_line(path: str) -> None:
    os.mkdir(f"{path}.1")
    Path(f"{path}.1", "in-the-way").write_text("")
    log = opened(path, max_bytes=100, keep=1)
    for number in range(5):
        log.info("an.event", number=number)
    log.close()
    assert [record["number"] for record in read_records(path) if "number" in record] == [0, 1, 2, 3, 4]
    assert len([record for record in read_records(path) if record["event"] == "log.rotation_failed"]) == 1


def test_the_standard_error_follows_the_log_through_a_rotation(path: str) -> None:
    stand_in = os.open("/dev/null", os.O_WRONLY)
    log = opened(path, max_bytes=150, keep=1, stderr_fd=stand_in)
    log.info("an.event", number=1)
    log.info("an.event", number=2)
    os.write(stand_in, b"Fatal Python error\n")
    log.close()
    os.close(stand_in)
    assert os.path.exists(f"{path}.1")
    assert "Fatal Python error" in tail(path, 1)


def test_a_log_that_somebody_moved_or_removed_is_begun_anew(path: str) -> None:
    log = opened(path)
    log.info("an.event", number=1)
    os.rename(path, f"{path}.moved")
    log.info("an.event", number=2)
    os.unlink(path)
    log.info("an.event", number=3)
    log.close()
    assert [record["number"] for record in read_records(path)] == [3]


def test_a_full_disk_costs_lines_and_says_how_many(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(path)
    log.info("an.event", number=1)

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        assert not log.write("info", "an.event", {"number": 2})
        log.info("an.event", number=3)
    log.info("an.event", number=4)
    log.close()
    records = list(read_records(path))
    assert [record["event"] for record in records] == ["an.event", "log.dropped", "an.event"]
    assert records[1]["lines"] == 2


def test_a_line_torn_by_a_full_disk_does_not_spoil_the_next(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(path)
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr("os.write", lambda fd, data: real(fd, data[:10]))
        assert not log.write("info", "an.event", {"number": 1})
    log.info("an.event", number=2)
    log.close()
    assert [record.get("number") for record in read_records(path)] == [None, 2]


def test_a_torn_last_line_of_an_earlier_daemon_is_ended_first(path: str) -> None:
    Path(path).write_bytes(b'{"ts": "20')
    log = opened(path)
    log.info("an.event")
    log.close()
    assert len(list(read_records(path))) == 1


def test_a_log_that_cannot_be_opened_is_an_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("directory", "fifo", "missing/daemon.log"):
        where = str(tmp_path / name)
        with pytest.raises(LogError) as caught:
            opened(where)
        assert where in caught.value.message
        with pytest.raises(LogError):
            append_record(where, "fatal", "an.event", {})


def test_after_close_events_are_dropped_without_harm(path: str) -> None:
    log = opened(path)
    log.close()
    log.close()
    assert not log.write("info", "an.event", {})


def test_of_two_reporters_of_one_death_only_one_writes(path: str) -> None:
    def same(record: dict[str, Any]) -> bool:
        return record.get("pid") == 7

    assert append_record(path, "fatal", "daemon.fatal", {"pid": 7}, unless=same)
    assert not append_record(path, "fatal", "daemon.fatal", {"pid": 7}, unless=same)
    assert append_record(path, "fatal", "daemon.fatal", {"pid": 8}, unless=lambda record: record.get("pid") == 8)
    assert [record["pid"] for record in read_records(path)] == [7, 8]


def test_readers_skip_what_is_not_a_record(path: str) -> None:
    Path(path).write_bytes(b'Fatal Python error: Segmentation fault\n{"torn\n[]\n{}\n\xff\n{"event": "an.event"}\n')
    assert [record["event"] for record in read_records(path)] == ["an.event"]
    assert parse_line(b"{" * 100_000) is None
    assert list(read_records(f"{path}.missing")) == []


def test_the_tail_is_the_last_lines_also_of_a_long_log(path: str) -> None:
    Path(path).write_text("".join(f"line {number}\n" for number in range(1000)))
    assert tail(path, 2) == ["line 998", "line 999"]
    assert tail(path, 5, max_bytes=20) == ["line 998", "line 999"]
    assert tail(path, 0) == []
    assert tail(f"{path}.missing", 3) == []


@pytest.mark.parametrize("kind", ["endless", "pipe", "directory"])
def test_what_is_no_regular_file_is_no_log_to_read(path: str, kind: str) -> None:
    if kind == "endless":
        os.symlink("/dev/full", path)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        os.mkdir(path)
    assert list(read_records(path)) == []
    assert tail(path, 5) == []
