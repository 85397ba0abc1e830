"""``python -m kernel.cli``: the ``ocap`` command of this very interpreter."""

from __future__ import annotations

import os
import sys


def _forget_working_directory() -> None:
    """Take the working directory out of the import path, unless this package itself comes from there.

    ``python -m`` puts it first, so that a file ``json.py`` or ``rich.py`` that lies there would be imported as ours.
    """
    if sys.flags.safe_path or not sys.path:
        return
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        here = os.getcwd()
    except OSError:  # it has been removed: nothing can be imported from it
        return
    if sys.path[0] in ("", here) and os.path.realpath(here) != os.path.realpath(root):
        del sys.path[0]


if __name__ == "__main__":
    _forget_working_directory()
    from kernel.cli import command

    command()
