"""A load generator for HTTP/1.1 on loopback: keep-alive connections, each with one request under way at a time.

    python _load.py --port 8080 --path /predict --bodies bodies.json --connections 64 --seconds 4

Prints one JSON object: requests (answered with 200), refused (503), errors, seconds, p50_ms, p99_ms, and cpu_s, the
processor time that it took itself. It runs in a process of its own, so that it does not share the server's interpreter, and
polls its sockets by itself, because a generator that computes more a request than the server would measure itself.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import time
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

LAST_ANSWERS_S = 20.0
CHUNK = 1 << 18
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Connection:
    """One connection: what is still to be sent of its request, and what has come of the answer."""

    socket: socket.socket
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    received: bytes = b""
    begun: float = 0.0
    waits: bool = False  # for room to send the rest


@dataclass(slots=True)
class Seen:
    """How all requests went."""

    refused: int = 0
    errors: int = 0
    times_s: list[float] = field(default_factory=list)


def http_requests(path: str, bodies: list[str]) -> list[bytes]:
    """Return the bytes of one request for each body."""
    return [
        b"POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
        % (path.encode(), len(body.encode()), body.encode())
        for body in bodies
    ]


def load(port: int, requests: list[bytes], *, connections: int, seconds: float) -> dict[str, float]:
    """Send requests until the time is over, wait for the last answers, and return how it went."""
    turns, seen, poll = cycle(requests), Seen(), select.epoll()
    opened = {}
    for _ in range(connections):
        made = socket.create_connection(("127.0.0.1", port))
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened[made.fileno()] = Connection(made)
        poll.register(made.fileno(), select.EPOLLIN)
    used, begun = time.process_time(), time.perf_counter()
    for number, each in opened.items():
        _begin(each, next(turns), poll, number)
    under_way, ends_at = len(opened), begun + seconds
    while under_way and (now := time.perf_counter()) < ends_at + LAST_ANSWERS_S:
        for number, event in poll.poll(0.5):
            each = opened[number]
            if event & select.EPOLLOUT:
                _send(each, poll, number)
                continue
            if not _answered(each, seen):
                continue
            now = time.perf_counter()
            if now < ends_at and each.socket.fileno() >= 0:
                _begin(each, next(turns), poll, number)
            else:
                under_way -= 1
    taken, cpu_s = time.perf_counter() - begun, time.process_time() - used
    seen.errors += under_way  # they never answered
    for each in opened.values():
        each.socket.close()
    return _figures(seen, taken, cpu_s)


def _figures(seen: Seen, taken: float, cpu_s: float) -> dict[str, float]:
    times = sorted(seen.times_s) or [float("nan")]
    return {
        "requests": len(seen.times_s),
        "refused": seen.refused,
        "errors": seen.errors,
        "seconds": taken,
        "cpu_s": cpu_s,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[min(len(times) - 1, int(len(times) * 0.99))] * 1000,
    }


def _begin(each: Connection, request: bytes, poll: select.epoll, number: int) -> None:
    each.received, each.begun = b"", time.perf_counter()
    each.unsent = memoryview(request)
    _send(each, poll, number)


def _send(each: Connection, poll: select.epoll, number: int) -> None:
    """Send what fits; what does not waits until it does."""
    try:
        each.unsent = each.unsent[each.socket.send(each.unsent) :]
    except BlockingIOError:
        pass
    except OSError:
        each.unsent = memoryview(b"")  # the end of the connection is read next
    if each.waits != bool(len(each.unsent)):
        each.waits = not each.waits
        poll.modify(number, select.EPOLLIN | (select.EPOLLOUT if each.waits else 0))


def _answered(each: Connection, seen: Seen) -> bool:
    """Read what there is; say whether this request is over."""
    try:
        data = each.socket.recv(CHUNK)
    except BlockingIOError:
        return False
    except OSError:
        data = b""
    if not data:
        seen.errors += 1
        each.socket.close()
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
    status = received[9:12]
    if status == b"200":
        seen.times_s.append(time.perf_counter() - each.begun)
    elif status == b"503":
        seen.refused += 1
    else:
        seen.errors += 1
    return True


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
    print(json.dumps(load(chosen.port, requests, connections=chosen.connections, seconds=chosen.seconds)))


if __name__ == "__main__":
    main()
