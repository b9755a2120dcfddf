"""What goes wrong in a way that its text says all of: printed without a traceback."""

from __future__ import annotations


class BenchError(Exception):
    """A benchmark cannot go on; the text says why, and what to install or to change."""


class Unavailable(BenchError):
    """One of the servers cannot be measured here. The others can."""
