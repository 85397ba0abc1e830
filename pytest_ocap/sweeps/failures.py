"""A failure, kept: a directory with all that somebody needs who was not there.

``report.md`` is an account for a bug tracker, ``verdict.json`` the same as data, ``replay.sh`` one command that makes
it happen again, ``replay-least.sh`` one for the least faults that still fail, where they are fewer, ``recording.txt``
the calls around the point; ``before``, ``faulted`` and ``after`` are the home as it was, as the fault left it, and as
it was when everything had been judged, ``bundles`` what lay beside it.

Invariant: what is written is plain text and copies; nothing points back into a home, which is gone by then.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING

from pytest_ocap.homes import copy_tree
from pytest_ocap.sweeps.copies import names_in
from pytest_ocap.sweeps.promises import ORACLES
from pytest_ocap.verdict import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.sweeps.cases import Case
    from pytest_ocap.sweeps.reducing import Least
    from pytest_ocap.sweeps.trial import Scene, Trial
    from pytest_ocap.sweeps.workloads import Workload
    from pytest_ocap.verdict import Check


def keep(
    scene: Scene,
    directory: Path,
    driver: KernelDriver,
    workload: Workload,
    replay: Sequence[str],
    environment: Mapping[str, str],
) -> Path:
    """Write down a failure.

    Args:
        scene: What has been judged.
        directory: Where failures are kept.
        driver: The daemon.
        workload: What was run.
        replay: The words of the command that makes it happen again, after ``cd`` into the first of them.
        environment: What that command needs in its environment.

    Returns:
        The failure's directory; one that was there before is replaced.
    """
    folder = directory / f"{driver.name}-{driver.version}".strip("-").replace(os.sep, "-") / _slug(scene.case.id)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, source in (("before", scene.before), ("faulted", scene.faulted), ("after", scene.home)):
        copy_tree(source, folder / name)
    copy_tree(scene.home.parent / "bundles", folder / "bundles")
    _write(folder / "recording.txt", "\n".join(scene.around) + "\n")
    _write(folder / "verdict.json", json.dumps(_data(scene, driver), indent=2, ensure_ascii=False) + "\n")
    _script(folder / "replay.sh", f"Tries {scene.case.id} again.", replay, environment)
    _write(folder / "report.md", _account(scene, driver, workload, folder))
    return folder


def keep_least(
    folder: Path, found: Least[Case] | None, replay: Sequence[str] | None, environment: Mapping[str, str]
) -> None:
    """Add to a failure's directory which of the calls that its fault struck were enough to make it fail.

    Args:
        folder: The directory.
        found: What was found; None: it fails only as long as the fault lasts.
        replay: The words of the command that tries that again, after ``cd`` into the first of them.
        environment: What that command needs in its environment.
    """
    if found is None or replay is None:
        words = "Each call that the fault struck was made to fail once, and that was not enough: it has to last."
    else:
        names = "\n".join(case.id for case in found.faults)
        known = "without any one of them it does not fail in this way" if found.minimal else "the search ended there"
        words = (
            f"The fault struck {found.of} calls. It fails in the same way when {len(found.faults)} of them fail, each "
            f"once; {known} ({found.tried} sets were tried):\n\n{_block(names)}\n\n"
            + _block(f"sh {shlex.quote(os.fspath(folder / 'replay-least.sh'))}")
        )
        _script(
            folder / "replay-least.sh",
            f"Tries the least that fails, {len(found.faults)} of {found.of} faults.",
            replay,
            environment,
        )
    with (folder / "report.md").open("a", encoding="utf-8") as report:
        report.write(f"\n## The least that fails\n\n{words}\n")


def skeleton(text: str) -> str:
    """Give a message without what is another in every run: numbers, identifiers, the home's path."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    first = re.sub(r"/[^\s:'\"]*/ocap[0-9A-Za-z]*-[0-9a-f]{6}\b", "…", first)
    return re.sub(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?", "#", first)[:160]


def grouped(trials: Iterable[Trial]) -> list[tuple[tuple[str, str], list[Trial]]]:
    """Group failures by what failed first and how its message reads; the group with the most failures comes first."""
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        check, detail = trial.broken[0] if trial.broken else ("", "")
        groups.setdefault((check, skeleton(detail)), []).append(trial)
    return sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))


def requirement(check: str) -> str:
    """Say in words what an oracle requires; nothing for what is none."""
    return ORACLES.get(check, "")


def _data(scene: Scene, driver: KernelDriver) -> dict[str, object]:
    return {
        "driver": {"name": driver.name, "version": driver.version},
        "case": asdict(scene.case) | {"id": scene.case.id},
        "strike": None if scene.strike is None else asdict(scene.strike),
        "proof": scene.proof,
        "operations": scene.ledger.to_json(),
        "files": {
            name: names_in(path) for name, path in (("faulted", scene.faulted), ("after", scene.home)) if path.is_dir()
        },
        "checks": [check.to_json() for check in scene.checks],
    }


def _account(scene: Scene, driver: KernelDriver, workload: Workload, folder: Path) -> str:
    failed = [check for check in scene.checks if check.verdict is Finding.FAILED]
    parts = [
        f"# {failed[0].id if failed else 'failure'} after `{scene.case.fault}` at `{scene.case.point}`",
        f"Daemon: {driver.name} {driver.version}".rstrip() + f". Workload `{workload.name}`: {workload.does}.",
        f"Fault: `{scene.case.fault}` at `{scene.case.point}`"
        + "".join(f", and `{name}`" for name in scene.case.besides)
        + f". Evidence that it struck: {scene.proof}",
        "## What does not hold",
        *(_check(check) for check in failed),
        "## What clients asked for, and were told",
        _block(scene.ledger.describe()),
        "## Around the point",
        _block("\n".join(scene.around) or "(nothing is known of it)"),
        "## What the fault left in the home",
        _block("\n".join(names_in(scene.faulted)) or "(nothing)"),
        "## Replay",
        _block(f"sh {shlex.quote(os.fspath(folder / 'replay.sh'))}"),
    ]
    return "\n\n".join(parts) + "\n"


def _check(check: Check) -> str:
    return f"**{check.id}**: {requirement(check.id)}.\n\n{_block(check.detail)}"


def _block(text: str) -> str:
    fence = "`" * max(3, *(len(ticks) + 1 for ticks in re.findall("`+", text)), 3)
    return f"{fence}text\n{text}\n{fence}"


def _command(words: Sequence[str], environment: Mapping[str, str]) -> str:
    settings = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    return " ".join((*settings, shlex.join(words)))


def _slug(case: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._+=#-]+", "-", case).strip("-")
    return f"{plain[:80]}-{hashlib.sha256(case.encode()).hexdigest()[:8]}"


def _script(path: Path, says: str, replay: Sequence[str], environment: Mapping[str, str]) -> None:
    command = _command(replay[1:], environment)
    _write(path, f'#!/bin/sh\n# {says}\ncd {shlex.quote(replay[0])} && {command} "$@"\n')
    path.chmod(0o755)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
