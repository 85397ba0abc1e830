"""The ``ocap`` command as a process of its own, where no daemon is needed: streams, signals, folders, shells."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from shells import OCAP, ROOT, interruptible, on_terminal

import kernel

SOURCE = "def build_root_object(vat_powers, parameters, baggage):\n    return None\n"


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def ocap(*words: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*OCAP, *words], env=environment(**more), cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


def test_help_and_version_are_on_standard_output() -> None:
    assert "ocap daemon start" in ocap("--help").stdout
    version = ocap("--version")
    assert (version.stdout, version.stderr, version.returncode) == (f"ocap {kernel.__version__}\n", "", 0)


def test_a_wrong_command_line_is_told_in_two_lines_and_2() -> None:
    done = ocap("daemon", "strat")

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "Next: See 'ocap daemon --help'."
    assert "did you mean 'start'?" in done.stderr


def test_a_wrong_command_line_is_told_as_json_too() -> None:
    done = ocap("daemon", "status", "--json", "--frob")

    assert json.loads(done.stdout)["error"]["code"] == "usage"


@pytest.mark.parametrize(
    "words",
    [["daemon", "status"], ["subcluster", "list"], ["subcluster", "repair", "s1"], ["subcluster", "show", "s1"]],
)
def test_without_a_daemon_a_command_that_needs_one_says_so_and_3(words: list[str], short_tmp: Path) -> None:
    done = ocap("--home", str(short_tmp / "h"), *words)

    assert done.returncode == 3
    assert done.stderr.startswith("Error: No daemon ")
    assert "(code daemon-not-running)" in done.stderr
    assert "daemon start" in done.stderr
    assert not (short_tmp / "h").exists()


def test_the_status_of_a_home_without_a_daemon_is_json_too(short_tmp: Path) -> None:
    done = ocap("daemon", "status", "--json", "--home", str(short_tmp))

    status = json.loads(done.stdout)
    assert done.returncode == 3
    assert status["state"] == "not-running"
    assert status["home"] == str(short_tmp)
    assert status["error"]["code"] == "daemon-not-running"


def test_stopping_where_nothing_runs_is_done(short_tmp: Path) -> None:
    done = ocap("--home", str(short_tmp), "daemon", "stop")

    assert done.returncode == 0
    assert done.stderr == "not running: nothing to stop\n"


def test_the_home_can_be_given_by_the_environment(short_tmp: Path) -> None:
    assert f"{short_tmp}/h" in ocap("daemon", "status", OCAP_HOME=str(short_tmp / "h")).stderr


def test_a_home_with_too_long_a_path_is_a_clear_error(short_tmp: Path) -> None:
    done = ocap("--home", str(short_tmp / ("x" * 120)), "daemon", "start")

    assert done.returncode == 1
    assert "(code socket-path-too-long)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["json", "argparse", "rich", "socket", "errors", "sqlite3"])
def test_a_module_of_the_working_directory_is_not_taken_for_another(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module was imported')\n")
    (tmp_path / "vat.py").write_text(SOURCE)

    done = ocap("bundle", "vat.py", "-o", "vat.bundle", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("vat.bundle: entry vat")


def test_the_console_script_is_not_misled_by_a_kernel_in_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel" / "__init__.py").write_text("raise SystemExit('the wrong kernel')\n")
    script = tmp_path / "bin" / "ocap"
    script.parent.mkdir()
    script.write_text("import sys\nfrom kernel.cli import main\nsys.exit(main())\n")

    done = subprocess.run(
        [sys.executable, str(script), "--version"],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout == f"ocap {kernel.__version__}\n"


def test_a_working_directory_that_is_gone_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = f"cd {tmp_path}/gone && rmdir ../gone && exec {sys.executable} -m kernel.cli --version"

    done = subprocess.run(
        ["sh", "-c", script], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout == f"ocap {kernel.__version__}\n"


def test_a_reader_who_has_gone_is_no_failure_to_speak_of(tmp_path: Path) -> None:
    (tmp_path / "daemon.log").write_text('{"ts": "T", "level": "info", "event": "e"}\n' * 100_000)
    script = f'{sys.executable} -m kernel.cli --home {tmp_path} daemon logs -n 100000; echo "status $?" >&2'

    done = subprocess.run(
        ["sh", "-c", f"({script}) | head -n 1"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.splitlines() == ["T info    e"]
    assert done.stderr == "status 141\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("words", [["--help"], ["completion", "bash"]])
def test_an_output_that_cannot_be_written_is_told(words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*OCAP, *words], env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )

    assert done.returncode == 1
    assert done.stderr == "Error: the output could not be written: No space left on device (code internal-error)\n"


def test_an_interrupt_ends_following_the_log_with_one_line_and_130(tmp_path: Path) -> None:
    (tmp_path / "daemon.log").write_text('{"ts": "T", "level": "info", "event": "first"}\n')
    command = [*OCAP, "--home", str(tmp_path), "daemon", "logs", "--follow"]
    with interruptible(command, environment(), tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "T info    first\n"
        with (tmp_path / "daemon.log").open("a") as log:
            log.write('{"ts": "T", "level": "info", "event": "second"}\n')
        assert process.stdout.readline() == "T info    second\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert (out, err, process.returncode) == ("", "Interrupted.\n", 130)


def test_on_a_terminal_the_log_is_coloured(tmp_path: Path) -> None:
    (tmp_path / "daemon.log").write_text('{"ts": "T", "level": "warning", "event": "e", "x": "[red]"}\n')

    command = [*OCAP, "--home", str(tmp_path), "daemon", "logs"]
    shown = on_terminal(command, environment(TERM="xterm-256color", NO_COLOR=""), tmp_path)

    assert "\x1b[33m" in shown
    assert "T warning e x=[red]" in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_the_completion_script_is_one_that_the_shell_takes(shell: str, tmp_path: Path) -> None:
    script = ocap("completion", shell).stdout

    assert all(name in script for name in ("subcluster", "queueMessage", "repair"))
    if shell == "tcsh" or shutil.which(shell) is None:
        return  # tcsh can only be checked by running it
    path = tmp_path / "ocap.completion"
    path.write_text(script)
    subprocess.run([shell, "-n", str(path)], check=True, timeout=60)


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    (tmp_path / "ocap.completion").write_text(ocap("completion", "bash").stdout)
    script = (
        f"source {tmp_path}/ocap.completion; "
        'COMP_WORDS=(ocap daemon st); COMP_CWORD=2; COMP_LINE="ocap daemon st"; COMP_POINT=14; '
        '_shtab_ocap; printf "%s\\n" "${COMPREPLY[@]}"'
    )

    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.split() == ["start", "stop", "status"]
