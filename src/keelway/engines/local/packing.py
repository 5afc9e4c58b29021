"""Packs long journals in a process of its own, beside a server that answers: neither its interpreter nor its time is needed.

    pack = PackingProcess()
    contents = pack(journal.read())
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
    """What comes back for a journal: how its lines are packed, or which of its entries is no prediction, in words."""

    contents: SegmentContents | None
    damage: str = ""


class PackingProcess:
    """Packs journals, as `serve.Pack`; safe to call from several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0  # by time.monotonic

    @property
    def pid(self) -> int | None:
        """The process id; None while there is no process."""
        return self._process.pid if self._process else None

    def __call__(self, entries: bytes) -> SegmentContents:
        """Pack the lines of what a journal kept, at least one entry, each with its line feed.

        Raises:
            IntegrityError: An entry is no prediction.
        """
        is_apart = len(entries) >= LONG_BYTES and time.monotonic() >= self._not_before
        told = self._told(entries) if is_apart else None
        if told is None:
            return packed_here(entries)
        if told.contents is None:
            raise damaged_journal(told.damage)
        return told.contents

    def close(self) -> None:
        """End the process."""
        with self._guard:
            self._end()

    def _told(self, entries: bytes) -> _PackingAnswer | None:
        """Return what the process says of a journal; None where there is none, or it died or hangs: it is ended then."""
        with self._guard:
            try:
                line = self._line or self._started()
                line.sendall(_LENGTH.pack(len(entries)))
                line.sendall(entries)
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


def _answered(entries: Iterator[bytes]) -> _PackingAnswer:
    """Return what the process says of entries; all of them are read."""
    try:
        return _PackingAnswer(packed_lines(entries))
    except IntegrityError as error:
        collections.deque(entries, maxlen=0)
        return _PackingAnswer(None, error.found)


def _entries_in(source: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield entries of so many bytes altogether.

    Raises:
        EngineError: They end sooner.
    """
    while size > 0:
        entry = source.readline()
        if not entry:
            raise EngineError("A journal does not come whole", expected=f"{size} bytes more", found="none")
        size -= len(entry)
        yield entry


def main() -> None:
    """Pack journals until the server is gone: `DESCRIPTOR`."""
    os.nice(NICENESS)
    line = socket.socket(fileno=int(sys.argv[1]))
    with line, line.makefile("rb") as coming, contextlib.suppress(EngineError, OSError):
        while head := coming.read(_LENGTH.size):
            [size] = _LENGTH.unpack(head)
            send_frame(line, _answered(_entries_in(coming, size)))


if __name__ == "__main__":
    main()
