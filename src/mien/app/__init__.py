"""What people use: the analyzer, the command line, tables, overlays and the report."""

__all__ = ["DEFAULT_MODEL"]

DEFAULT_MODEL = "pocket"
"""Name of the reader that the analyzer and the command line take when none is given."""
