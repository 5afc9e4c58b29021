"""Asks the scoring app as a server would, without a socket, in one or several pieces."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keelway.serve import Router
from keelway.surfaces.scoring import ModelRoute, ScoringApp
from keelway.surfaces.scoring.metrics import ScoringMetrics
from keelway.surfaces.scoring.server import KEEP_ALIVE_S, bind, configured
from keelway.testing.serving import PROD, MemoryLog, ScorerShelf, ServedTraffic


class AsgiAnswer:
    """One answer of the app."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.status: int = messages[0]["status"]
        self.headers: dict[bytes, bytes] = dict(messages[0]["headers"])
        self.raw = b"".join(message.get("body", b"") for message in messages[1:])

    @property
    def body(self) -> bytes:
        return gzip.decompress(self.raw) if self.headers.get(b"content-encoding") == b"gzip" else self.raw

    @property
    def json(self) -> Any:
        return json.loads(self.body, parse_constant=_no_constant)


class AsgiClient:
    """Calls an ASGI app."""

    def __init__(self, app: ScoringApp) -> None:
        self.app = app

    def ask(
        self,
        method: str,
        path: str,
        body: Any = b"",
        *,
        headers: Mapping[str, str | bytes] | None = None,
        pieces: int = 1,
        cut_off: bool = False,
    ) -> AsgiAnswer | None:
        """Return the answer, or None where there is none because the body was cut off."""
        return asyncio.run(self._asked(method, path, body, headers=headers, pieces=pieces, cut_off=cut_off))

    def post_together(self, path: str, bodies: Sequence[Any]) -> list[AsgiAnswer]:
        """Return the answers to several POSTs that are read in one turn of the event loop."""

        async def asked() -> list[AsgiAnswer | None]:
            return await asyncio.gather(*[self._asked("POST", path, body) for body in bodies])

        return [answer for answer in asyncio.run(asked()) if answer is not None]

    async def _asked(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        headers: Mapping[str, str | bytes] | None = None,
        pieces: int = 1,
        cut_off: bool = False,
    ) -> AsgiAnswer | None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        size = max(1, -(-len(data) // pieces))
        parts = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
        waiting: list[dict[str, Any]] = [
            {"type": "http.request", "body": part, "more_body": cut_off or number < len(parts) - 1}
            for number, part in enumerate(parts)
        ]
        waiting.append({"type": "http.disconnect"})
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return waiting.pop(0)

        async def send(message: Any) -> None:
            sent.append(dict(message))

        given = [
            (name.lower().encode(), value if isinstance(value, bytes) else value.encode("latin-1"))
            for name, value in (headers or {}).items()
        ]
        await self.app({"type": "http", "method": method, "path": path, "headers": given}, receive, send)
        return AsgiAnswer(sent) if sent else None

    def post(self, path: str, body: Any, **headers: str) -> AsgiAnswer:
        """Return the answer to a POST; `_` in the names of headers stands for `-`."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.ask("POST", path, body, headers=told)
        assert answer is not None
        return answer

    def get(self, path: str) -> AsgiAnswer:
        """Return the answer to a GET."""
        answer = self.ask("GET", path)
        assert answer is not None
        return answer


class ReadyLog(MemoryLog):
    """A log with the state that readiness looks at."""

    seal_error = ""

    @property
    def healthy(self) -> bool:
        return not self.full

    def start(self) -> None:
        """Nothing waits to be sealed."""

    def close(self) -> None:
        """Nothing waits to be sealed."""


def route_of(traffic: ServedTraffic, shelf: ScorerShelf, *, log: MemoryLog | None = None, **more: Any) -> ModelRoute:
    """Return a route to the churn model of some traffic."""
    router = Router("churn", PROD, state=traffic.state, load=shelf.load)
    kept: Any = log or ReadyLog()
    metrics = more.pop("metrics", None) or ScoringMetrics("churn", "prod")
    return ModelRoute(router, log=kept, metrics=metrics, **more)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is in an answer")


@contextlib.contextmanager
def live(app: ScoringApp, *, keep_alive_s: int = KEEP_ALIVE_S) -> Iterator[str]:
    """Answer on a free port of loopback, and return the address; in the end, what was begun is answered."""
    import uvicorn

    bound = bind("127.0.0.1", 0)
    server = uvicorn.Server(configured(app, keep_alive_s))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        bound.close()
