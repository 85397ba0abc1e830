"""A bundle that cannot be fetched: the error is typed, comes at once, and names the file that was looked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import PLAIN, Capability, has
from pytest_ocap.examination import scenario
from pytest_ocap.faults.bundles import BUNDLE_FAULTS
from pytest_ocap.persisted import ANSWER_SECONDS, bundles_of, start
from pytest_ocap.scenarios.contracts import UNTYPED, bare_errno, listed, masked, names_path

if TYPE_CHECKING:
    from pytest_ocap.driver import KernelDriver, Listed, Outcome
    from pytest_ocap.examination import Examination
    from pytest_ocap.faults.bundles import BundleFault
    from pytest_ocap.persisted import PersistedStore


QUICK_SECONDS = 5.0
"""Within which the error has to come: no file takes that long, and a reader that hangs takes longer."""


def fault_of(how: str, bundle: Path) -> BundleFault:
    """Make the fault that is called ``how`` here."""
    return BUNDLE_FAULTS[{"missing": "delete", "truncated": "truncate"}.get(how, how)](bundle)


class UnfetchableBundle(Arrangement):
    """A bundle that cannot be fetched; what is handed out is its URL."""

    marker = "bundle_fetch_error"

    @property
    def given(self) -> str:
        """The bundle's URL."""
        return self.url

    def in_the_home(self) -> None:
        """Make the bundle, and break it."""
        bundle = bundles_of(self.situation.store.home) / "wanted.bundle"
        self.url = self.situation.driver.make_bundle(bundle)
        fault = fault_of(self.values["how"], bundle)
        self.situation.run_under(fault.setting)
        self.situation.arm(fault)


def _shared(*, how: str) -> bool:
    return fault_of(how, Path("bundle")).setting == PLAIN  # else it takes a daemon that was started in that setting


@scenario(
    Capability.FETCH,
    Capability.LAUNCH,
    edition="2026.1",
    checks={
        "refused": "the fetch fails, and its client comes back by itself",
        "quickly": "the error comes within 5 s, whatever stands at the path",
        "typed": "the error has a stable code of its own",
        "names-path": "the message has the path that was looked for",
        "not-bare-errno": "the message is more than an errno",
        "no-masked-text": "the message is not lost behind an object's name",
        "rolled-back": "the subclusters are those from before",
        "still-answers": "the daemon goes on answering",
    },
    shared=_shared,
)
def bundle_fetch_error(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    running: bool = False,
    how: str = "missing",
) -> None:
    """Have a daemon fetch a bundle that is ``how``; one that is already ``running`` is used as it is."""
    home = home if store is None else store.home
    lists = has(driver, Capability.LIST)
    examination.expect(
        "refused",
        "quickly",
        *(("typed",) if has(driver, Capability.ERROR_CODES) else ()),
        "names-path",
        "not-bare-errno",
        "no-masked-text",
        *(("rolled-back",) if lists else ()),
        "still-answers",
    )
    bundle = bundles_of(home) / "wanted.bundle"
    url = driver.make_bundle(bundle)
    fault = fault_of(how, bundle)
    with examination.armed(fault):
        if not running:
            start(driver, home, fault.setting)
        before = listed(driver, home) if lists else None
        outcome = driver.fetch(home, url, timeout=QUICK_SECONDS + 1.0)
        told = outcome.describe()
        examination.check("refused", not outcome.ok and not outcome.timed_out, told)
        examination.check("quickly", not outcome.timed_out and outcome.seconds <= QUICK_SECONDS, told)
        if outcome.timed_out:
            return  # it hangs: there is no error to look at, and nobody to ask
        if has(driver, Capability.ERROR_CODES):
            examination.check("typed", (outcome.code or "") not in UNTYPED, f"code {outcome.code!r}: {told}")
        examination.check("names-path", names_path(outcome.text, bundle), f"wanted: {bundle}\n{told}")
        examination.check("not-bare-errno", not bare_errno(outcome.text), told)
        examination.check("no-masked-text", masked(outcome.text) is None, told)
        if before is not None:
            _check_rolled_back(examination, before, listed(driver, home))
        examination.outcome("still-answers", driver.ping(home, timeout=ANSWER_SECONDS))


def _check_rolled_back(
    examination: Examination, before: tuple[dict[str, Listed], Outcome], after: tuple[dict[str, Listed], Outcome]
) -> None:
    """Check that two lists have the same subclusters; one that failed has none that could be compared."""
    (entries_before, list_before), (entries_after, list_after) = before, after
    same = list_before.ok and list_after.ok and set(entries_before) == set(entries_after)
    detail = f"the list before: {list_before.describe()}\nthe list after: {list_after.describe()}"
    examination.check("rolled-back", same, detail)
