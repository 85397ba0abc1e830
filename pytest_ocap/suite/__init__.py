"""The bundled suite: ``pytest --pyargs pytest_ocap.suite`` judges the daemon that the run's driver names.

Each item is an ordinary test with a marker and an empty body: what is checked is the marker's contract.
"""
