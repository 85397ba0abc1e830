"""Says in a terminal what is wrong in a verdict: each broken check by its name, and what was to be seen then.

Invariant: the telling part of the evidence, with what was shown for one check not shown again for the next; the whole
of it is in the report; what a daemon says does nothing to the terminal.  Knows data only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ocap.report.visible import visible
from pytest_ocap.verdict import NOT_REACHED, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_ocap.evidence import ClientCall, Evidence, FileSeen, ProcessSeen
    from pytest_ocap.verdict import Check, Verdict

MOST_LINES = {"verbs": 10, "log": 10, "processes": 12, "files": 12}
"""How many lines of each kind are shown for one check; the last ones."""

WIDTH = 240


def explain(verdict: Verdict) -> str:
    """Give the words for a whole verdict."""
    broken = verdict.broken
    lines = [f"{verdict.id}: {verdict.verdict} ({len(broken)} of {len(verdict.checks)} checks did not pass)"]
    reasons = {} if verdict.declared is None else verdict.declared.checks
    shown: set[str] = set()
    for check in broken:
        if check.detail != NOT_REACHED:
            lines += _check(check, reasons.get(check.id), shown)
    unreached = [check.id for check in broken if check.detail == NOT_REACHED]
    if unreached:
        lines.append(f"  {Finding.NOT_MEASURED.upper()}, because not reached: {', '.join(unreached)}")
    return visible("\n".join(lines))


def _check(check: Check, reason: str | None, shown: set[str]) -> Iterator[str]:
    first, *rest = check.detail.splitlines() or [""]
    yield f"  {check.verdict.upper()} {check.id}: {first}"
    yield from (f"      {line}" for line in rest)
    if reason is not None:
        yield f"      declared: {reason}"
    if check.evidence is not None:
        if check.evidence.expected:
            yield f"      expected: {check.evidence.expected}"
        yield from _evidence(check.evidence, shown)


def _evidence(evidence: Evidence, shown: set[str]) -> Iterator[str]:
    if evidence.at is None:
        return
    sections: dict[str, Sequence[str]] = {
        "verbs": [_call(call) for call in evidence.client],
        "log": evidence.log,
        "processes": [_process(process) for process in evidence.processes],
        "files": [_file(file) for file in evidence.files],
    }
    for title, lines in sections.items():
        new = [line for line in lines if line not in shown]
        shown.update(lines)
        if not new:
            continue
        yield f"      {title} (as of {evidence.at:.2f} s):"
        if len(new) > MOST_LINES[title]:
            yield f"        … {len(new) - MOST_LINES[title]} more, in the report"
        yield from (f"        {_cropped(line)}" for line in new[-MOST_LINES[title] :])


def _call(call: ClientCall) -> str:
    end = "has not ended" if call.ok is None else "ok" if call.ok else "timed out" if call.timed_out else "failed"
    status = "" if call.status is None else f", exit status {call.status}"
    said = call.text.strip().replace("\n", " | ")
    return f"{call.at:6.2f} s  {call.verb}({call.asked}): {end}{status}, {call.seconds:.2f} s" + f": {said}" * bool(
        said
    )


def _process(process: ProcessSeen) -> str:
    return f"pid {process.pid}, {process.role}, {process.state}, child of {process.ppid}: {process.command}"


def _file(file: FileSeen) -> str:
    target = "" if file.target is None else f" -> {file.target}"
    locked = f", locked by pid {', '.join(map(str, file.locked_by))}" if file.locked_by else ""
    return f"{file.path}{target}: {file.kind}, {file.bytes} bytes, {file.mode}{locked}"


def _cropped(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[:WIDTH]} …"
