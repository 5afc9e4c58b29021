"""Many open keep-alive connections to `keelway serve`: all are opened first, then each asks in turns, and none is closed.

    python bench_connections.py --connections 10000

Needs as many open files as connections, in this process and in the server: `ulimit -n`, or the right to raise it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from pathlib import Path

from _figures import Figure, report
from _house import served, write_settings
from _load import http_requests
from _programs import usage
from _scoring import make_project

ROUNDS, AT_ONCE, TIMEOUT_S = 3, 64, 120.0


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--connections", type=int, default=10_000)
    chosen = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < chosen.connections + 100:
        report([Figure("connections", None, f"only {hard} files may be open")], chosen.json)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder)
        write_settings(folder)
        with served(folder) as house:
            requests = http_requests("/predict", json.loads((folder / "bodies.json").read_text()))
            figures = asyncio.run(measure(house.port, requests, chosen.connections))
            figures.append(Figure("connections.rss", usage(house.process.pid).resident_mb, "MB"))
    report(figures, chosen.json)


async def measure(port: int, requests: list[bytes], count: int) -> list[Figure]:
    """Open all, then let each ask a few times."""
    begun = time.perf_counter()
    opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    for start in range(0, count, AT_ONCE):
        many = range(start, min(start + AT_ONCE, count))
        opened += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in many))
    open_s = time.perf_counter() - begun
    turns = asyncio.Semaphore(AT_ONCE)
    errors, refused, slowest = 0, 0, 0.0

    async def ask(number: int) -> None:
        nonlocal errors, refused, slowest
        reader, writer = opened[number]
        async with turns:
            sent = time.perf_counter()
            try:
                writer.write(requests[number % len(requests)])
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), TIMEOUT_S)
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                refused += head[9:12] == b"503"
                errors += head[9:12] not in {b"200", b"503"}
            except (OSError, EOFError, TimeoutError):
                errors += 1
            slowest = max(slowest, time.perf_counter() - sent)

    begun = time.perf_counter()
    for _ in range(ROUNDS):
        await asyncio.gather(*(ask(number) for number in range(count)))
    took = time.perf_counter() - begun
    for _, writer in opened:
        writer.close()
    return [
        Figure("connections.open", count, "connections"),
        Figure("connections.opened_in", open_s, "s"),
        Figure("connections.answers", ROUNDS * count, "requests"),
        Figure("connections.errors", errors, "errors", aim="0"),
        Figure("connections.refused", refused, "answers of 503 with Retry-After", aim="0 on a quiet machine"),
        Figure("connections.rate", ROUNDS * count / took, "requests/s"),
        Figure("connections.slowest", slowest * 1000, "ms"),
    ]


if __name__ == "__main__":
    main()
