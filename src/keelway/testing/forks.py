"""Children of one process: a test that kills an ingest a hundred times must not import its libraries as often.

The process that forks stays without threads: everything that might start one happens in a child.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress


def forked(work: Callable[[], object], *, meanwhile: Callable[[int], None] | None = None) -> int:
    """Do work in a child and return its exit code (0 when it returns), or minus the signal that killed it.

    Args:
        meanwhile: Called with the child's number before it begins.
    """
    gate, opener = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(opener)
            os.read(gate, 1)  # returns when the parent closes its end
            work()
            code = 0
        finally:
            os._exit(code)
    os.close(gate)
    try:
        if meanwhile is not None:
            meanwhile(child)
    finally:
        os.close(opener)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def preload(work: Callable[[], object]) -> None:
    """Import whatever a piece of work imports, so that the children which do it need not."""
    with tempfile.TemporaryFile("w+") as names:

        def told() -> None:
            work()
            names.write("\n".join(sys.modules))
            names.flush()

        if forked(told) != 0:
            raise RuntimeError("the work that is to be repeated failed")
        names.seek(0)
        for name in names.read().split():
            with suppress(ImportError):
                importlib.import_module(name)
