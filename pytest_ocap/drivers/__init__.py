"""Drivers that come with the plugin; each is found by its name in :data:`pytest_ocap.options.BUNDLED`."""
