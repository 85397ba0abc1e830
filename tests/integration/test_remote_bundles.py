"""Bundles on a web server: launched from there, not asked for at start, and a server that has gone is contained."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from bench import Bench

from kernel.errors import LaunchError, QuarantinedError


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_message: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(bench: Bench) -> Iterator[http.server.ThreadingHTTPServer]:
    handler = partial(QuietHandler, directory=str(bench.directory))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def config(bench: Bench, server: http.server.ThreadingHTTPServer, name: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{server.server_address[1]}/{name}"
    return {"bootstrap": "main", "vats": {"main": {"bundleSpec": url}}}


def test_a_subcluster_launched_from_the_web_runs_and_is_restored(
    bench: Bench, server: http.server.ThreadingHTTPServer
) -> None:
    bench.bundle("c1")
    launched = bench.launch(config(bench, server, "c1.bundle"))
    assert bench.send(launched["rootKref"], "increment") == 1
    bench.reopen()
    assert bench.send(launched["rootKref"], "increment") == 2


def test_a_server_that_has_gone_costs_no_start_and_quarantines_on_first_use(
    bench: Bench, server: http.server.ThreadingHTTPServer
) -> None:
    bench.bundle("c1")
    launched = bench.launch(config(bench, server, "c1.bundle"))
    local = bench.launch_counter("c2")
    (bench.directory / "c1.bundle").rename(bench.directory / "elsewhere")
    report = bench.reopen()
    assert report.quarantined == ()
    pending = bench.loop.spawn(bench.kernel.queue_message(launched["rootKref"], "increment", []))
    pending.add_done_callback(lambda _future: None)
    assert bench.send(local["rootKref"], "increment") == 1
    bench.run_until(lambda: bench.log.named("subcluster.quarantined"))
    quarantine = bench.subcluster(launched["subclusterId"])["quarantine"]
    assert quarantine["code"] == "bundle-missing"
    assert quarantine["path"].startswith("http://127.0.0.1:")
    (bench.directory / "elsewhere").rename(bench.directory / "c1.bundle")
    with pytest.raises(QuarantinedError, match="bundle-missing"):
        pending.result()
    bench.run(bench.kernel.repair_subcluster(launched["subclusterId"]))
    bench.run_until(lambda: bench.rows("deliveries") == 0)
    assert bench.send(launched["rootKref"], "increment") == 2, "the message that was queued has been delivered"


def test_a_missing_page_fails_the_launch_with_its_url(bench: Bench, server: http.server.ThreadingHTTPServer) -> None:
    with pytest.raises(LaunchError, match=r"http://127\.0\.0\.1:\d+/nothing") as caught:
        bench.launch(config(bench, server, "nothing"))
    assert caught.value.data["cause"] == "bundle-missing"
