"""``ocap doctor``: what a start of this home would do, found out on a copy, changing nothing."""

from __future__ import annotations

from kernel.cli.output import note, say, say_json
from kernel.cli.session import home_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace


def doctor(args: Namespace) -> int:
    """Carry out ``ocap doctor``."""
    from kernel.engine.doctor import examine

    home = home_of(args)
    report = examine(home.store, home.bundles)
    if args.json:
        say_json(report)
    else:
        say(str(report))
        note("")
    return 1 if report.get("findings") else 0
