"""Expectations are read whole or refused with everything that is wrong, and kept up to date with what a run found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_ocap.expectations import Expectations, ExpectationsError, read, variants
from pytest_ocap.marker_table import MARKERS
from pytest_ocap.scenarios import SCENARIOS
from pytest_ocap.verdict import NOT_REACHED, Check, Finding, Verdict


class Named:
    """As much of a driver as expectations ask for."""

    name = "little"
    phases = ("lock", "store")


DRIVER: Any = Named()
SOCKET = "stale_socket[live]"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "expectations.toml"


def written(path: Path, text: str) -> Expectations:
    path.write_text(text)
    return read(path, DRIVER)


def found(finding: Finding, *checks: tuple[str, Finding], name: str = SOCKET, **more: Any) -> Verdict:
    return Verdict(name, finding, 0.1, tuple(Check(check, what, "seen") for check, what in checks), **more)


def test_a_file_that_is_not_there_declares_nothing(path: Path) -> None:
    assert read(path, DRIVER).entries == {}


def test_everything_wrong_is_told_at_once_with_its_line(path: Path) -> None:
    with pytest.raises(ExpectationsError) as caught:
        written(
            path,
            '[missing_bundel]\nboots = "x"\n'
            '["stale_socket[life]"]\nboots = "x"\n'
            '["stale_socket[live]"]\nrefussed = "x"\nquickly = ""\nbaseline = "x"\nrefused = 3\n',
        )
    life = "the scenario 'stale_socket' has no variant 'stale_socket[life]'; did you mean 'stale_socket[live]'?"
    assert str(caught.value).splitlines() == [
        f"{path}:1: there is no scenario 'missing_bundel'; did you mean 'missing_bundle'?",
        f"{path}:3: {life}",
        f"{path}:6: stale_socket[live]: the check 'refussed' does not exist; did you mean 'refused'?",
        f"{path}:7: stale_socket[live]: the check 'quickly' is declared without a reason",
        f"{path}:8: stale_socket[live]: the check 'baseline' is the harness's own, and cannot be declared",
        f"{path}:9: stale_socket[live]: the check 'refused' is declared without a reason",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('driver = "other"\n', "it is about the driver 'other', and this run's is 'little'"),
        ('drivr = "little"\n', "'drivr' is no table of a scenario, and no setting; known: driver"),
        ("[stale_socket\n", "line 1"),
    ],
)
def test_a_file_for_somebody_else_or_of_no_form_is_refused(path: Path, text: str, told: str) -> None:
    with pytest.raises(ExpectationsError, match=told):
        written(path, text)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_variant_of_the_suite_and_every_number_is_known(path: Path, scenario: str) -> None:
    names = list(variants(scenario, DRIVER.phases))
    for parameter in MARKERS[scenario].parameters:
        if isinstance(parameter.default, int):
            inner = names[0].removeprefix(scenario).strip("[]")
            names.append(f"{scenario}[{inner}{'-' * bool(inner)}{parameter.name}=7]")
    for name in names:
        assert written(path, f'["{name}"]\nfired = "known"\n').entries == {name: {"fired": "known"}}


def test_a_phase_that_the_driver_does_not_have_is_no_variant(path: Path) -> None:
    with pytest.raises(ExpectationsError, match=r"no variant 'crashed_init\[kill-restore\]'"):
        written(path, '["crashed_init[kill-restore]"]\nfired = "known"\n')


@pytest.mark.parametrize(
    ("finding", "checks", "mended"),
    [
        (Finding.FAILED, [("refused", Finding.FAILED), ("quickly", Finding.NOT_MEASURED)], ("fired",)),
        (Finding.FAILED, [("refused", Finding.PASSED), ("quickly", Finding.FAILED)], ("refused", "fired")),
        (Finding.PASSED, [("refused", Finding.PASSED)], ("refused", "quickly", "fired")),
        (Finding.NOT_MEASURED, [("fired", Finding.NOT_MEASURED)], ()),
        (Finding.HARNESS_BROKEN, [("baseline", Finding.HARNESS_BROKEN)], ()),
        (Finding.UNSUPPORTED, [("capability", Finding.UNSUPPORTED)], ()),
    ],
)
def test_what_passed_or_is_not_made_any_more_is_mended(
    path: Path, finding: Finding, checks: list[tuple[str, Finding]], mended: tuple[str, ...]
) -> None:
    expectations = written(path, f'["{SOCKET}"]\nrefused = "a"\nquickly = "b"\nfired = "c"\n')
    declared = expectations.of(found(finding, *checks))
    assert declared is not None
    assert declared.mended == mended
    assert expectations.of(found(finding, *checks, name="stale_socket[dead]")) is None


def update(expectations: Expectations, *verdicts: Verdict) -> str:
    return expectations.updated([replace(v, declared=expectations.taken_up(v)) for v in verdicts]).text


def test_an_update_adds_what_failed_removes_what_passed_and_leaves_the_rest(path: Path) -> None:
    expectations = written(
        path,
        'driver = "little"\n\n'
        f'["{SOCKET}"]\nrefused = "issue 7"  # still\nquickly = "slow"\n\n'
        '[degraded_boot]\nboots = "not run now"\n',
    )
    run = found(
        Finding.FAILED,
        ("refused", Finding.FAILED),
        ("quickly", Finding.PASSED),
        ("left-alone", Finding.FAILED),
    )
    unreached = Verdict("stale_socket[dead]", Finding.FAILED, 0.1, (
        Check("boots", Finding.FAILED, "no"), Check("ping", Finding.NOT_MEASURED, NOT_REACHED),
    ))  # fmt: skip
    assert update(expectations, run, unreached) == (
        'driver = "little"\n\n'
        f'["{SOCKET}"]\nrefused = "issue 7"  # still\nleft-alone = ""\n\n'
        '[degraded_boot]\nboots = "not run now"\n\n'
        '["stale_socket[dead]"]\nboots = ""\n'
    )


def test_an_update_does_not_declare_what_is_not_the_daemons_or_fails_no_run(path: Path) -> None:
    expectations = read(path, DRIVER)
    text = update(
        expectations,
        found(Finding.HARNESS_BROKEN, ("baseline", Finding.HARNESS_BROKEN)),
        found(Finding.UNSUPPORTED, ("capability", Finding.UNSUPPORTED), name="degraded_boot"),
        found(Finding.FAILED, ("boots", Finding.FAILED), name="stale_socket[dead]", new=True),
    )
    assert text == ""


def test_a_check_that_fails_in_one_test_and_passes_in_another_stays_declared(path: Path) -> None:
    expectations = written(path, f'["{SOCKET}"]\nrefused = "now and then"\n')
    passed, failed = (found(finding, ("refused", finding)) for finding in (Finding.PASSED, Finding.FAILED))
    assert update(expectations, passed, failed) == expectations.text


def test_a_first_update_says_what_the_file_is_and_of_which_driver(path: Path) -> None:
    text = update(read(path, DRIVER), found(Finding.FAILED, ("refused", Finding.FAILED)))
    assert text.startswith("# ")
    path.write_text(text)
    with pytest.raises(ExpectationsError, match="'refused' is declared without a reason"):
        read(path, DRIVER)
    assert read(path, DRIVER, lenient=True).entries == {SOCKET: {"refused": ""}}
