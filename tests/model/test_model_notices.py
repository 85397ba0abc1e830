"""The model itself: a kernel that breaks one of its promises does not pass."""

from __future__ import annotations

import hmac
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from machine import KernelMachine

from kernel.capdata import CapData
from kernel.engine import urls
from kernel.engine.batch import Batch
from kernel.engine.channels import Channels
from kernel.engine.crank import Crank
from kernel.engine.services import Services
from kernel.engine.settlement import NOTHING
from kernel.engine.translation import Translation
from kernel.refs import Kref, format_kref
from kernel.store.deliveries import Deliveries, DeliveryRecord
from kernel.store.promises import Promises
from kernel.store.references import References

Patch = Callable[[pytest.MonkeyPatch], None]


def acknowledges_before_it_commits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Batch, "after_commit", lambda _self, callback, *args: callback(*args))


def delivers_the_newest_first(patch: pytest.MonkeyPatch) -> None:
    def first(self: Deliveries, vat_id: int) -> DeliveryRecord | None:
        waiting = self.waiting_for(vat_id)
        return waiting[-1] if waiting else None

    patch.setattr(Deliveries, "first", first)


def loses_some_writes(patch: pytest.MonkeyPatch) -> None:
    real = Crank._baggage_set

    def baggage_set(self: Crank, key: object, value: Any) -> None:
        if len(value["body"]) % 7:
            real(self, key, value)

    patch.setattr(Crank, "_baggage_set", baggage_set)


def shows_whatever_is_delivered_to_everybody(patch: pytest.MonkeyPatch) -> None:
    real = Translation.store_new

    def store_new(self: Translation) -> None:
        real(self)
        everything = [row[0] for row in self._store.connection.execute("SELECT id FROM objects")]
        for number in everything:
            ref = Kref("object", number)
            if self._store.references.vref_of(self.vat_id, ref) is None:
                self._store.references.insert_entry(self.vat_id, f"o-{1000 + number}", ref)

    patch.setattr(Translation, "store_new", store_new)


def forgets_revocations(patch: pytest.MonkeyPatch) -> None:
    real = References.object

    def found(self: References, number: int) -> Any:
        record = real(self, number)
        return None if record is None else record._replace(revoked=False)

    patch.setattr(References, "object", found)


def rejects_nothing_when_a_vat_dies(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Promises, "decided_by", lambda _self, _vat_id: [])


def redeems_the_urls_of_what_was_revoked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(urls, "_refuse_revoked", lambda _store, _number: None)


def takes_urls_that_were_altered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(urls, "hmac", SimpleNamespace(digest=hmac.digest, compare_digest=lambda _one, _other: True))


def loses_some_calls_of_services(patch: pytest.MonkeyPatch) -> None:
    real = Services._begin

    def begin(self: Services, name: str, method: str, data: CapData, result: int | None) -> None:
        if len(data.body) % 5:
            real(self, name, method, data, result)
        else:
            self._answers.give(result, NOTHING)

    patch.setattr(Services, "_begin", begin)


def makes_calls_of_services_before_they_are_durable(patch: pytest.MonkeyPatch) -> None:
    def call(self: Services, name: str, method: str, body: str, slots: tuple[Kref, ...], result: int | None) -> None:
        self._begin(name, method, CapData(body, tuple(map(format_kref, slots))), result)

    patch.setattr(Services, "call", call)


def gives_everybody_the_services_for_system_subclusters(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Services, "check", lambda _self, _name, system: None)


def writes_lines_before_they_are_durable(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Channels, "call", Channels._perform)


DEFECTS: list[Patch] = [
    acknowledges_before_it_commits,
    delivers_the_newest_first,
    forgets_revocations,
    gives_everybody_the_services_for_system_subclusters,
    loses_some_calls_of_services,
    loses_some_writes,
    makes_calls_of_services_before_they_are_durable,
    redeems_the_urls_of_what_was_revoked,
    rejects_nothing_when_a_vat_dies,
    shows_whatever_is_delivered_to_everybody,
    takes_urls_that_were_altered,
    writes_lines_before_they_are_durable,
]


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_a_kernel_with_a_defect_does_not_pass(defect: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    defect(monkeypatch)
    budget = settings(
        max_examples=150,
        stateful_step_count=40,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    noticed: list[BaseException] = []

    class Noticing(KernelMachine):
        def teardown(self) -> None:
            if isinstance(error := sys.exc_info()[1], AssertionError):
                noticed.append(error)
            super().teardown()

    with pytest.raises((AssertionError, Flaky)):  # what dies at another moment may not be seen twice
        run_state_machine_as_test(Noticing, settings=budget)
    assert noticed
