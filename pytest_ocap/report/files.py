"""Files of reports.

Invariant: a file is replaced whole or not at all; whoever reads it meanwhile sees the old one.  Knows nothing of what
is in them.
"""

from __future__ import annotations

import os
import tempfile


def replace(path: str, text: str) -> None:
    """Write a file, and the directories that it lies in when they are not there; a link stays, and leads to it.

    Raises:
        OSError: That is not possible; what was there before is as it was.
    """
    path = os.path.realpath(path)
    directory = os.path.dirname(path)
    os.makedirs(directory, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".ocap-report-", dir=directory)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def obstacle(path: str) -> str | None:
    """Say what stands in the way of writing a file, as far as that shows before it is tried."""
    if os.path.isdir(path):
        return f"{path} is a directory"
    if os.path.exists(path) and not os.path.isfile(path):
        return f"{path} is not a regular file"
    directory = os.path.dirname(os.path.abspath(path))
    while not os.path.lexists(directory):
        directory = os.path.dirname(directory)
    if not os.path.isdir(directory):
        return f"{directory} is not a directory"
    if not os.access(directory, os.W_OK | os.X_OK):
        return f"{directory} cannot be written to"
    return None


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
