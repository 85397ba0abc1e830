"""The plugin loads in every way in which pytest loads plugins, and is not noticed where it is not used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

pytestmark = pytest.mark.usefixtures("beside_others")

MARKED = """
    import pytest

    @pytest.mark.persisted_store(subclusters=1)
    def test_it(ocap_store):
        assert len(ocap_store.subclusters) == 1
"""

ENTRY = "[pytest11]\npytest_ocap = pytest_ocap.plugin\n"


def install(pytester: pytest.Pytester) -> None:
    """Make the folder look like one into which the distribution was installed."""
    place = pytester.mkdir("pytest_ocap-0.dist-info")
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: pytest-ocap\nVersion: 0\n")
    (place / "entry_points.txt").write_text(ENTRY)
    (place / "RECORD").write_text("pytest_ocap/__init__.py,,\n")


def run(project: Project, *words: str) -> pytest.RunResult:
    words = (*words, "-p", "no:cacheprovider", "--ocap-driver", "little_driver:driver")
    return project.pytester.runpytest_subprocess(*words, timeout=60)


def test_it_loads_by_name_from_a_clone(project: Project) -> None:
    project.pytester.makepyfile(MARKED)
    run(project, "-p", "pytest_ocap").assert_outcomes(passed=1)


def test_it_loads_by_its_entry_point_and_by_name_at_once(project: Project) -> None:
    project.pytester.makepyfile(MARKED)
    install(project.pytester)
    project.pytester.syspathinsert()
    run(project).assert_outcomes(passed=1)
    run(project, "-p", "pytest_ocap").assert_outcomes(passed=1)


def test_it_loads_from_a_conftest(project: Project) -> None:
    project.pytester.makepyfile(MARKED)
    project.pytester.makeconftest("pytest_plugins = ['pytest_ocap']")
    result = project.pytester.runpytest_subprocess("-p", "no:cacheprovider", "--ocap-driver=little_driver:driver")
    result.assert_outcomes(passed=1)


def test_it_works_with_autoload_off_and_everything_strict(project: Project) -> None:
    project.environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    project.pytester.makepyfile(MARKED)
    project.pytester.makeini("[pytest]\nocap_driver = little_driver:driver\nfilterwarnings = error\n")
    words = ("-p", "pytest_ocap", "-p", "no:cacheprovider", "--strict-markers", "--strict-config")
    project.pytester.runpytest_subprocess(*words).assert_outcomes(passed=1)


def test_a_project_that_does_not_use_it_sees_and_pays_nothing(project: Project) -> None:
    # A run that measures lets every interpreter of the environment import coverage, and so sqlite3, while it lasts.
    project.pytester.makepyfile(loaded_before_us="import sys\n\nMODULES = frozenset(sys.modules)\n")
    project.pytester.makepyfile(
        """
        import sys

        from loaded_before_us import MODULES

        def test_nothing_heavy_was_imported():
            ours = {"kernel", *(f"pytest_ocap.{name}" for name in ("driver", "drivers", "scenarios", "situation"))}
            heavy = ours | {"psutil", "sqlite3"}
            assert "pytest_ocap.plugin" in sys.modules.keys() - MODULES
            assert sorted(heavy & (sys.modules.keys() - MODULES)) == []
        """
    )
    project.environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    project.pytester.syspathinsert()
    words = ("-p", "loaded_before_us", "-p", "pytest_ocap", "-p", "no:cacheprovider", "--no-header")
    quiet = project.pytester.runpytest_subprocess(*words)
    quiet.assert_outcomes(passed=1)
    quiet.stdout.no_fnmatch_line("*ocap*")


def test_every_marker_is_shown_with_its_signature(project: Project) -> None:
    result = project.run("--markers")
    result.stdout.fnmatch_lines(
        [
            "@pytest.mark.missing_bundle(subclusters=3, missing=1, how='delete'): arranges *",
            "@pytest.mark.crashed_init(how='kill', phase='restore'): arranges *",
            "@pytest.mark.degraded_boot(): arranges *",
        ]
    )
