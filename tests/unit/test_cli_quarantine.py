"""The words for what is quarantined, and for what was pruned and stopped."""

from __future__ import annotations

from kernel.cli.quarantine import cause_text, ready_text
from kernel.cli.subcluster import pruned_text


def test_a_start_with_nothing_quarantined_is_ready() -> None:
    assert ready_text([]) == "ready"


def test_a_degraded_start_names_each_subcluster_its_code_and_its_bundle() -> None:
    one = {"id": "s2", "state": "quarantined", "quarantine": {"code": "bundle-missing", "path": "/x/c2.bundle"}}
    other = {"subclusterId": "s3", "code": "vat-init-failed", "message": "ValueError: no", "path": None}

    assert ready_text([one]) == "ready, degraded: 1 subcluster quarantined: s2 (bundle-missing: /x/c2.bundle)"
    assert ready_text([one, other]) == (
        "ready, degraded: 2 subclusters quarantined: "
        "s2 (bundle-missing: /x/c2.bundle), s3 (vat-init-failed: ValueError: no)"
    )


def test_a_thousand_quarantined_subclusters_do_not_flood_the_screen() -> None:
    text = ready_text([{"id": f"s{n}", "code": "bundle-missing", "path": "/x"} for n in range(1000)])

    assert text.startswith("ready, degraded: 1000 subclusters quarantined: s0 (")
    assert text.endswith(", and 980 more")


def test_a_cause_is_its_code_and_the_most_telling_fact() -> None:
    assert cause_text({"code": "c", "path": "/p", "bundleSpec": "file:///p", "message": "m"}) == "c: /p"
    assert cause_text({"code": "c", "path": None, "bundleSpec": "http://h/p"}) == "c: http://h/p"
    assert cause_text({"code": "c", "message": "m"}) == "c: m"
    assert cause_text({"code": "c"}) == "c"
    assert cause_text({}) == "unknown cause"


def test_pruning_says_what_it_deleted() -> None:
    counted = {"id": "s2", "vats": 1, "promisesRejected": 2, "messagesDropped": 0, "objectsReleased": 1}

    assert pruned_text(counted) == ("1 vat, 2 promises rejected, 0 queued messages dropped, 1 object released")
