"""The hooks that attend each test: refused where it cannot work, its contracts checked, its verdicts put on its report.

Invariant: registered (:func:`pytest_ocap.session.attend`) once there is a test that they are for, since pytest takes
longer to call a hook than an empty test needs for anything else.  Wrappers are the innermost, so that what they find
is found inside of everybody else's, like what a test's body raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_ocap import session
from pytest_ocap.report import transport

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse to work with wrong arguments, and beside a fake file system."""
    if session.usage_error_key in item.stash:
        pytest.fail(item.stash[session.usage_error_key], pytrace=False)
    if session.wishes_key in item.stash and session.FAKE_FILE_SYSTEMS.intersection(getattr(item, "fixturenames", ())):
        from pytest_ocap.homes import FAKES

        pytest.fail(f"{item.name}: {FAKES}", pytrace=False)
    session.begin(item)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """After the body of a marked test, check the contract of each of its scenarios."""
    if not item.stash.get(session.wishes_key, None):
        return (yield)
    from pytest_ocap import contracts

    try:
        result = yield
    except (Exception, pytest.fail.Exception):
        _look_beside(item)
        raise
    # What a method of a unittest.TestCase raises is kept by its item until the report is made.
    kept: list[pytest.ExceptionInfo[BaseException]] = getattr(item, "_excinfo", None) or []
    if not kept:
        contracts.check(item)
    elif any(not issubclass(info.type, pytest.skip.Exception) for info in kept):
        _look_beside(item)
    return result


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let verdicts travel with the report of their test, also those of a test that did not get so far."""
    report = yield
    if report.when == "setup" and report.failed and call.excinfo is not None and transport.missing(item):
        from pytest_ocap import contracts

        contracts.leave(item, f"the test's setup failed: {call.excinfo.exconly().splitlines()[0]}")
    transport.load(item, report)
    return report


def _look_beside(item: pytest.Item) -> None:
    """Check the contract of a test whose body failed, unless somebody is about to look at what the body left."""
    from pytest_ocap import contracts

    if item.config.getoption("usepdb", False):
        contracts.leave(item, "the body failed, and --pdb keeps what it was about")
    else:
        contracts.check_beside(item)
