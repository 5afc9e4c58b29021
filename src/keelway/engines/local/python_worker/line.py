"""One process of one model, seen from the server: started, asked, and ended when it does not answer."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from keelway.engines.local.frames import read_frame, send_frame
from keelway.engines.local.python_worker.messages import WorkerAnswer, WorkerModel
from keelway.errors import EngineError, IntegrityError

START_S = 120.0
THREADS = "OMP_NUM_THREADS"
"""One thread for what computes in several, unless the environment says how many: more processes are what is declared."""
MODULE = "keelway.engines.local.python_worker"


class WorkerLine:
    """A line to a process; used by one thread at a time, except `end`.

    Raises:
        IntegrityError: The process refused the model.
        EngineError: It did not start.
    """

    def __init__(self, model: WorkerModel, *, timeout_s: float) -> None:
        self._line, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env={THREADS: "1", **os.environ},
            )
        finally:
            theirs.close()
        try:
            self._line.settimeout(START_S)
            send_frame(self._line, model)
            told = read_frame(self._line, WorkerAnswer)
        except (OSError, EngineError) as error:
            self.end()
            raise EngineError("A model's process did not start", found=str(error)) from error
        if told.error:
            self.end()
            raise IntegrityError("A model's process refused the model", found=told.error)
        self._line.settimeout(timeout_s)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask(self, rows: Sequence[Sequence[Any]]) -> WorkerAnswer:
        """Return what the process says to rows.

        Raises:
            EngineError: It ended, or does not answer in time; it has to be ended and started anew.
        """
        try:
            send_frame(self._line, rows)
            return read_frame(self._line, WorkerAnswer)
        except TimeoutError as error:
            raise EngineError("A model's process does not answer in time", found="no answer") from error
        except OSError as error:
            raise EngineError("A model's process ended", found=str(error)) from error

    def end(self) -> None:
        """End the process, whatever it does."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self._line.close()
        self._process.kill()
        self._process.wait()
