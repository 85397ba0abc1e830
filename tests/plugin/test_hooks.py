"""The hooks that run with every test are there where a test concerns the plugin, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

HOOKS = """
import pytest

def ours(config):
    hooks = (name for name in dir(config.hook) if name.startswith("pytest_runtest_"))
    found = {name: [impl.plugin_name for impl in getattr(config.hook, name).get_hookimpls()] for name in hooks}
    return sorted(name for name, plugins in found.items() if any("pytest_ocap" in plugin for plugin in plugins))

@pytest.fixture(autouse=True, scope="session")
def told(pytestconfig):
    yield
    pytestconfig.get_terminal_writer().line(f"hooks: {ours(pytestconfig)}")
"""

ALL = "['pytest_runtest_call', 'pytest_runtest_logreport', 'pytest_runtest_makereport', 'pytest_runtest_setup']"


@pytest.mark.parametrize(
    ("body", "hooks"),
    [
        ("def test_it(): pass", "[]"),
        ("def test_it(ocap_clock): pass", "[]"),
        ("def test_it(ocap_home): pass", ALL),
        ("def test_it(request): request.getfixturevalue('ocap_home')", ALL),
        ("import pytest\n@pytest.mark.persisted_store(subclusters=0)\ndef test_it(): pass", ALL),
    ],
    ids=["none", "clock", "fixture", "asked-for-late", "marker"],
)
def test_they_come_with_the_first_test_that_needs_them(project: Project, body: str, hooks: str) -> None:
    project.pytester.makeconftest(HOOKS)
    project.pytester.makepyfile(body)
    result = project.run("-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"*hooks: {hooks}".replace("[", "[[]")])
