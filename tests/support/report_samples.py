"""Reports for tests of what is made of them: in the form of the JSON report, as small or as full as a test wants."""

from __future__ import annotations

from typing import Any

HOSTILE = (
    "</script><script>alert(1)</script> <img src=x onerror=alert(2)> & \"q\" 'a' `c` \x1b[31m\x00 \u202e evil {{ 7*7 }}"
)
"""Text as a daemon that means ill would log it."""


def check(
    name: str, verdict: str = "passed", detail: str = "", evidence: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"id": name, "verdict": verdict, "detail": detail or f"what {name} found", "evidence": evidence}


def scenario(name: str, *checks: dict[str, Any], verdict: str | None = None, **more: Any) -> dict[str, Any]:
    found = [entry["verdict"] for entry in checks]
    verdict = verdict or next((one for one in found if one != "passed"), "passed")
    return {
        "id": name,
        "scenario": name.partition("[")[0],
        "edition": "2026.1",
        "verdict": verdict,
        "red": verdict not in ("passed", "unsupported"),
        "seconds": 0.412,
        "new": False,
        "declared": None,
        "nodeid": f"pytest_ocap/suite/test_it.py::test_it[{name}]",
        "checks": list(checks),
        "timeline": [],
        **more,
    }


VERDICTS = ("passed", "failed", "not-measured", "harness-broken", "unsupported")


def report(*scenarios: dict[str, Any], **more: Any) -> dict[str, Any]:
    found = [entry["verdict"] for entry in scenarios]
    return {
        "schema": 1,
        "edition": "2026.2",
        "pinned": None,
        "driver": {"name": "my-kernel", "version": "1.4.2"},
        "run": {
            "started": "2026-11-24T08:44:36Z",
            "seconds": 7.5,
            "platform": "Linux-6.18-x86_64",
            "python": "3.11.7",
            "plugin": "0.1.0",
        },
        "summary": {
            **{verdict: found.count(verdict) for verdict in VERDICTS},
            "declared": sum(bool(entry["declared"]) and not entry["red"] for entry in scenarios),
            "new": sum(entry["new"] for entry in scenarios),
        },
        "scenarios": sorted(scenarios, key=lambda entry: str(entry["id"])),
        **more,
    }


def call(verb: str, at: float, seconds: float, asked: str, text: str, **more: Any) -> dict[str, Any]:
    data = {"verb": verb, "asked": asked, "at": at, "seconds": seconds, "ok": False, "status": None, "code": None}
    return {**data, "timed_out": False, "text": text, "times": 1, **more}


def evidence(text: str = "error: ENOENT") -> dict[str, Any]:
    return {
        "expected": "the daemon is ready within 40 s",
        "at": 0.218,
        "client": [
            call("start", 0.001, 0.213, "timeout=40 s", text, status=1),
            call("ping", 0.214, 0.004, "timeout=10 s", text, code="not-running"),
        ],
        "log": ['{"ts": "2026-11-24T08:44:37Z", "event": "daemon.starting"}', text],
        "processes": [
            {
                "pid": 4242,
                "ppid": 1,
                "name": "node",
                "command": f"node daemon.mjs --home /tmp/h {text}",
                "state": "sleeping",
                "age": 1.25,
                "role": "daemon",
            }
        ],
        "cut": ["312 of 512 files are not shown"],
        "files": [
            {"path": "kernel.sqlite", "kind": "file", "bytes": 45056, "mode": "0600", "locked_by": [4242]},
            {"path": "daemon.sock", "kind": "socket", "bytes": 0, "mode": "0600", "locked_by": []},
            {"path": "old", "kind": "link", "bytes": 9, "mode": "0777", "locked_by": [], "target": text},
        ],
    }


def timeline(text: str = "bundle removed") -> list[dict[str, Any]]:
    return [
        {"at": 0.0, "until": 0.002, "lane": "fault", "what": "delete", "detail": text, "ok": True},
        {"at": 0.003, "until": 0.216, "lane": "client", "what": "start", "detail": "exit status 1", "ok": False},
        {"at": 0.05, "until": 0.09, "lane": "phase", "what": "store", "detail": ""},
        {"at": 0.09, "until": 0.2, "lane": "phase", "what": "restore", "detail": ""},
        {"at": 0.04, "until": 0.21, "lane": "process", "what": "node", "detail": "pid 4242"},
        {"at": 0.06, "lane": "file", "what": "kernel.sqlite", "detail": "opened"},
        {"at": 0.19, "lane": "log", "what": "fatal", "detail": text},
        {"at": 0.216, "lane": "check", "what": "boots", "detail": "exit status 1", "ok": False},
        {"at": 0.412, "lane": "check", "what": "ping", "detail": "", "ok": True},
    ]


def green() -> dict[str, Any]:
    return report(
        scenario("missing_bundle[delete]", check("boots"), check("ping"), check("state-kept"), timeline=timeline()),
        scenario("missing_bundle[rename]", check("boots"), check("ping"), check("state-kept"), timeline=timeline()),
        scenario("degraded_boot", check("boots"), check("clean-stop")),
    )


def red() -> dict[str, Any]:
    broken = check("boots", "failed", f"exit status 1, after 0.21 s\n{HOSTILE}", evidence(HOSTILE))
    return report(
        scenario(
            "missing_bundle[delete]",
            broken,
            check("ping", "not-measured", "not reached"),
            verdict="failed",
            timeline=timeline(HOSTILE),
        ),
        scenario("legible_fatal[store-corrupt]", check("no-masked-text", "failed", "[object Object]", evidence())),
    )


def mixed() -> dict[str, Any]:
    known = {"checks": {"no-masked-text": "upstream issue 12"}, "mended": []}
    late = {"checks": {"ping": "slow machine"}, "mended": ["ping"]}
    return report(
        *red()["scenarios"][1:],
        scenario("degraded_boot", check("boots"), check("clean-stop"), timeline=timeline()),
        scenario(
            "legible_fatal[store-newer]",
            check("no-masked-text", "failed", "undefined", evidence()),
            declared=known,
            red=False,
        ),
        scenario("stale_socket[dead]", check("boots"), check("ping"), declared=late, red=True),
        scenario(
            "crashed_init[kill-restore]", check("fired", "not-measured", "the fault was arranged and did not fire")
        ),
        scenario("crashed_init[hang-log]", check("harness", "harness-broken", "Traceback (most recent call last)…")),
        scenario("bundle_fetch_error[fifo]", check("capability", "unsupported", "the driver lacks fetch")),
        scenario(
            "slow_init", check("never-hung", "failed", "called hung", evidence()), new=True, red=False, edition="2026.2"
        ),
        pinned="2026.1",
    )
