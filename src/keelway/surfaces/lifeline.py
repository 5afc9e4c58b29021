"""A pipe by which a child learns that its parent is gone, however that went: the parent holds one end, which closes with it."""

from __future__ import annotations

import os
import signal
import threading


def end_with(lifeline: int) -> None:
    """End this process as SIGTERM does when the other end of a pipe is closed.

    Args:
        lifeline: The descriptor to read from, which nobody writes to.
    """

    def wait() -> None:
        while os.read(lifeline, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="keelway-lifeline", daemon=True).start()
