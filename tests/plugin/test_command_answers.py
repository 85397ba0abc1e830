"""What is read from answers and put into requests; the example descriptions."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from pytest_ocap.drivers.command import driver_from
from pytest_ocap.drivers.command_answers import FormError, at, number_at, parsed, unmet
from pytest_ocap.drivers.command_words import filled, filled_value, placeholders

EXAMPLES = Path(__file__).parents[2] / "examples" / "daemons"


def test_placeholders_are_replaced_and_other_braces_are_not() -> None:
    values = {"home": "/h", "id": 7}
    assert filled('{"a": {"b": 1}} {home} ${home} {{home}} {id}', values) == '{"a": {"b": 1}} /h ${home} {home} 7'
    assert filled_value({"{home}": ["{id}", "n{id}", True, None, 1.5]}, values) == {"/h": [7, "n7", True, None, 1.5]}
    assert list(placeholders({"{a}": [{"x": "{b}{{c}}${D}"}], "y": 1})) == ["a", "b"]


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ('{"a": [1]}\n', {"a": [1]}),
        ("[]", []),
        ("17\n", {"output": "17", "lines": ["17"]}),
        ("one \n\n two\n", {"output": "one \n\n two", "lines": ["one", "two"]}),
    ],
)
def test_a_command_s_output_is_json_or_text(output: str, answer: Any) -> None:
    assert parsed(output) == answer


def test_a_path_that_leads_nowhere_is_told_by_its_step() -> None:
    answer = {"a": [{"b": "#3"}]}
    assert at(answer, "a.0.b") == "#3"
    assert at(answer, "") is answer
    assert number_at(answer, "a.0.b") == 3
    for path, step in (("a.1.b", "1"), ("a.x", "x"), ("a.0.c", "c"), ("a.0.b.d", "d")):
        with pytest.raises(FormError, match=f"nothing at '{path}' \\(no '{step}' in "):
            at(answer, path)
    with pytest.raises(FormError, match="no number stands at 'a'"):
        number_at(answer, "a")


def test_an_expectation_that_is_not_met_is_told() -> None:
    answer = {"state": "up", "n": 3}
    assert unmet(None, answer, "") is None
    assert unmet("up", answer, "it is up") is None
    assert unmet("down", answer, "it is up") == "expected 'down' in the answer"
    assert unmet({"state": "up", "n": "3"}, answer, "") is None
    assert unmet({"n": 4}, answer, "") == "expected 4 at 'n' of the answer, found 3"
    assert "nothing at 'm'" in str(unmet({"m": 1}, answer, ""))


@pytest.mark.parametrize("folder", ["dmypy", "lifecycle", "node", "redis", "redis-append"])
def test_an_example_is_wrong_in_nothing_but_that_its_program_may_be_missing(folder: str) -> None:
    source = EXAMPLES / folder / "pyproject.toml"
    try:
        driver = driver_from(tomllib.loads(source.read_text())["tool"]["pytest_ocap"]["command"], source)
    except pytest.UsageError as error:
        assert "no program" in str(error)  # noqa: PT017 (either is right, here or there)
    else:
        assert driver.phases
