"""The ``ocap`` command: what a person at a shell, or a program that runs commands, sees of the kernel.

Results go to standard output, everything else to standard error; an expected failure is a sentence with a code and a
next step, never a traceback.  Start-up time is a feature: what one command needs, the others do not import.

The commands know the daemon by its public functions and the wire protocol only; they never open the store.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``ocap`` command and give its exit code.

    Args:
        argv: The arguments without the program's name; those of the process when left out.
    """
    # Imported here, because `python -m kernel.cli` imports this package before it can mend the import path.
    from kernel.cli.app import main as run

    return run(argv)


def command() -> NoReturn:
    """Be the ``ocap`` command: run it, and end this process."""
    import gc

    gc.set_threshold(100_000)  # a command is over before there is garbage worth looking for
    status = main()
    from kernel.ending import end_process

    end_process(status)
