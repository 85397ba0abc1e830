"""Command line, ini keys and ``[tool.pytest_ocap]``, and the choice of the driver that follows from them.

Invariant: nothing is imported for a driver before a test needs one.  What is wrong with a setting is a usage error
that names it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ocap.editions import EDITIONS
from pytest_ocap.report.outputs import OUTPUTS, problems
from pytest_ocap.sweeps import options as sweeps
from pytest_ocap.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.report.outputs import Output

DRIVER_HELP = (
    "The daemon under test: the name of a bundled driver (kernel; command: what [tool.pytest_ocap.command] of "
    "pyproject.toml describes), or where an object of yours is: pkg.mod:attr."
)

EDITION_HELP = (
    "The edition to which the project is pinned: scenarios of a newer one run, show as new, and do not fail the run."
)

EXPECTATIONS_HELP = (
    "The file with the checks that are known not to pass, each with its reason; {driver} in its path is the driver's "
    "name (ocap-expectations-{driver}.toml, which need not be there)."
)
EXPECT_UPDATE_HELP = (
    "Bring that file up to date with what this run finds, for the scenarios that it runs: what fails is added, for a "
    "reason to be filled in, and what passes is removed."
)

BUNDLED = {"kernel": "pytest_ocap.drivers.kernel:driver", "command": "pytest_ocap.drivers.command:driver_from"}
"""The drivers that come with the plugin, by their names."""

DESCRIBED = "command"
"""The one of them that is made from a description: the table of that name."""

DEFAULT_DRIVER = "kernel"

DEFAULT_EXPECTATIONS = "ocap-expectations-{driver}.toml"
"""Where expectations are when nobody says where."""

TABLE_KEYS = ("driver", "edition", "expectations", DESCRIBED)
"""What may stand in ``[tool.pytest_ocap]`` of ``pyproject.toml``."""

WORDS = ("driver", "edition", "expectations")
"""Those of them that are a word each."""

_driver_key = pytest.StashKey["KernelDriver"]()
_pinned_key = pytest.StashKey["str | None"]()


def add_options(parser: pytest.Parser) -> None:
    """Register options and ini keys."""
    group = parser.getgroup("ocap", "object-capability kernels")
    group.addoption("--ocap-driver", metavar="NAME|pkg.mod:attr", default=None, help=DRIVER_HELP)
    group.addoption("--ocap-edition", metavar="EDITION", default=None, help=EDITION_HELP)
    group.addoption("--ocap-expectations", metavar="FILE.toml", default=None, help=EXPECTATIONS_HELP)
    group.addoption("--ocap-expect-update", action="store_true", default=False, help=EXPECT_UPDATE_HELP)
    for output in OUTPUTS:
        group.addoption(output.option, metavar=output.metavar, default=None, help=output.help)
    sweeps.add_options(group)
    parser.addini("ocap_driver", DRIVER_HELP, default="")
    parser.addini("ocap_edition", EDITION_HELP, default="")
    parser.addini("ocap_expectations", EXPECTATIONS_HELP, default="")


def driver_of(config: pytest.Config) -> KernelDriver:
    """Give this run's driver, from the command line, the ini key, the hook, ``pyproject.toml``, else the bundled one.

    Raises:
        pytest.UsageError: It cannot be found, or is no driver.
    """
    if _driver_key not in config.stash:
        config.stash[_driver_key] = _choose(config)
    return config.stash[_driver_key]


def _choose(config: pytest.Config) -> KernelDriver:
    named = config.getoption("--ocap-driver")
    if named:
        return load(named, "--ocap-driver", config)
    named = config.getini("ocap_driver")
    if named:
        return load(named, "the ini key ocap_driver", config)
    given = config.hook.pytest_ocap_driver(config=config)
    if given is not None:
        source = "the hook pytest_ocap_driver"
        return load(given, source, config) if isinstance(given, str) else checked(given, source)
    table = read_table(config)
    if "driver" in table:
        return load(table["driver"], "[tool.pytest_ocap] driver", config)
    return load(DEFAULT_DRIVER, "the default", config)


def read_table(config: pytest.Config) -> dict[str, Any]:
    """Read ``[tool.pytest_ocap]`` of the root directory's ``pyproject.toml``.

    Raises:
        pytest.UsageError: The file is no TOML, or the table has an unknown key or a value of the wrong kind.
    """
    path = config.rootpath / "pyproject.toml"
    if not path.is_file():
        return {}
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("pytest_ocap", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise pytest.UsageError(f"{path}: {error}") from error
    if not isinstance(table, dict):
        raise pytest.UsageError(f"{path}: [tool.pytest_ocap] is not a table")
    for key in table:
        if key not in TABLE_KEYS:
            raise pytest.UsageError(
                f"{path}: unknown key {key!r} in [tool.pytest_ocap]; known: {', '.join(TABLE_KEYS)}"
                + suggestion(key, TABLE_KEYS)
            )
    for key in WORDS:
        if not isinstance(table.get(key, ""), str):
            raise pytest.UsageError(f"{path}: [tool.pytest_ocap] {key} is not a string: {table[key]!r}")
    return table


def chosen(config: pytest.Config, key: str) -> tuple[str, str] | None:
    """Give the value of a setting and where it stands: command line, ini key or table; ``None`` when nowhere.

    Raises:
        pytest.UsageError: There is something wrong with the table.
    """
    if value := config.getoption(f"--ocap-{key}"):
        return value, f"--ocap-{key}"
    if value := config.getini(f"ocap_{key}"):
        return value, f"the ini key ocap_{key}"
    value = read_table(config).get(key)
    return (value, f"[tool.pytest_ocap] {key}") if value else None


def pinned_edition(config: pytest.Config) -> str | None:
    """Give the edition to which the project is pinned; ``None`` when to none.

    Raises:
        pytest.UsageError: There is no such edition.
    """
    if _pinned_key not in config.stash:
        edition, source = chosen(config, "edition") or (None, "")
        if edition is not None and edition not in EDITIONS:
            raise pytest.UsageError(
                f"{source}: there is no edition {edition!r}; known: {', '.join(EDITIONS)}"
                + suggestion(edition, EDITIONS)
            )
        config.stash[_pinned_key] = edition
    return config.stash[_pinned_key]


def check_edition(config: pytest.Config) -> None:
    """Check the edition before anything runs, when it is said where that is known without reading a file.

    Raises:
        pytest.UsageError: There is no such edition.
    """
    if config.getoption("--ocap-edition") or config.getini("ocap_edition"):
        pinned_edition(config)


def settle_paths(config: pytest.Config) -> None:
    """Make a path of the command line one that means the same in every xdist worker, which inherits these options."""
    if path := config.getoption("--ocap-expectations"):
        config.option.ocap_expectations = os.path.join(config.invocation_params.dir, path)


def expectations_path(config: pytest.Config, driver: str) -> Path:
    """Give where the expectations of a driver are; a path in a file is relative to the root directory.

    Raises:
        pytest.UsageError: A file was named that is not there, and is not about to be written.
    """
    named = chosen(config, "expectations")
    words, source = named or (DEFAULT_EXPECTATIONS, "")
    path = config.rootpath / words.replace("{driver}", re.sub(r"[^\w.-]", "-", driver))
    if named and not path.is_file() and not config.getoption("--ocap-expect-update"):
        raise pytest.UsageError(f"{source}: there is no file {path}; --ocap-expect-update writes it")
    return path


def load(name: str, source: str, config: pytest.Config) -> KernelDriver:
    """Find a driver by its name, or by module and attribute; the described one is made from its table.

    Args:
        name: What the user gave.
        source: Where, for the error's message.
        config: Says where the table is.

    Raises:
        pytest.UsageError: There is no such driver.
    """
    where = BUNDLED.get(name, name)
    module_name, colon, attribute = where.partition(":")
    if not colon or not module_name or not attribute:
        raise pytest.UsageError(
            f"{source}: no driver is named {name!r}; bundled: {', '.join(BUNDLED)}; one of your own: pkg.mod:attr"
            + suggestion(name, BUNDLED)
        )
    import importlib

    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise pytest.UsageError(f"{source}: the driver {name!r} cannot be loaded: {error}") from error
    if name == DESCRIBED:
        found = found(read_table(config).get(DESCRIBED), config.rootpath / "pyproject.toml")
    elif isinstance(found, type):
        found = found()
    return checked(found, f"{source}: {name}")


def checked(driver: Any, source: str) -> KernelDriver:
    """Insist that an object is a driver.

    Raises:
        pytest.UsageError: It lacks members of one, or claims capabilities that do not exist.
    """
    from pytest_ocap.driver import FULL, MEMBERS, OPTIONAL, Capability

    missing = [name for name in MEMBERS if not hasattr(driver, name)]
    if missing:
        raise pytest.UsageError(f"{source}: {driver!r} is no driver: it lacks {', '.join(missing)}")
    known: Collection[str] = [str(capability) for capability in Capability]
    for claimed, support in driver.supports.items():
        if claimed not in known:
            raise pytest.UsageError(f"{source}: unknown capability {str(claimed)!r}" + suggestion(str(claimed), known))
        if not isinstance(support, str) or not support.strip():
            raise pytest.UsageError(
                f"{source}: the capability {str(claimed)!r} is {support!r}, neither 'full' nor 'none' nor a reason"
            )
    for capability, verbs in OPTIONAL.items():
        lacking = [verb for verb in verbs if not hasattr(driver, verb)]
        if driver.supports.get(capability) == FULL and lacking:
            wanted = ", ".join(lacking)
            raise pytest.UsageError(
                f"{source}: {driver!r} claims the capability {str(capability)!r} and lacks {wanted}"
            )
    accepted: KernelDriver = driver
    return accepted


def wanted_reports(config: pytest.Config) -> dict[Output, str]:
    """Give the absolute path of each form of the report that is wanted."""
    given = {output: config.getoption(output.option) for output in OUTPUTS}
    return {output: os.path.join(config.invocation_params.dir, path) for output, path in given.items() if path}


def check_reports(config: pytest.Config) -> None:
    """Insist, before anything runs, that the reports which are wanted can be written.

    Raises:
        pytest.UsageError: One of them cannot.
    """
    wrong = problems(wanted_reports(config))
    if wrong:
        raise pytest.UsageError("\n".join(f"--ocap-{problem}" for problem in wrong))
