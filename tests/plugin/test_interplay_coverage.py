"""Beside pytest-cov: what is measured of a daemon and of vats, and what cannot be."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ocap.drivers.kernel_vats import COUNTER

pytest.importorskip("pytest_cov")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.plugin.conftest import Project

pytestmark = pytest.mark.usefixtures("beside_others")

MEASURING = """
    [run]
    branch = true
    parallel = true
    patch = subprocess
    sigterm = true
"""

DAEMON = """
import json, os, signal, socket, sys

def answer(line):
    request = json.loads(line)
    if request["method"] == "never":
        return {"never": "asked"}
    return {"jsonrpc": "2.0", "id": request["id"], "result": "pong"}

def serve(home):
    os.makedirs(home, exist_ok=True)
    if os.path.exists(f"{home}/s"):
        os.unlink(f"{home}/s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{home}/s")
    listener.listen()
    with open(f"{home}/pid", "w") as file:
        file.write(str(os.getpid()))
    while True:
        connection = listener.accept()[0]
        line = connection.recv(1000)
        if line:
            connection.sendall(json.dumps(answer(line)).encode() + b"\\n")
        connection.close()

if __name__ == "__main__":
    serve(sys.argv[1])
"""


def measured(project: Project, driver: str | None) -> dict[str, Any]:
    """Run the project's tests measured, and give what is known of each file."""
    (project.pytester.path / ".coveragerc").write_text("\n".join(line.strip() for line in MEASURING.splitlines()))
    project.pytester.syspathinsert()
    without = ("cacheprovider", "randomly", "asyncio")
    assert project.run("--cov=.", "--cov-report=json", driver=driver, without=without).ret == 0
    files: dict[str, Any] = json.loads((project.pytester.path / "coverage.json").read_text())["files"]
    return files


def line_of(text: str, wanted: str) -> int:
    (number,) = [number for number, line in enumerate(text.splitlines(), start=1) if wanted in line]
    return number


def test_a_daemon_in_python_is_measured_where_it_is_stopped_and_not_killed(
    project: Project, homes_left: Callable[[], set[Path]]
) -> None:
    (project.pytester.path / "my_daemon.py").write_text(DAEMON)
    (project.pytester.path / "pyproject.toml").write_text(
        f"""
        [tool.pytest_ocap]
        driver = "command"
        [tool.pytest_ocap.command]
        start = [{sys.executable!r}, "my_daemon.py", "{{home}}"]
        foreground = true
        stop = ["sh", "-c", 'kill $(cat "$1/pid")', "sh", "{{home}}"]
        socket = "{{home}}/s"
        rpc = {{ ping = {{ method = "ping", expect = "pong" }} }}
        """
    )
    project.pytester.makepyfile(
        """
        def test_it(ocap_daemon):
            assert ocap_daemon.ping().ok
            assert ocap_daemon.stop().ok
        """
    )
    found = measured(project, driver=None)["my_daemon.py"]
    assert line_of(DAEMON, "listener.accept") in found["executed_lines"]
    assert line_of(DAEMON, '"result": "pong"') in found["executed_lines"]
    assert found["missing_lines"] == [line_of(DAEMON, '"never": "asked"')]
    assert not homes_left()


def test_a_vat_is_measured_where_it_is_imported_and_not_in_its_worker(
    project: Project, homes_left: Callable[[], set[Path]]
) -> None:
    (project.pytester.path / "counting.py").write_text(COUNTER)
    project.pytester.makepyfile(
        """
        import counting

        def test_in_process():
            counter = counting.build_root_object(None, {}, {})
            assert counter.increment() == 1
        """
    )
    increment = line_of(COUNTER, "return self.baggage")
    found = measured(project, driver="kernel")["counting.py"]
    assert found["missing_lines"] == []
    project.pytester.makepyfile(
        """
        from kernel.bundle import build_bundle
        from pytest_ocap.driver import Subcluster

        def test_in_its_worker(ocap_daemon, tmp_path):
            bundle = tmp_path / "counting.bundle"
            bundle.write_bytes(build_bundle("counting.py"))
            launched = ocap_daemon.driver.launch(ocap_daemon.home, bundle.as_uri(), timeout=20)
            assert launched.ok, launched.text
            subcluster = Subcluster(*launched.value, bundle, bundle.as_uri())
            assert [ocap_daemon.probe(subcluster).value for _ in range(2)] == [1, 2]
        """
    )
    found = measured(project, driver="kernel")["counting.py"]
    assert increment in found["missing_lines"]
    assert found["executed_lines"] == []
    assert not homes_left()
