"""A load generator for HTTP/1.1 on loopback: keep-alive connections, each with one request under way at a time.

    python _load.py --port 8080 --path /predict --bodies bodies.json --connections 64 --seconds 4

Prints one JSON object: requests (answered with 200), refused (503), errors and how often each (`reasons`), unanswered (errors
too: still under way 20 s after the time was over), seconds until the last answer, p50_ms, p99_ms, and cpu_s, the processor time
that it took itself. What a server closes is opened anew. It runs in a process of its own, so that it does not share the server's
interpreter, and polls its sockets by itself, because a generator that computes more a request than the server would measure itself.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

LAST_ANSWERS_S, CONNECT_S = 20.0, 5.0
CHUNK = 1 << 18
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Connection:
    """One connection: what is still to be sent of its request, and what has come of the answer."""

    socket: socket.socket
    number: int
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    received: bytes = b""
    begun: float = 0.0
    waits: bool = False  # for room to send the rest
    is_lost: bool = False  # another has to take its place


@dataclass(slots=True)
class Seen:
    """How all requests went."""

    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    times_s: list[float] = field(default_factory=list)
    last: float = 0.0  # when the last answer came


def http_requests(path: str, bodies: list[str]) -> list[bytes]:
    """Return the bytes of one request for each body."""
    return [
        b"POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
        % (path.encode(), len(body.encode()), body.encode())
        for body in bodies
    ]


class Load:
    """All connections to one server, and what came of their requests."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self._port, self._turns = port, cycle(requests)
        self._poll, self._opened = select.epoll(), dict[int, Connection]()
        self._seen = Seen()

    def run(self, *, connections: int, seconds: float) -> dict[str, Any]:
        """Send requests until the time is over, wait for the last answers, and return how it went."""
        for _ in range(connections):
            self._open()
        used, begun = time.process_time(), time.perf_counter()
        for each in self._opened.values():
            self._begin(each)
        idle = self._until(begun + seconds)
        taken, cpu_s = time.perf_counter() - begun, time.process_time() - used
        unanswered = len(self._opened)
        for each in (*idle, *self._opened.values()):
            each.socket.close()
        self._seen.reasons["no answer"] += unanswered
        return _figures(
            self._seen, unanswered, min(taken, self._seen.last - begun) if self._seen.last else taken, cpu_s
        )

    def _until(self, ends_at: float) -> list[Connection]:
        """Ask again whenever there is an answer; return the connections that wait for none in the end."""
        idle = []
        while self._opened and time.perf_counter() < ends_at + LAST_ANSWERS_S:
            for number, event in self._poll.poll(0.5):
                each = self._opened[number]
                if event & select.EPOLLOUT:
                    self._send(each)
                elif self._is_over(each):
                    if time.perf_counter() >= ends_at:
                        idle.append(each)
                        self._forget(each)  # a server that closes it by now does no wrong
                    elif not each.is_lost:
                        self._begin(each)
                    elif (fresh := self._instead_of(each)) is not None:
                        self._begin(fresh)
        return idle

    def _open(self) -> Connection | None:
        try:
            made = socket.create_connection(("127.0.0.1", self._port), CONNECT_S)
        except OSError as error:
            self._seen.reasons[type(error).__name__] += 1
            return None
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(made.fileno(), select.EPOLLIN)
        opened = self._opened[made.fileno()] = Connection(made, made.fileno())
        return opened

    def _forget(self, each: Connection) -> None:
        self._poll.unregister(each.number)
        del self._opened[each.number]

    def _instead_of(self, lost: Connection) -> Connection | None:
        self._forget(lost)
        lost.socket.close()
        return self._open()

    def _begin(self, each: Connection) -> None:
        each.received, each.begun = b"", time.perf_counter()
        each.unsent = memoryview(next(self._turns))
        self._send(each)

    def _send(self, each: Connection) -> None:
        """Send what fits; what does not waits until it does."""
        try:
            each.unsent = each.unsent[each.socket.send(each.unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            each.unsent = memoryview(b"")  # the end of the connection is read next
        if each.waits != bool(len(each.unsent)):
            each.waits = not each.waits
            self._poll.modify(each.number, select.EPOLLIN | (select.EPOLLOUT if each.waits else 0))

    def _is_over(self, each: Connection) -> bool:
        """Read what there is; say whether this request is over."""
        try:
            data = each.socket.recv(CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._seen.reasons["closed"] += 1
            each.is_lost = True
            return True
        each.received = received = each.received + data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return False
        length = _LENGTH.search(received, 0, end)
        if length is None:
            raise ValueError(f"An answer has no length: {received[:end]!r}")
        if len(received) < end + 4 + int(length[1]):
            return False
        self._note(each, received[9:12])
        return True

    def _note(self, each: Connection, status: bytes) -> None:
        self._seen.last = time.perf_counter()
        if status == b"200":
            self._seen.times_s.append(self._seen.last - each.begun)
        elif status == b"503":
            self._seen.refused += 1
        else:
            self._seen.reasons[f"status {status.decode()}"] += 1
        each.is_lost = bool(each.unsent)  # answered before it was read: the rest would be taken for the next request


def _figures(seen: Seen, unanswered: int, taken: float, cpu_s: float) -> dict[str, Any]:
    times = sorted(seen.times_s) or [float("nan")]
    return {
        "requests": len(seen.times_s),
        "refused": seen.refused,
        "errors": seen.reasons.total(),
        "reasons": dict(+seen.reasons),
        "unanswered": unanswered,
        "seconds": taken,
        "cpu_s": cpu_s,
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
    chosen = parser.parse_args()
    requests = http_requests(chosen.path, json.loads(chosen.bodies.read_text()))
    found = Load(chosen.port, requests).run(connections=chosen.connections, seconds=chosen.seconds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
