"""What `keelway serve` does beside answering: it keeps the prediction logs of its models small.

    with Housework(["churn"], environment="prod", every_s=3600.0, options=session.options()):
        run_house(...)

The process that was started does it, a supervisor or the one that answers. It only waits: the work is a command in a process
of its own, `keelway log compact MODEL --every ...`, which gives way to whoever answers and ends with this one, however that
went. What fails is told in the log and tried again at the next turn; it never ends the server.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import IO, Self

_log = logging.getLogger(__name__)

FIRST_S = 60.0
"""So long after the start the first turn comes: a server that starts has other things to do."""
STOP_S = 5.0
NICENESS = 10
"""A tenth of the processor where others want all of it. No less: a transaction that starves would keep servers from sealing."""
TOLD_BYTES = 2_000


class Housework:
    """Compacts the prediction logs of some models every so often, from entering to leaving it.

    Args:
        every_s: Seconds between two turns; 0 for never.
        options: The words by which a command finds the project, and who acts.
    """

    def __init__(self, models: Sequence[str], *, environment: str, every_s: float, options: Sequence[str]) -> None:
        self._models = list(models)
        every = ["--every", f"{max(1, round(every_s))}s"]
        self._words = ["--env", environment, *every, *options]
        self._every_s = every_s
        self._ending = threading.Event()
        self._guard = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="keelway-housework", daemon=True)

    def __enter__(self) -> Self:
        """Begin, with a pause."""
        if self._every_s:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, and end what is under way: whatever a compaction did not finish, the next one does."""
        with self._guard:
            self._ending.set()
            if self._child is not None:
                self._child.terminate()
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        if self._thread.is_alive() and self._child is not None:
            self._child.kill()
            self._thread.join()

    def _run(self) -> None:
        waits_s = min(FIRST_S, self._every_s)
        while not self._ending.wait(waits_s):
            for model in self._models:
                self._compact(model)
            waits_s = self._every_s

    def _compact(self, model: str) -> None:
        """Compact the log of one model in a process of its own, and tell what came of it."""
        try:
            with tempfile.TemporaryFile() as told:
                code = self._code_of(model, told)
                said = _end_of(told)
        except OSError as error:  # no process, no room
            code, said = -1, str(error)
        if self._ending.is_set():
            return
        if code:
            again = timedelta(seconds=round(self._every_s))
            _log.warning("The prediction log of %s is not compacted; tried again in %s: %s", model, again, said)
        else:
            _log.info("The prediction log was looked after: %s", said)

    def _code_of(self, model: str, told: IO[bytes]) -> int:
        """Run the command and return its exit code; 0 where the end came first."""
        reader, writer = os.pipe()
        with os.fdopen(writer, "wb"):  # which closes with this process too, however it ends
            with os.fdopen(reader, "rb"), self._guard:
                if self._ending.is_set():
                    return 0
                self._child = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(reader), "log", "compact", model, *self._words],
                    stdin=subprocess.DEVNULL,
                    stdout=told,
                    stderr=told,
                    pass_fds=[reader],
                    process_group=0,  # Ctrl-C in a terminal is not for it; a session of its own would make niceness count less
                )
            return self._child.wait()


def _end_of(told: IO[bytes]) -> str:
    """Return the last that a command told, in one line."""
    size = told.seek(0, os.SEEK_END)
    told.seek(max(0, size - TOLD_BYTES))
    return " ".join(told.read().decode("utf8", "replace").split())


def main() -> None:
    """Carry out a command that gives way to others and ends with whoever started it: `LIFELINE WORD...`."""
    from keelway.surfaces.cli.main import main as keelway
    from keelway.surfaces.lifeline import end_with

    os.nice(NICENESS)
    end_with(int(sys.argv[1]))
    keelway(args=sys.argv[2:], prog_name="keelway")


if __name__ == "__main__":
    main()
