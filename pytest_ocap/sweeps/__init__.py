"""Sweeps: every fault up to a bound, not a chosen few.

A workload is recorded at the system-call boundary (:mod:`pytest_ocap.sweeps.calls` says what a recording is).  The
calls that touch the daemon's home are its points, a fault is injected at each, and oracles that know nothing of the
daemon judge what comes after.
"""
