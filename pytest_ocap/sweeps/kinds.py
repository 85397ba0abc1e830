"""The kinds of faults that can be swept.  Light: the options of every run name them."""

from __future__ import annotations

KINDS = ("kill", "hang", "errno", "slow", "powerloss")
"""The kinds of faults that can be swept, the most telling first."""
