"""What has to be there after a fault, and how that is seen: listed, set aside or running, going on where it was.

Invariant: what was acknowledged is there, and what was acknowledged as removed is not.  An operation whose outcome
nobody was told has happened or not, whole: one that was removed is gone or answers, one that was repaired runs or can
be repaired.  Knows the daemon by the driver protocol only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pytest_ocap.driver import QUARANTINED, Capability, has
from pytest_ocap.persisted import ANSWER_SECONDS
from pytest_ocap.scenarios.contracts import listed

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver, Listed, Outcome, RepairDriver, Subcluster
    from pytest_ocap.examination import Examination
    from pytest_ocap.linked_driver import RevokeDriver
    from pytest_ocap.sweeps.ledger import Expectation

KEEPING = {
    "kept": "the subclusters can be listed, and every one whose launch was acknowledged is",
    "stays-removed": "one whose removal was acknowledged is not listed, and does not answer",
    "nothing-half-there": "what is listed besides is running, and no more than launches whose outcome nobody was told",
    "set-aside": "those subclusters are set aside whose bundle is gone, and no other",
    "mended": "one that is set aside although its bundle is back, or that was not removed after all, runs after a "
    "repair",
    "healthy-answer": "every subcluster whose bundle is there answers",
    "state-kept": "each goes on where it was: acknowledged messages count, refused ones do not, one whose outcome "
    "nobody was told counts once or not at all",
    "revocation-kept": "what was acknowledged as revoked takes no message any more, and what nobody asked to revoke "
    "does; one whose outcome nobody was told is revoked or not, and stays revoked once somebody has met it so",
}
"""The oracles that are asked here, with what each requires, in words."""


def judge_keeping(examination: Examination, driver: KernelDriver, home: Path, expectation: Expectation) -> None:
    """Ask a daemon that has been started again for what has to be there.

    Args:
        examination: Records the checks, as far as they were promised.
        driver: The daemon.
        home: Its home.
        expectation: What has to be there.
    """
    charged = expectation.bad
    if "kept" in examination.expected:
        entries, answer = listed(driver, home)
        charged = _judge_list(examination, entries, answer, expectation)
        if "mended" in examination.expected:
            charged -= _judge_mending(examination, driver, home, expectation, entries, answer)
        if "stays-removed" in examination.expected:
            _judge_removed(examination, driver, home, expectation, entries, answer)
    asked = [subcluster for subcluster in expectation.subclusters if subcluster.id not in charged]
    if "healthy-answer" in examination.expected:
        _judge_answers(examination, driver, home, expectation, asked)
    if "revocation-kept" in examination.expected:
        _judge_uses(examination, driver, home, expectation, asked)


def _judge_list(
    examination: Examination, entries: dict[str, Listed], answer: Outcome, expectation: Expectation
) -> frozenset[str]:
    """Judge what is listed; gives the ids of those of which nothing more can be asked.

    What cannot be listed is neither lost nor kept, whole nor half there: every oracle on the list fails.
    """
    if not answer.ok:
        for name in ("kept", "nothing-half-there", "set-aside"):
            if name in examination.expected:
                examination.check(name, False, f"what is there cannot be listed: {answer.describe()}")
        return expectation.bad | _perhaps_aside(expectation)
    told = answer.describe()
    kept = {subcluster.id for subcluster in expectation.subclusters}
    gone = kept - set(entries)
    lost = sorted(gone - expectation.doubtful)
    examination.check("kept", not lost, f"lost: {', '.join(lost) or 'none'}\n{told}")
    known = kept | {subcluster.id for subcluster in expectation.removed}
    others = [entry for identity, entry in entries.items() if identity not in known]
    half = [entry.id for entry in others if entry.state == QUARANTINED]
    whole = len(others) <= expectation.unknown_launches and not half
    allowed = (
        f"{len(others)} more than were acknowledged; {expectation.unknown_launches} launches have no known outcome"
    )
    examination.check("nothing-half-there", whole, f"{allowed}\n{told}")
    aside = {entry.id for entry in entries.values() if entry.state == QUARANTINED} & kept
    if "set-aside" in examination.expected:
        wanted = expectation.bad & set(entries)
        right = aside - expectation.returned == wanted
        examination.check("set-aside", right, f"set aside: {aside}; without bundle: {set(wanted)}\n{told}")
    return frozenset(gone | aside | expectation.bad)


def _perhaps_aside(expectation: Expectation) -> frozenset[str]:
    """Give the ids of those that may be set aside, but have to run after a repair."""
    return expectation.returned | expectation.doubtful | expectation.spared


def _judge_removed(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    expectation: Expectation,
    entries: dict[str, Listed],
    answer: Outcome,
) -> None:
    back = [f"{one.id} is listed: {entries[one.id].state}" for one in expectation.removed if one.id in entries]
    if expectation.removed and not answer.ok:
        back.append(f"what is there cannot be listed: {answer.describe()}")
    for subcluster in expectation.removed if has(driver, Capability.PROBE) else ():
        outcome = driver.probe(home, subcluster, timeout=ANSWER_SECONDS)
        back += [f"{subcluster.id} answers: {outcome.describe()}"] if outcome.ok else []
    names = ", ".join(one.id for one in expectation.removed) or "none was"
    examination.check("stays-removed", not back, "\n".join(back) or f"removed: {names}")


def _judge_mending(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    expectation: Expectation,
    entries: dict[str, Listed],
    answer: Outcome,
) -> set[str]:
    """Repair what may be set aside but need not stay so, its bundle brought back first; gives the ids of what runs."""
    wanted = _perhaps_aside(expectation)
    if wanted and not answer.ok:
        examination.check("mended", False, f"what is there cannot be listed: {answer.describe()}")
        return set()
    aside = {entry.id for entry in entries.values() if entry.state == QUARANTINED}
    concerned = [subcluster for subcluster in expectation.subclusters if subcluster.id in wanted & aside]
    told = {}
    for subcluster in concerned:
        if not subcluster.bundle.exists():
            driver.make_bundle(subcluster.bundle)
        told[subcluster.id] = cast("RepairDriver", driver).repair(home, subcluster, timeout=ANSWER_SECONDS)
    detail = "\n".join(f"{identity}: {outcome.describe()}" for identity, outcome in told.items())
    mended = {identity for identity, outcome in told.items() if outcome.ok}
    examination.check("mended", mended == told.keys(), detail or "there was nothing to repair")
    return mended


def _judge_answers(
    examination: Examination, driver: KernelDriver, home: Path, expectation: Expectation, healthy: list[Subcluster]
) -> None:
    """Ask each twice: the first answer tells where it was, the second that this is where it is.

    One that is lost or set aside, or that does not answer, is charged to the oracle that says so, and to no other.
    """
    silent, strayed = [], []
    for subcluster in healthy:
        first, second = (driver.probe(home, subcluster, timeout=ANSWER_SECONDS) for _ in range(2))
        silent += [f"{subcluster.id}: {outcome.describe()}" for outcome in (first, second) if not outcome.ok]
        if first.ok and second.ok:
            strayed += _strayed(subcluster, first, second, expectation)
    names = ", ".join(subcluster.id for subcluster in healthy) or "there is none to be asked"
    examination.check("healthy-answer", not silent, "\n".join(silent) or names)
    if "state-kept" in examination.expected:
        examination.check("state-kept", not strayed, "\n".join(strayed) or names)


def _strayed(subcluster: Subcluster, first: Outcome, second: Outcome, expectation: Expectation) -> list[str]:
    least, most = expectation.answers[subcluster.id]
    wrong = []
    if not isinstance(first.value, int) or not least < first.value <= most + 1:
        wanted = f"{least + 1}" if least == most else f"{least + 1} to {most + 1}"
        wrong.append(f"{subcluster.id} answered {first.value!r}, and should have answered {wanted}")
    elif second.value != first.value + 1:
        wrong.append(f"{subcluster.id} answered {first.value!r}, and then {second.value!r}")
    return wrong


def _judge_uses(
    examination: Examination, driver: KernelDriver, home: Path, expectation: Expectation, healthy: list[Subcluster]
) -> None:
    """Use what vats share, which answers or has been revoked, as its clients were told."""
    wrong = list(expectation.misused)
    shared = [subcluster for subcluster in healthy if subcluster.id in expectation.uses]
    for subcluster in shared:
        outcome = cast("RevokeDriver", driver).use(home, subcluster, timeout=ANSWER_SECONDS)
        if not outcome.ok or outcome.value not in expectation.uses[subcluster.id]:
            wrong.append(f"{subcluster.id}: a use came to {outcome.value!r}: {outcome.describe()}")
    names = ", ".join(subcluster.id for subcluster in shared) or "there is nothing that vats share"
    examination.check("revocation-kept", not wrong, "\n".join(wrong) or names)
