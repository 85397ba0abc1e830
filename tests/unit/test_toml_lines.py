"""Entries of a TOML file are found by their lines, added and taken away, and nothing else changes."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ocap.toml_lines import NotEditableError, Place, edited, places

TEXT = """\
# by hand
driver = "little"

["missing_bundle[delete]"]   # the first
boots = "known"  # since 1.2
ping = \"\"\"
long
story\"\"\"

# about sockets
[stale_socket]
'left-alone' = 'known'
"""
BEFORE = {"missing_bundle[delete]": {"boots": "known", "ping": "long\nstory"}, "stale_socket": {"left-alone": "known"}}


def test_entries_and_heads_are_found_where_they_stand() -> None:
    assert list(places(TEXT)) == [
        Place("", "driver", 2, 2),
        Place("missing_bundle[delete]", "", 4, 4),
        Place("missing_bundle[delete]", "boots", 5, 5),
        Place("missing_bundle[delete]", "ping", 6, 8),
        Place("stale_socket", "", 11, 11),
        Place("stale_socket", "left-alone", 12, 12),
    ]


def test_nothing_to_do_changes_nothing() -> None:
    assert edited(TEXT, BEFORE, BEFORE) == TEXT


def test_what_is_added_stands_with_its_table_and_a_new_table_at_the_end() -> None:
    after = {
        **BEFORE,
        "missing_bundle[delete]": {**BEFORE["missing_bundle[delete]"], "record-kept": ""},
        "new[x]": {"a": 'q"'},
    }
    expected = TEXT.replace('story"""\n', 'story"""\nrecord-kept = ""\n') + '\n["new[x]"]\na = "q\\""\n'
    assert edited(TEXT, BEFORE, after) == expected


def test_what_is_removed_goes_with_its_lines_and_an_empty_table_with_its_head() -> None:
    after = {"missing_bundle[delete]": {"boots": "known"}, "stale_socket": {}}
    assert edited(TEXT, BEFORE, after) == (
        '# by hand\ndriver = "little"\n\n["missing_bundle[delete]"]   # the first\nboots = "known"  # since 1.2\n\n'
        "# about sockets\n"
    )


def test_a_table_with_a_comment_of_its_own_keeps_its_head() -> None:
    text = '[x]\n# why\na = "known"\n'
    assert edited(text, {"x": {"a": "known"}}, {}) == "[x]\n# why\n"


@pytest.mark.parametrize("text", ['x = { a = "known" }\n', 'x.a = "known"\n', '[x]\na = "known"\n[x.y]\nz = "w"\n'])
def test_a_file_of_another_form_is_refused_and_not_spoiled(text: str) -> None:
    tomllib.loads(text)
    with pytest.raises(NotEditableError):
        edited(text, {"x": {"a": "known"}}, {"x": {}})


entries = st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=12), max_size=4)
tables = st.dictionaries(st.text(min_size=1, max_size=8), entries, max_size=4)


@given(before=tables, after=tables)
def test_whatever_is_written_is_read_back(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> None:
    # What both have in common keeps its value: entries are added and removed, never changed.
    after = {name: {key: before.get(name, {}).get(key, text) for key, text in it.items()} for name, it in after.items()}
    first = edited("", {}, before)
    second = edited(first, before, after)
    assert {name: it for name, it in tomllib.loads(second).items() if it} == {n: it for n, it in after.items() if it}
