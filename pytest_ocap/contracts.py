"""What is done for a test with ocap markers: admitted at collection, its scenarios' contracts checked after its body.

Invariant: each contract is checked on a store of its own, after everything that the body used was taken back, so that
a verdict is about the daemon and not about what the test did to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_ocap import markers, session
from pytest_ocap.clock import Clock
from pytest_ocap.driver import Capability, has, lacks
from pytest_ocap.examination import scenario_id
from pytest_ocap.homes import refuse_fakes
from pytest_ocap.marker_table import MARKERS, PHASE
from pytest_ocap.options import driver_of, pinned_edition
from pytest_ocap.report import transport
from pytest_ocap.scenarios import SCENARIOS
from pytest_ocap.situation import subclusters
from pytest_ocap.standing import complaint, excuse, expectations_of, stood
from pytest_ocap.verdict import Finding, HarnessBrokenError, Verdict, lone_finding

if TYPE_CHECKING:
    from typing import Any

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.examination import Scenario

FIXTURE_NEEDS: dict[str, frozenset[Capability]] = {
    "ocap_missing_bundle": frozenset({Capability.LAUNCH}),
    "ocap_crashed_init": frozenset({Capability.PHASES}),
    "ocap_stale_socket": frozenset({Capability.SOCKET}),
}
"""What the fixtures need that arrange a fault."""


def admit(item: pytest.Item, driver: KernelDriver) -> None:
    """Check a test's markers against the driver and each other; skip the test when the driver lacks what it needs.

    Raises:
        pytest.UsageError: The markers contradict each other, or name a phase that the driver does not have; or the
            edition or the expectations are wrong.
    """
    pinned_edition(item.config)
    expectations_of(item.config)
    wishes = item.stash[session.wishes_key]
    try:
        subclusters(session.wished(item))
    except ValueError as error:
        raise pytest.UsageError(f"{item.nodeid}: {error}") from error
    reasons = []
    for name, wish in wishes.items():
        if wish.values.get("phase") == PHASE:
            wish.values["phase"] = markers.default_phase(tuple(driver.phases))
        markers.check_phase(wish, tuple(driver.phases), item.nodeid)
        if name in SCENARIOS:
            scenario = SCENARIOS[name]
            transport.announce(item, scenario_id(scenario, wish.values))
            reason = lacks(driver, scenario.needs) or scenario.supported(driver, **wish.values)
            if reason:
                reasons.append(reason)
                found = lone_finding(scenario_id(scenario, wish.values), Finding.UNSUPPORTED, "capability", reason)
                transport.record(item, stood(found, item.config, item.nodeid))
        elif wish.values.get("subclusters") and not has(driver, Capability.LAUNCH):
            reasons.append(str(lacks(driver, {Capability.LAUNCH})))
    for fixture, needs in FIXTURE_NEEDS.items():
        if fixture in getattr(item, "fixturenames", ()) and lacks(driver, needs):
            reasons.append(str(lacks(driver, needs)))
    if reasons:
        item.add_marker(pytest.mark.skip(reason="; ".join(dict.fromkeys(reasons))))


def check(item: pytest.Item) -> None:
    """Check the contracts of a test's scenarios; fail the test with every broken check, by its name.

    What is declared, or new, and nothing else, makes the test one that is expected to fail.
    """
    verdicts = _judge(item)
    red = [verdict for verdict in verdicts if verdict.red]
    if red:
        pytest.fail("\n\n".join(complaint(verdict, item.config) for verdict in red), pytrace=False)
    excused = [verdict for verdict in verdicts if verdict.verdict not in (Finding.PASSED, Finding.UNSUPPORTED)]
    if excused:
        for verdict in excused:
            item.add_report_section("call", f"ocap contract of {verdict.id}", verdict.explain())
        pytest.xfail("; ".join(excuse(verdict, item.config) for verdict in excused))
        pytest.fail("\n\n".join(verdict.explain() for verdict in excused), pytrace=False)  # reached with --runxfail
    unsupported = [verdict for verdict in verdicts if verdict.verdict is Finding.UNSUPPORTED]
    if unsupported:
        pytest.skip("; ".join(f"{verdict.id}: {verdict.checks[0].detail}" for verdict in unsupported))


def check_beside(item: pytest.Item) -> None:
    """Check the contracts of a test whose body failed already: what is broken is shown beside that failure."""
    for verdict in _judge(item):
        if verdict.verdict is not Finding.PASSED:
            item.add_report_section("call", f"ocap contract of {verdict.id}", verdict.explain())


def leave(item: pytest.Item, why: str) -> None:
    """Leave a test as it stands: its contracts are not checked, and why is told."""
    for scenario in transport.missing(item):
        found = lone_finding(scenario, Finding.NOT_MEASURED, "contract", f"{why}; the contract was not checked")
        transport.record(item, stood(found, item.config, item.nodeid))


def _judge(item: pytest.Item) -> list[Verdict]:
    session.release(item)
    try:
        refuse_fakes()
    except RuntimeError as error:
        raise pytest.fail.Exception(f"{item.name}: {error}", pytrace=False) from None
    verdicts = []
    for name, wish in item.stash[session.wishes_key].items():
        if name in SCENARIOS:
            verdict = stood(_run(item, SCENARIOS[name], wish.values), item.config, item.nodeid)
            transport.record(item, verdict)
            verdicts.append(verdict)
    return verdicts


def _run(item: pytest.Item, scenario: Scenario, values: dict[str, Any]) -> Verdict:
    name = scenario_id(scenario, values)
    clock = Clock()
    began = clock.now()
    try:
        if scenario.shared(**values):
            return _run_on_common_daemon(item, scenario, values)
        return _run_on_store(item, scenario, values)
    except HarnessBrokenError as error:
        seconds = clock.now() - began
        return lone_finding(name, Finding.HARNESS_BROKEN, "baseline", str(error), seconds, error.evidence)
    except pytest.fail.Exception as interruption:  # pytest-timeout's, with the method "signal"
        what = f"interrupted from outside: {interruption}"
        found = lone_finding(name, Finding.HARNESS_BROKEN, "interrupted", what, clock.now() - began)
        transport.record(item, stood(found, item.config, item.nodeid))
        raise


def _run_on_store(item: pytest.Item, scenario: Scenario, values: dict[str, Any]) -> Verdict:
    driver, templates = driver_of(item.config), session.templates_of(item.config)
    counted = "subclusters" in values or MARKERS[scenario.name].subclusters is not None
    count = subclusters({scenario.name: values}) if counted else 1
    store = templates.lend(driver, count if has(driver, Capability.LAUNCH) else 0)
    try:
        return scenario(driver, store.home, store=store, **values)
    finally:
        templates.take_back(store)


def _run_on_common_daemon(item: pytest.Item, scenario: Scenario, values: dict[str, Any]) -> Verdict:
    driver = driver_of(item.config)
    return scenario(driver, session.common_daemon(item.config), running=True, **values)
