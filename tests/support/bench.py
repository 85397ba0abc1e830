"""A real kernel in this process, over a real store, with real workers: what the tests of the engine work with."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from kernel.bundle import build_bundle
from kernel.capdata import CapData, decode
from kernel.config import parse_cluster_config
from kernel.engine import Kernel, KernelOptions, RestoreReport
from kernel.events import ListLog
from kernel.loop import Loop, sleep
from kernel.store import Store

T = TypeVar("T")

COUNTER = """
    from kernel.vat import E, Exo

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage

        def increment(self) -> int:
            self.baggage["count"] = self.baggage.get("count", 0) + 1
            return self.baggage["count"]

        def read(self) -> int:
            return self.baggage.get("count", 0)

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""


class Bench:
    """A home directory, and the kernel that runs on it now."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.loop: Loop
        self.store: Store
        self.kernel: Kernel
        self.log = ListLog()
        self.report: RestoreReport
        self.is_open = False

    def open(self, during_restore: AbstractContextManager[None] | None = None, **options: Any) -> RestoreReport:
        """Start a kernel on the home; what happens during its restore may be given."""
        self.loop = Loop()
        self.log = ListLog()
        self.store = Store.open(str(self.directory / "kernel.sqlite"))
        self.kernel = Kernel(
            self.store,
            loop=self.loop,
            log=self.log,
            bundles_dir=str(self.directory / "bundles"),
            options=KernelOptions(**options),
        )
        self.is_open = True
        with during_restore or nullcontext():
            self.report = self.kernel.restore()
        self.kernel.open_channels()
        self.kernel.run()
        return self.report

    def close(self) -> None:
        """Stop the kernel."""
        if self.is_open:
            self.is_open = False
            self.kernel.close()
            self.store.close()
            self.loop.close()

    def reopen(self, **options: Any) -> RestoreReport:
        """Stop the kernel and start one on the same home."""
        self.close()
        return self.open(**options)

    def run(self, coroutine: Coroutine[Any, None, T]) -> T:
        """Run something to its end."""
        return self.loop.run_until_complete(coroutine)

    def run_until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        """Let the kernel run until a condition holds."""

        async def wait() -> None:
            deadline = self.loop.time() + seconds
            while not condition():
                assert self.loop.time() < deadline, f"the condition did not come to hold; log: {self.log.records}"
                await sleep(self.loop, 0.005)

        self.run(wait())

    def bundle(self, name: str, source: str = COUNTER) -> Path:
        """Build a bundle of a module's source."""
        module = self.directory / f"{name}.py"
        module.write_text(textwrap.dedent(source))
        path = self.directory / f"{name}.bundle"
        path.write_bytes(build_bundle(str(module)))
        return path

    def config(self, vats: dict[str, Path], **more: Any) -> dict[str, Any]:
        """Make a cluster configuration of bundles; the first vat is the bootstrap vat."""
        described = {name: {"bundleSpec": path.as_uri()} for name, path in vats.items()}
        return {"bootstrap": next(iter(vats)), "vats": described, **more}

    def launch(self, config: dict[str, Any]) -> dict[str, Any]:
        """Launch a subcluster."""
        return self.run(self.kernel.launch_subcluster(parse_cluster_config(config)))

    def launch_counter(self, name: str) -> dict[str, Any]:
        """Launch a counter of its own bundle."""
        return self.launch(self.config({"main": self.bundle(name)}))

    def send(self, kref: str, method: str, *arguments: Any) -> Any:
        """Send a message and give the decoded answer."""
        return decode(self.ask(kref, method, *arguments))

    def ask(self, kref: str, method: str, *arguments: Any) -> CapData:
        """Send a message and give the answer."""
        return self.run(self.kernel.queue_message(kref, method, list(arguments)))

    def subcluster(self, name: str) -> dict[str, Any]:
        """Give a subcluster's status."""
        found = [entry for entry in self.kernel.status()["subclusters"] if entry["id"] == name]
        assert len(found) == 1, f"{name} is listed {len(found)} times"
        return dict(found[0])

    def rows(self, table: str) -> int:
        """Count a table's rows."""
        return int(self.kernel.execute_query(f"SELECT count(*) AS n FROM {table}")[0]["n"])
