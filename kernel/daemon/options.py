"""The options of ``python -m kernel.daemon``; parsed by hand because argparse costs more than the rest of a start."""

from __future__ import annotations

from kernel.daemon.log import LEVELS
from kernel.errors import UsageError
from kernel.records import Record

USAGE = (
    "Usage: python -m kernel.daemon [--home DIR] [--status-fd N] [--require-confinement] [--init-timeout SECONDS] "
    "[--delivery-timeout SECONDS] [--log-level LEVEL]"
)


class DaemonOptions(Record):
    """What the daemon was started with."""

    home: str | None = None
    status_fd: int | None = None
    require_confinement: bool = False
    init_timeout: float | None = None
    """Seconds; None for the kernel's own default, here and below."""
    delivery_timeout: float | None = None
    log_level: str = "info"


def parse_options(arguments: list[str]) -> DaemonOptions:
    """Read the options, as ``--name VALUE`` or ``--name=VALUE``.

    Raises:
        UsageError: An option is not known, lacks its value, or has one that it cannot have.
    """
    values: dict[str, object] = {}
    rest = list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name == "--require-confinement" and not equals:
            values["require_confinement"] = True
            continue
        if name not in ("--home", "--status-fd", "--init-timeout", "--delivery-timeout", "--log-level"):
            raise UsageError(f"The daemon has no option {name!r}.", remedy=USAGE)
        if not equals:
            if not rest:
                raise UsageError(f"The option {name} needs a value.", remedy=USAGE)
            value = rest.pop(0)
        values[name.removeprefix("--").replace("-", "_")] = _converted(name, value)
    return DaemonOptions(**values)  # type: ignore[arg-type]  # the names are checked above, the types in _converted


def _converted(name: str, value: str) -> object:
    if name == "--status-fd":
        if not value.isdecimal():
            raise UsageError(f"{name} has to be the number of a descriptor, not {value!r}.", remedy=USAGE)
        return int(value)
    if name == "--log-level":
        if value not in LEVELS:
            raise UsageError(f"{name} has to be one of {', '.join(LEVELS)}, not {value!r}.", remedy=USAGE)
        return value
    if name == "--home":
        return value
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"{name} has to be a number of seconds above 0, not {value!r}.", remedy=USAGE)
    return seconds
