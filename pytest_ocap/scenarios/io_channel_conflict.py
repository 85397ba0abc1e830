"""Something else at the path of a subcluster's IO channel: it is the affair of that subcluster, and of nobody else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import PLAIN, Capability, Subcluster, has
from pytest_ocap.examination import scenario
from pytest_ocap.faults.sockets import SOCKET_FAULTS, LiveListener
from pytest_ocap.logs import LogMark
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, bundles_of, demand, start
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    UNTYPED,
    check_answers,
    check_ends,
    listed,
    listens,
    masked,
    names_path,
    settled_store,
    state_checks,
    work,
)
from pytest_ocap.verdict import HarnessBrokenError

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import ChannelDriver, KernelDriver, Setting
    from pytest_ocap.examination import Examination
    from pytest_ocap.faults.sockets import SocketFault


class IoChannelConflict(Arrangement):
    """Something at the path of the channel of one more subcluster; what is handed out is what stands there."""

    marker = "io_channel_conflict"

    @property
    def given(self) -> SocketFault:
        """What stands there."""
        return self.fault

    def in_the_home(self) -> None:
        """Launch the subcluster with the channel, and put something in the channel's place."""
        situation = self.situation
        channel = channel_of(situation.store.home)
        subcluster = persist_channel(situation.driver, situation.store, channel, situation.setting)
        situation.missing = (*situation.missing, subcluster)
        self.fault = situation.arm(SOCKET_FAULTS[self.values["kind"]](channel))


def channel_of(home: Path) -> Path:
    """Give the path of the channel: beside the home, as a bundle's."""
    return home.parent / "io.sock"


def persist_channel(driver: KernelDriver, store: PersistedStore, channel: Path, setting: Setting = PLAIN) -> Subcluster:
    """Launch a subcluster with a channel in a stopped store, have it answer once, and stop again.

    Raises:
        HarnessBrokenError: The daemon cannot do this, although nothing is wrong.
    """
    home = store.home
    start(driver, home, setting)
    bundle = bundles_of(home) / "io.bundle"
    url = driver.make_bundle(bundle)
    launched = cast("ChannelDriver", driver).launch_io(home, url, channel, timeout=ANSWER_SECONDS)
    identity, root = demand("launch_io", launched).value
    subcluster = Subcluster(identity, root, bundle, url)
    work(driver, store, [subcluster])
    if not listens(channel):
        raise HarnessBrokenError(f"the subcluster {identity} was launched, and nobody listens at its channel {channel}")
    demand("stop", driver.stop(home, timeout=ANSWER_SECONDS))
    channel.unlink(missing_ok=True)
    return subcluster


@scenario(
    Capability.IO,
    Capability.LAUNCH,
    Capability.PROBE,
    checks={
        "boots": "the start is ready although the channel cannot be opened, within its budget",
        "ping": "a ping is answered",
        "healthy-answer": "every subcluster without a channel answers",
        "state-kept": "every subcluster without a channel goes on where it was",
        "record-kept": "the subcluster with the channel is still listed",
        "listing-names-channel": "it is listed with the path of its channel, with a code where errors have codes",
        "warning-names-channel": "a warning in the log names the subcluster and the path of its channel",
        "left-alone": "what stands at the path is what it was, and answers if it did",
        "comes-back": "with the path free again, the subcluster answers after the next start",
        "comes-back-where-it-was": "it goes on where it was",
        "channel-comes-back": "somebody listens at its channel again",
        "nothing-left": NOTHING_LEFT,
    },
    edition="2026.2",
)
def io_channel_conflict(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    kind: str = "live",
) -> None:
    """Start with ``kind`` at the path of the channel of one of the subclusters; take it away, and start again."""
    lists, logs = has(driver, Capability.LIST), has(driver, Capability.LOG)
    quarantines = lists and has(driver, Capability.QUARANTINE)
    examination.expect(
        "boots",
        "ping",
        "healthy-answer",
        *state_checks(driver, "state-kept"),
        *(("record-kept",) if lists else ()),
        *(("listing-names-channel",) if quarantines else ()),
        *(("warning-names-channel",) if logs else ()),
        "left-alone",
        "comes-back",
        *state_checks(driver, "comes-back-where-it-was"),
        "channel-comes-back",
        "nothing-left",
    )
    store = settled_store(driver, home, store)
    channel = channel_of(home)
    subcluster = persist_channel(driver, store, channel)
    fault = SOCKET_FAULTS[kind](channel)
    with examination.armed(fault):
        mark = LogMark(driver.log(home) if logs else None)
        outcome = driver.start(home, timeout=driver.start_timeout)
        if not examination.outcome("boots", outcome, within=driver.start_timeout):
            return
        if not examination.outcome("ping", driver.ping(home, timeout=ANSWER_SECONDS)):
            return
        check_answers(examination, driver, store, store.subclusters)
        if lists:
            _check_listing(examination, driver, home, subcluster, channel, quarantines=quarantines)
        if logs:
            _check_warning(examination, mark, subcluster, channel)
        alone = fault.untouched() and (not isinstance(fault, LiveListener) or fault.answers())
        examination.check("left-alone", alone, f"{channel} {'is as it was' if alone else 'was changed or removed'}")
        demand("stop", driver.stop(home, timeout=ANSWER_SECONDS))
    again = driver.start(home, timeout=driver.start_timeout)
    if not again.ok:
        examination.outcome("comes-back", again)
        return
    check_answers(examination, driver, store, [subcluster], answer="comes-back", state="comes-back-where-it-was")
    examination.check("channel-comes-back", listens(channel), f"{channel} was tried")
    check_ends(examination, driver, home)


def _check_listing(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    subcluster: Subcluster,
    channel: Path,
    *,
    quarantines: bool,
) -> None:
    entries, outcome = listed(driver, home)
    answer = outcome.describe()
    entry = entries.get(subcluster.id)
    examination.check("record-kept", entry is not None, answer)
    if quarantines:
        named = entry is not None and masked(entry.text) is None and names_path(entry.text, channel)
        coded = not has(driver, Capability.ERROR_CODES) or (entry is not None and (entry.code or "") not in UNTYPED)
        code = f"code {entry.code!r}" if entry is not None else "not listed"
        examination.check("listing-names-channel", named and coded, f"wanted: {channel}; {code}\n{answer}")


def _check_warning(examination: Examination, mark: LogMark, subcluster: Subcluster, channel: Path) -> None:
    word = re.compile(rf"(?<!\w){re.escape(subcluster.id)}(?!\w)")
    named = any(word.search(line.text) and names_path(line.text, channel) for line in mark.lines("warning"))
    examination.check("warning-names-channel", named, f"wanted: {subcluster.id}, {channel}\n{mark.tail()}")
