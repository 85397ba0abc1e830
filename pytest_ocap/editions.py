"""Editions: which scenarios a release has, by the year's number in which they came.

Invariant: a scenario belongs to the edition in which it appeared, and its checks mean the same ever after; what is
added or sharpened comes under a new name in a newer edition.  Light: imported in every run.
"""

from __future__ import annotations

EDITIONS = ("2026.1", "2026.2")
"""Every edition, the oldest first."""

EDITION = EDITIONS[-1]
"""The edition of this release: the newest, which holds all the scenarios."""


def is_newer(edition: str, pinned: str | None) -> bool:
    """Say whether an edition is newer than the one to which a project is pinned (``None``: to none)."""
    return pinned is not None and EDITIONS.index(edition) > EDITIONS.index(pinned)
