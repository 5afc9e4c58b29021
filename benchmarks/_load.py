"""A load generator for HTTP/1.1 on loopback: keep-alive connections, each with one request under way at a time.

    python _load.py --port 8080 --path /predict --bodies bodies.json --connections 64 --seconds 4 --most 100000

Prints one JSON object: requests, errors, seconds, p50_ms, p99_ms. Runs in a process of its own, so that it does not
share the server's interpreter; the same code and bodies load every server that is compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

LAST_ANSWERS_S = 20.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Tally:
    """What all connections share: when to stop, and how it went."""

    ends_at: float
    most: int
    sent: int = 0
    errors: int = 0
    times_s: list[float] = field(default_factory=list)

    def may_send(self) -> bool:
        """Say whether one more request is wanted, and count it."""
        if self.sent >= self.most or time.perf_counter() >= self.ends_at:
            return False
        self.sent += 1
        return True


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last one is complete."""

    def __init__(self, requests: cycle[bytes], tally: Tally) -> None:
        self._requests = requests
        self._tally = tally
        self._received = bytearray()
        self._begun = 0.0
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._received, 0, end)
        if length is None:
            raise ValueError(f"An answer has no length: {bytes(self._received[:end])!r}")
        if len(self._received) < end + 4 + int(length[1]):
            return
        self._tally.times_s.append(time.perf_counter() - self._begun)
        self._tally.errors += self._received[9:12] != b"200"
        self._received.clear()
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():  # an answer is missing
            self._tally.errors += 1
            self.done.set_result(None)

    def _next(self) -> None:
        assert self._transport is not None
        if not self._tally.may_send():
            self.done.set_result(None)
            self._transport.close()
            return
        self._begun = time.perf_counter()
        self._transport.write(next(self._requests))


def http_requests(path: str, bodies: list[str]) -> list[bytes]:
    """Return the bytes of one request for each body."""
    return [
        b"POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
        % (path.encode(), len(body.encode()), body.encode())
        for body in bodies
    ]


async def load(port: int, requests: list[bytes], *, connections: int, seconds: float, most: int) -> dict[str, float]:
    """Send requests until the time or the count is over, and return how it went."""
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    tally = Tally(begun + seconds, most)
    turns = cycle(requests)
    opened = [
        (await loop.create_connection(lambda: Connection(turns, tally), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.wait_for(asyncio.gather(*(each.done for each in opened)), seconds + LAST_ANSWERS_S)
    taken = time.perf_counter() - begun
    times = sorted(tally.times_s)
    return {
        "requests": len(times),
        "errors": tally.errors,
        "seconds": taken,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[min(len(times) - 1, int(len(times) * 0.99))] * 1000,
    }


def main() -> None:
    """Load one server and print how it went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--bodies", type=Path, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--most", type=int, required=True)
    chosen = parser.parse_args()
    requests = http_requests(chosen.path, json.loads(chosen.bodies.read_text()))
    work = load(chosen.port, requests, connections=chosen.connections, seconds=chosen.seconds, most=chosen.most)
    try:
        import uvloop
    except ImportError:
        print(json.dumps(asyncio.run(work)))
    else:
        print(json.dumps(uvloop.run(work)))


if __name__ == "__main__":
    main()
