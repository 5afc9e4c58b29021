"""What all tests need of the process they run in."""

from __future__ import annotations

import sys

# A worker of pytest-xdist has no main file; the Spark client takes that for a run of its own doctests, and exits.
if not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__file__ = __file__
