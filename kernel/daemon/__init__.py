"""The daemon: one process that holds a home directory's kernel and serves it over a Unix socket.

Nothing is imported here: ``python -m kernel.daemon`` must be able to report that an import failed.
"""
