"""Connections that ask without end, note who answered when, and open anew when they are lost.

load = WatchingLoad(port, bodies, connections=32)
load.start(); ...; load.stop()
load.answers    # (asked at, answered at, version), in seconds of time.monotonic
load.errors     # (at, what)
load.logged     # the ids of predictions that were said to be logged
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from itertools import cycle
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class WatchingLoad:
    """Asks from a thread of its own."""

    def __init__(self, port: int, bodies: list[str], *, connections: int, path: str = "/predict") -> None:
        self._port, self._connections, self._path = port, connections, path.encode()
        self._bodies = cycle(body.encode() for body in bodies)
        self._stop = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.answers: list[tuple[float, float, str]] = []
        self.errors: list[tuple[float, str]] = []
        self.mixed = self.refused = 0
        self.logged: set[str] = set()
        self.unlogged: list[float] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop = True
        self._thread.join()

    def errors_between(self, begin: float, end: float) -> int:
        return sum(begin <= at < end for at, _ in self.errors)

    def answers_between(self, begin: float, end: float) -> int:
        return sum(begin <= at < end for _, at, _ in self.answers)

    def last_asked_of(self, version: str, after: float) -> float:
        """Return when the last request was sent that this version answered, in seconds after a moment; 0 without any."""
        return max((asked - after for asked, _, by in self.answers if by == version and asked > after), default=0.0)

    async def _run(self) -> None:
        await asyncio.gather(*(self._connection() for _ in range(self._connections)))

    async def _connection(self) -> None:
        while not self._stop:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError as error:
                self.errors.append((time.monotonic(), type(error).__name__))
                await asyncio.sleep(0.05)
                continue
            try:
                while not self._stop:
                    await self._ask(reader, writer)
            except (OSError, EOFError, ValueError) as error:
                self.errors.append((time.monotonic(), type(error).__name__))
            finally:
                writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = time.monotonic()
        told = await self._exchange(reader, writer, next(self._bodies))
        if told is None:
            return
        predictions = told.get("predictions", [told])
        self.logged.update(one["prediction_id"] for one in predictions if one["logged"])
        self.unlogged.extend(asked for one in predictions if not one["logged"])
        versions = {one["version"] for one in predictions}
        self.mixed += len(versions) > 1
        self.answers.append((asked, time.monotonic(), versions.pop()))

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes
    ) -> dict[str, Any] | None:
        """Return the answer to a request; None, and counted, where it is not one of status 200."""
        writer.write(
            b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (self._path, len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        data = await reader.readexactly(int(length[1]) if length else 0)
        if head[9:12] == b"503":
            self.refused += 1
            await asyncio.sleep(1.0)  # as Retry-After asks
            return None
        if head[9:12] != b"200":
            self.errors.append((time.monotonic(), head[9:12].decode()))
            return None
        told: dict[str, Any] = json.loads(data)
        return told
