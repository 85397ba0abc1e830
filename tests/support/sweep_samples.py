"""Sweeps for tests of what is made of them: in the form of the JSON report, as small or as large as a test wants."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pytest_ocap.report.sweeps import settled

STEPS: list[dict[str, Any]] = [
    {"lane": "client", "what": "start", "at": 0.0, "until": 0.4},
    {"lane": "phase", "what": "store", "at": 0.1, "until": 0.2},
    {"lane": "phase", "what": "listen", "at": 0.2, "until": 0.3},
    {"lane": "client", "what": "launch", "at": 0.4, "until": 0.42},
    {"lane": "client", "what": "stop", "at": 0.42, "until": 0.6},
]
CALLS = ("write", "sync", "open", "rename", "unlink", "lock", "bind")
FAULTS = ("kill", "kill-after", "hang", "EIO", "EIO+", "ENOSPC", "ENOSPC+", "short")


def trial(point: str, fault: str, result: str = "passed", at: float | None = 0.1) -> dict[str, Any]:
    kind, _, rest = point.partition(":")[2].partition(":")
    entry = {"point": point, "fault": fault, "kind": kind, "path": rest.rpartition("#")[0], "at": at}
    return {**entry, "result": result, "seconds": 0.9}


def sweep(*trials: dict[str, Any], untried: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
    """Give the sweep in which these trials were made; ``untried``: how many more cases some points have."""
    results = Counter(entry["result"] for entry in trials)
    places: dict[str, dict[str, Any]] = {}
    for entry in trials:
        place = places.setdefault(entry["point"], {key: entry[key] for key in ("point", "kind", "path", "at")})
        place["cases"] = place.get("cases", 0) + 1
    for point, number in (untried or {}).items():
        known = trial(point, "kill")
        place = places.setdefault(point, {key: known[key] for key in ("point", "kind", "path", "at")})
        place["cases"] = place.get("cases", 0) + number
    left = sum((untried or {}).values())
    states = sum(entry["fault"].startswith("powerloss") for entry in trials)
    data = {
        "workload": "session",
        "does": "a first start, a launch, and a stop",
        "means": "seccomp",
        "points_are": "the system calls by which the daemon and its client touch the home",
        "kinds": ["kill", "hang", "errno"],
        "not_offered": [],
        "cases": len(trials) + left,
        "alike": 0,
        "tried": len(trials),
        "taken_over": 0,
        "left": left,
        "fired": results["passed"] + results["failed"],
        "passed": results["passed"],
        "failed": results["failed"],
        "harness_broken": results["harness-broken"],
        "not_reached": sorted(
            f"{entry['point']}={entry['fault']}" for entry in trials if entry["result"] == "not-reached"
        ),
        "states": states,
        "recovery_entered": results["passed"],
        "audits": {},
        "seconds": 0.9 * len(trials),
        "floor": 0.8,
        "shards": {"run": 1, "of": 1, "numbers": [0]},
        "searched": [],
        "notes": [],
        "failures": [],
        "trials": list(trials),
        "places": list(places.values()),
        "steps": STEPS,
        **more,
    }
    return settled(data)


def failure(check: str, message: str, *cases: str, **more: Any) -> dict[str, Any]:
    group: dict[str, Any] = {
        "check": check,
        "requires": f"what {check} requires",
        "message": message,
        "detail": f"{message} (first)",
    }
    group |= {"cases": list(cases), "again": len(cases)}
    return {**group, "least": None, "directory": f"/builds/it's here/{check}", **more}


def green(**more: Any) -> dict[str, Any]:
    """Every case passed, power cuts among them."""
    found = [
        trial(f"session:{kind}:store.sqlite#{number}", fault, at=0.11 + number / 20)
        for kind in ("write", "sync")
        for number in (1, 2, 3)
        for fault in ("kill", "EIO")
    ]
    cuts = [
        trial("session:write:store.sqlite#1", f"powerloss~{family}~{number:010x}", at=0.16)
        for family in ("all-lost", "torn")
        for number in range(3)
    ]
    words = "6 distinct crash states out of 40 losses (ext4-ordered, strict): at each call. 3 losses were left out."
    defaults = {"kinds": ["kill", "errno", "powerloss"], "searched": [words]}
    return sweep(*found, *cuts, **{**defaults, **more})


def red(text: str = "s# answered #, and should have answered #", **more: Any) -> dict[str, Any]:
    """Two causes, one of which fails at two points, and much that passed."""
    points = [f"session:write:store.sqlite-wal#{number}" for number in range(1, 8)]
    found = [
        trial(point, fault, "failed" if (number, fault) in {(3, "kill"), (5, "kill"), (5, "EIO+")} else "passed",
              0.1 + number / 15)
        for number, point in enumerate(points)
        for fault in ("kill", "EIO", "EIO+")
    ]  # fmt: skip
    causes = [
        failure("state-kept", text, f"{points[3]}=kill", f"{points[5]}=kill"),
        failure("failure-legible", text, f"{points[5]}=EIO+", least=f"{points[5]}=EIO", directory=None),
    ]
    return sweep(*found, **{"failures": causes, **more})


def mixed(**more: Any) -> dict[str, Any]:
    """Something of everything: failed, not reached, a harness that broke, passed, and what was not tried."""
    bad, lost, broken, good = (f"session:{name}" for name in ("sync:a#1", "open:tmp*#2", "bind:.#1", "rename:a#1"))
    found = [
        trial(bad, "kill", "failed", 0.12),
        trial(bad, "hang", "passed", 0.12),
        trial(lost, "kill", "not-reached", 0.41),
        trial(lost, "EIO", "passed", 0.41),
        trial(broken, "hang", "harness-broken", 0.25),
        trial(good, "kill", "passed", 0.5),
    ]
    causes = [
        failure("recovers", "exit status #", f"{bad}=kill"),
        failure("harness", "Traceback", f"{broken}=hang", again=0),
    ]
    untried = {"session:unlink:a#1": 3, good: 1}
    return sweep(*found, untried=untried, **{"failures": causes, "not_offered": ["slow"], **more})


SAMPLES = {"green": green(), "red": red(), "mixed": mixed()}
"""Each by its name, for what holds of all of them."""


def large(points: int = 3000, cases: int = 25_000) -> dict[str, Any]:
    """As large as a sweep of a real daemon gets; one case in a hundred did not pass."""
    found = []
    for number in range(cases):
        turn, place = divmod(number, points)
        kind, path = CALLS[place % len(CALLS)], f"kernel.sqlite{('', '-wal', '-shm')[place % 3]}"
        result = {0: "not-reached", 50: "failed"}.get(number % 100, "passed")
        at = 0.05 + 0.5 * place / points
        point = f"session:{kind}:{path}#{place + 1}"
        found.append(trial(point, f"{FAULTS[turn % len(FAULTS)]}{'' if turn < len(FAULTS) else '+'}", result, at))
    bad = [f"{entry['point']}={entry['fault']}" for entry in found if entry["result"] == "failed"]
    return sweep(*found, failures=[failure("recovers", "exit status #", *bad)])
