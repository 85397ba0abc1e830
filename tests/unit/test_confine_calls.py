"""The calls that a confined worker may make: each has a number, on every architecture that is promised."""

from __future__ import annotations

import pytest

from kernel.workers import confine

try:
    import pyseccomp
except (ImportError, RuntimeError) as error:  # the package, or the library that it binds
    pytest.skip(f"needs libseccomp2: {error}", allow_module_level=True)


@pytest.mark.parametrize(
    ("architecture", "lacking"),
    [("X86_64", set()), ("AARCH64", {"poll", "time"})],  # where programs call ppoll and clock_gettime instead
)
def test_a_call_that_is_allowed_is_left_out_only_where_there_is_none(architecture: str, lacking: set[str]) -> None:
    place = getattr(pyseccomp.Arch, architecture)
    names = {*confine._ALLOWED, *confine._NOT_EXECUTABLE}
    assert {name for name in names if pyseccomp.resolve_syscall(place, name) < 0} == lacking
    assert {"ppoll", "clock_gettime"} <= names
