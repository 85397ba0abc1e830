"""The command driver as a user meets it: chosen in pyproject.toml, the same in every worker, wrong by name."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from pytest_ocap.drivers.kernel_vats import COUNTER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.plugin.conftest import Project

OCAP = f'{sys.executable!r}, "-P", "-m", "kernel.cli"'

TABLE = f"""
[tool.pytest_ocap]
driver = "command"

[tool.pytest_ocap.command]
name = "kernel in TOML"
version = "7"
start = [{OCAP}, "--home", "{{home}}", "daemon", "start", "--timeout", "{{timeout}}"]
stop = [{OCAP}, "--home", "{{home}}", "daemon", "stop"]
force_stop = [{OCAP}, "--home", "{{home}}", "daemon", "stop", "--force"]
socket = "{{home}}/daemon.sock"
pidfile = "{{home}}/daemon.pid"
log = "{{home}}/daemon.log"
store = "{{home}}/kernel.sqlite"
store_format = "sqlite"
lock = "{{home}}/daemon.lock"
bundle_command = [{OCAP}, "bundle", "counter.py", "-o", "{{bundle}}"]
phases = ["lock", "log", "store", "identity", "restore", "io", "listen"]
interrupt = {{ OCAP_FAILPOINT = "{{phase}}={{how}}", OCAP_FAILPOINT_NOTE = "{{note}}" }}
error_code = "data.code"

[tool.pytest_ocap.command.rpc]
ping = {{ method = "getStatus" }}
probe = {{ method = "queueMessage", params = ["{{root}}", "increment", []], count = "body" }}

[tool.pytest_ocap.command.rpc.list]
method = "getStatus"
items = "subclusters"
id = "id"
state = "state"
text = "quarantine.message"
code = "quarantine.code"

[tool.pytest_ocap.command.rpc.launch]
method = "launchSubcluster"
params = {{ config = {{ bootstrap = "main", vats = {{ main = {{ bundleSpec = "{{bundle_url}}" }} }} }} }}
id = "subclusterId"
root = "rootKref"
"""

MARKED = """
    import pytest

    @pytest.mark.missing_bundle
    def test_missing(ocap_daemon):
        assert len(ocap_daemon.missing) == 1

    @pytest.mark.crashed_init(how="hang", phase="io")
    def test_hang(): ...

    @pytest.mark.bundle_fetch_error(how="fifo")
    def test_fetch(): ...

    @pytest.mark.legible_fatal(cause="store-newer")
    def test_fatal(): ...
"""


@pytest.fixture
def toml(project: Project) -> Callable[[str], None]:
    """Give a function that writes the project's pyproject.toml."""

    def write(table: str) -> None:
        (project.pytester.path / "pyproject.toml").write_text(textwrap.dedent(table))

    (project.pytester.path / "counter.py").write_text(COUNTER)
    return write


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_kernel_that_is_described_keeps_every_contract(
    project: Project, toml: Callable[[str], None], homes_left: Callable[[], set[Path]], workers: int
) -> None:
    toml(TABLE)
    project.pytester.makepyfile(MARKED)
    words = ("-n", str(workers)) if workers else ("-p", "no:xdist")
    project.run(*words, "--ocap-report", "report.json", driver=None).assert_outcomes(passed=4)
    report = (project.pytester.path / "report.json").read_text()
    assert '"name": "kernel in TOML"' in report
    assert '"version": "7"' in report
    assert not homes_left()


def test_the_driver_can_be_named_on_the_command_line(project: Project, toml: Callable[[str], None]) -> None:
    toml(TABLE.replace('driver = "command"', 'driver = "kernel"'))
    project.pytester.makepyfile("def test_it(ocap_driver): assert ocap_driver.name == 'kernel in TOML'")
    project.run(driver="command").assert_outcomes(passed=1)


def test_a_daemon_with_nothing_but_a_life_skips_the_rest_by_name(project: Project, toml: Callable[[str], None]) -> None:
    toml(
        """
        [tool.pytest_ocap]
        driver = "command"
        [tool.pytest_ocap.command]
        start = ["true", "{home}"]
        stop = ["true"]
        cli = { ping = ["true"] }
        """
    )
    project.pytester.makepyfile("import pytest\n@pytest.mark.degraded_boot\ndef test_it(): ...")
    result = project.run("-rs", driver=None)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*driver 'command' lacks 'launch', 'probe'"])


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_wrong_stops_the_run_before_any_test(
    project: Project, toml: Callable[[str], None], workers: int
) -> None:
    toml(TABLE.replace("force_stop", "forced_stop"))
    project.pytester.makepyfile("def test_it(ocap_daemon): raise SystemError('ran')")
    result = project.run(*(("-n", str(workers)) if workers else ()), driver=None)
    assert result.ret != 0
    told = "*pyproject.toml: [[]tool.pytest_ocap.command] forced_stop is unknown; *did you mean 'force_stop'?*"
    (result.stdout if workers else result.stderr).fnmatch_lines([told])
    result.stdout.no_fnmatch_line("*SystemError*")


FOREGROUND = """
[tool.pytest_ocap]
driver = "command"
[tool.pytest_ocap.command]
start = ["sh", "daemon.sh", "{home}"]
foreground = true
stop = ["sh", "-c", 'kill $(cat "$1/pid"); rm "$1/pid"', "sh", "{home}"]
log = "{home}/log"
store = "{home}/store"
pidfile = "{home}/pid"
phases = ["home", "store", "log"]
cli = { ping = ["test", "-e", "{home}/pid"] }
"""
"""The start is the daemon, which says nothing."""

DAEMON = 'mkdir -p "$1"; cd "$1"; : > store; sleep 0.2; : > log; echo $$ > pid; exec sleep 600'


def test_a_start_is_interrupted_in_a_phase_that_the_daemon_has_when_none_is_named(
    project: Project, toml: Callable[[str], None]
) -> None:
    toml(FOREGROUND)
    (project.pytester.path / "daemon.sh").write_text(DAEMON)
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.crashed_init(phase="stoer")
        def test_wrong(): ...
        """
    )
    result = project.run(driver=None)
    result.stderr.fnmatch_lines(["*phase='stoer' is not one of 'home', 'store', 'log'; did you mean 'store'?*"])
    project.pytester.makepyfile(
        """
        def test_it(ocap_crashed_init):
            assert ocap_crashed_init.id == "kill-in-store" and not ocap_crashed_init.client().ok
        """
    )
    project.run(driver=None).assert_outcomes(passed=1)


def test_a_daemon_in_the_foreground_that_a_sweep_itself_has_killed_need_not_say_why_it_failed(
    project: Project, toml: Callable[[str], None]
) -> None:
    toml(FOREGROUND)
    (project.pytester.path / "daemon.sh").write_text(DAEMON)
    words = ("--pyargs", "pytest_ocap.sweeps", "--ocap-sweep-means", "phases", "--ocap-sweep", "kill")
    result = project.run(*words, "--ocap-point", "start:phase:store=kill", driver=None)
    result.stdout.fnmatch_lines(["start: 1 points, 1 cases, 1 fired: 1 passed, 0 failed"])
    result.assert_outcomes(passed=1)
