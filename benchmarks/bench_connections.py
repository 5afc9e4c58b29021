"""Many open keep-alive connections to `keelway serve`: all are opened first, then each asks in turns, and none is closed.

    python bench_connections.py --connections 10000

Needs as many open files as connections, in this process and in the server: `ulimit -n`, or the right to raise it. Whatever has no
answer after 20 s counts as an error, its connection asks no more, and after two minutes what was not asked yet is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from _figures import Figure, report
from _house import served, write_settings
from _load import http_requests
from _programs import ends_tidily, usage
from _scoring import make_project

ROUNDS, AT_ONCE = 3, 64
ANSWER_S, LIMIT_S = 20.0, 120.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Seen:
    """How all requests went: answers by status, errors by their kind, and the slowest of the answers."""

    statuses: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--connections", type=int, default=10_000)
    chosen = parser.parse_args()
    ends_tidily()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < chosen.connections + 100:
        report([Figure("connections", None, f"only {hard} files may be open")], chosen.json)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _tell("training a model and starting its server")
        make_project(folder)
        write_settings(folder)
        with served(folder) as house:
            requests = http_requests("/predict", json.loads((folder / "bodies.json").read_text()))
            figures = asyncio.run(measure(house.port, requests, chosen.connections))
            figures.append(Figure("connections.rss", usage(house.process.pid).resident_mb, "MB"))
    report(figures, chosen.json)


async def measure(port: int, requests: list[bytes], count: int) -> list[Figure]:
    """Open all, then let each ask a few times."""
    seen, begun = Seen(), time.perf_counter()
    turns, ends_at = asyncio.Semaphore(AT_ONCE), asyncio.get_running_loop().time() + LIMIT_S
    _tell(f"opening {count} connections")
    opened = await _in_time((_opened(port, turns, seen) for _ in range(count)), ends_at)
    open_s, begun = time.perf_counter() - begun, time.perf_counter()
    for number in range(ROUNDS):
        _tell(f"round {number + 1} of {ROUNDS}: {len(opened)} connections ask once each")
        asked = (_asked(each, requests[place % len(requests)], turns, seen) for place, each in enumerate(opened))
        opened = await _in_time(asked, ends_at)
    took = time.perf_counter() - begun
    for _, writer in opened:
        writer.close()
    return _figures(seen, count, len(opened), open_s, took)


async def _in_time(asking: Iterable[Coroutine[None, None, Streams | None]], ends_at: float) -> list[Streams]:
    """Return the connections that can be used on; what is not over in time is left out."""
    tasks = [asyncio.create_task(each) for each in asking]
    if not tasks:
        return []
    done, late = await asyncio.wait(tasks, timeout=max(0.0, ends_at - asyncio.get_running_loop().time()))
    for each in late:
        each.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    return [streams for each in tasks if each in done and (streams := each.result()) is not None]


async def _opened(port: int, turns: asyncio.Semaphore, seen: Seen) -> Streams | None:
    async with turns:
        try:
            return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), ANSWER_S)
        except (OSError, TimeoutError) as error:
            seen.errors[f"not opened: {type(error).__name__}"] += 1
            return None


async def _asked(streams: Streams, request: bytes, turns: asyncio.Semaphore, seen: Seen) -> Streams | None:
    """Ask once; return the connection unless it is lost, or an answer may come that nobody waits for."""
    reader, writer = streams
    async with turns:
        sent = time.perf_counter()
        try:
            writer.write(request)
            status = await asyncio.wait_for(_status(reader), ANSWER_S)
        except (OSError, EOFError, TimeoutError) as error:
            seen.errors[type(error).__name__] += 1
            writer.close()
            return None
        seen.slowest_s = max(seen.slowest_s, time.perf_counter() - sent)
        seen.statuses[status] += 1
        return streams


async def _status(reader: asyncio.StreamReader) -> str:
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
    return head[9:12].decode()


def _figures(seen: Seen, count: int, left: int, open_s: float, took_s: float) -> list[Figure]:
    wrong = Counter({f"status {status}": n for status, n in seen.statuses.items() if status not in {"200", "503"}})
    wrong += seen.errors
    reasons = ", ".join(f"{what} {n}" for what, n in wrong.most_common())
    answers = seen.statuses.total()
    return [
        Figure("connections.open", left, "connections, after all rounds", "those asked for", left / count, aim="1"),
        Figure("connections.opened_in", open_s, "s"),
        Figure("connections.answers", answers, "requests", "those due", answers / (ROUNDS * count), aim="1"),
        Figure("connections.errors", wrong.total(), f"errors: {reasons}" if wrong else "errors", aim="0"),
        Figure(
            "connections.refused", seen.statuses["503"], "answers of 503 with Retry-After", aim="0 on a quiet machine"
        ),
        Figure("connections.rate", answers / took_s, "requests/s"),
        Figure("connections.slowest", seen.slowest_s * 1000, "ms"),
    ]


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
