"""Reports: data first, then the ways to show them."""
