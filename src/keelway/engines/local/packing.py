"""Packs long journals in a process of its own, beside a server that answers: neither its interpreter nor its time is needed.

    pack = PackingProcess()
    packed = pack(journal.read())
    pack.close()

Reading and hashing lines in Python holds the interpreter, for which every request then waits. The process is started by the first
long journal, gives way to whoever answers, and ends with the server, however that went. Where there is none, lines are packed here.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from keelway.engines.local.frames import read_frame, send_frame
from keelway.errors import EngineError, IntegrityError
from keelway.serve import SegmentContents, damaged_journal, packed_here, packed_lines

LONG_BYTES = 256 << 10
"""What is shorter is packed here, in a few milliseconds: a server with little to do has no such process."""
ANSWER_S = 60
AGAIN_S = 60.0
"""So long after a process failed the next one is started."""
NICENESS = 10
_LENGTH = struct.Struct("<Q")

_log = logging.getLogger(__name__)


class _PackingAnswer(msgspec.Struct):
    """What comes back for lines: how they are packed, or which of them is no prediction, in words."""

    contents: SegmentContents | None
    damage: str = ""


class PackingProcess:
    """Packs the lines of journals, as `serve.Pack`; safe to call from several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0  # by time.monotonic

    @property
    def pid(self) -> int | None:
        """The process id; None while there is no process."""
        return self._process.pid if self._process else None

    def __call__(self, lines: bytes) -> SegmentContents:
        """Pack canonical lines, at least one, each with its line feed.

        Raises:
            IntegrityError: A line is no prediction.
        """
        if len(lines) < LONG_BYTES or time.monotonic() < self._not_before:
            return packed_here(lines)
        told = self._told(lines)
        if told is None:
            return packed_here(lines)
        if told.contents is None:
            raise damaged_journal(told.damage)
        return told.contents

    def close(self) -> None:
        """End the process."""
        with self._guard:
            self._end()

    def _told(self, lines: bytes) -> _PackingAnswer | None:
        """Return what the process says of lines; None where there is none, or it died or hangs: it is ended then."""
        with self._guard:
            try:
                line = self._line or self._started()
                line.sendall(_LENGTH.pack(len(lines)))
                line.sendall(lines)
                return read_frame(line, _PackingAnswer)
            except (OSError, EngineError) as error:
                self._end()
                self._not_before = time.monotonic() + AGAIN_S
                _log.warning("Predictions are packed in the server itself for %g s: %s", AGAIN_S, error)
                return None

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        for option in (
            socket.SO_SNDTIMEO,
            socket.SO_RCVTIMEO,
        ):  # Python's own timeouts wait for the interpreter at each part
            ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", ANSWER_S, 0))
        self._line = ours
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C in a terminal is not for it; a session of its own would make niceness count less
            )
        return ours

    def _end(self) -> None:
        """End the process, whatever it does; the caller holds the guard."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._line = self._process = None


def _answered(lines: Iterator[bytes]) -> _PackingAnswer:
    """Return what the process says of lines; all of them are read."""
    try:
        return _PackingAnswer(packed_lines(lines))
    except IntegrityError as error:
        collections.deque(lines, maxlen=0)
        return _PackingAnswer(None, error.found)


def _lines_in(source: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield lines of so many bytes altogether.

    Raises:
        EngineError: They end sooner.
    """
    while size > 0:
        line = source.readline()
        if not line:
            raise EngineError("Lines do not come whole", expected=f"{size} bytes more", found="none")
        size -= len(line)
        yield line


def main() -> None:
    """Pack lines until the server is gone: `DESCRIPTOR`."""
    os.nice(NICENESS)
    line = socket.socket(fileno=int(sys.argv[1]))
    with line, line.makefile("rb") as coming, contextlib.suppress(EngineError, OSError):
        while head := coming.read(_LENGTH.size):
            [size] = _LENGTH.unpack(head)
            send_frame(line, _answered(_lines_in(coming, size)))


if __name__ == "__main__":
    main()
