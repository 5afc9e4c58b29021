"""Work of a server that is done again and again, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Repeating:
    """Does a piece of work after every pause, from `start` to `close`.

    Args:
        work: What is done; an error that it raises ends the thread, so it keeps its own.
        every_s: Seconds between the end of one turn and the beginning of the next.
        name: The thread's.
    """

    def __init__(self, work: Callable[[], object], *, every_s: float, name: str) -> None:
        self._work = work
        self._every_s = every_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin, with a pause."""
        self._thread.start()

    def close(self) -> None:
        """End, after the turn that goes on; one that was never started only stays so."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._every_s):
            self._work()
