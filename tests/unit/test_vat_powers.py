from __future__ import annotations

import pytest

from kernel.vat.powers import Output, OutputStream, VatPowers


class Sink:
    def __init__(self, limit: int = 1000) -> None:
        self.entries: list[tuple[str, str]] = []
        self.output = Output(lambda level, text: self.entries.append((level, text)), limit)


def test_the_logger_writes_at_its_levels() -> None:
    sink = Sink()
    logger = VatPowers(sink.output, []).logger
    logger.debug("a")
    logger.info("b %s", 1)
    logger.warning({"c": 1})
    logger.error("100%")
    assert sink.entries == [("debug", "a"), ("info", "b 1"), ("warning", "{'c': 1}"), ("error", "100%")]


def test_output_is_bounded_for_each_delivery_and_what_is_dropped_is_counted() -> None:
    sink = Sink(80)
    for _ in range(3):
        sink.output.write("info", "üüü")
    sink.output.finish_delivery()
    sink.output.write("info", "next")
    sink.output.finish_delivery()
    assert sink.entries == [
        ("info", "üüü"),
        ("warning", "140 bytes of output were dropped: a delivery may write 80 bytes to the log"),
        ("info", "next"),
    ]


def test_a_stream_writes_lines() -> None:
    sink = Sink()
    stream = OutputStream(sink.output, "info")
    assert stream.writable()
    print("one", end="", file=stream)
    print(" two\n\nthree", file=stream)
    assert sink.entries == [("info", "one two"), ("info", ""), ("info", "three")]
    stream.write("rest")
    stream.flush()
    stream.flush()
    assert sink.entries[-1] == ("info", "rest")
    assert len(sink.entries) == 4


def test_a_line_that_never_ends_is_written_in_parts() -> None:
    sink = Sink(1 << 20)
    stream = OutputStream(sink.output, "info")
    print("x" * 10_000, file=stream)
    print(file=stream)
    assert [len(text) for _, text in sink.entries] == [10_000, 0]


def test_text_that_has_no_utf_8_form_is_no_error() -> None:
    sink = Sink()
    sink.output.write("info", "\ud800")
    assert sink.entries == [("info", "\\ud800")]


def test_powers_are_granted_by_name() -> None:
    powers = VatPowers(Sink().output, ["clock", "random", "logger"])
    assert powers.clock.monotonic() <= powers.clock.monotonic()
    assert powers.clock.time() > 1_600_000_000
    assert 1 <= powers.random.randint(1, 6) <= 6


def test_a_power_that_was_not_granted_says_how_to_get_it() -> None:
    powers = VatPowers(Sink().output, [])
    with pytest.raises(AttributeError, match="was not granted the power 'random': name it in the vat's 'globals'"):
        _ = powers.random
    with pytest.raises(AttributeError, match="vat_powers has no 'fetch'"):
        _ = powers.fetch


def test_an_unknown_power_cannot_be_granted() -> None:
    with pytest.raises(ValueError, match=r"no power named 'fetch' to grant \(there are: clock, logger, random\)"):
        VatPowers(Sink().output, ["fetch"])


def test_empty_lines_count_too() -> None:
    sink = Sink(1000)
    print("\n" * 100_000, file=OutputStream(sink.output, "info"))
    assert len(sink.entries) < 20
