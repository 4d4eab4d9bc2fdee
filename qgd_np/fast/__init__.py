"""The same numbers with fewer products: every candidate lies on a line."""
