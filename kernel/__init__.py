"""A persistent object-capability kernel and its daemon."""

__version__ = "0.1.0"
