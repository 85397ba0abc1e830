"""A persistent object-capability kernel and its daemon."""
