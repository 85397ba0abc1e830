"""The machine: what Hypothesis may do to a kernel, each step with what must come of it.

After each step the durable store is compared with the world: every acknowledged effect is there once, what one party
told another came in order, no vat holds or has in its c-list a reference that it was not given, and the audit is clean.
"""

from __future__ import annotations

from comparing import Comparing
from steps_hosts import Hosts
from steps_lines import Lines
from steps_messages import Messages
from steps_promises import Promises
from steps_urls import Urls


class KernelMachine(Messages, Promises, Urls, Hosts, Lines, Comparing):
    """Drives one kernel, and the world beside it."""
