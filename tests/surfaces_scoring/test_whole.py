"""Requests that come whole, over sockets: the same reply as of a scope, in order, and nothing of uvicorn's care lost."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from keelway.core import SimulatedClock
from keelway.serve import Row
from keelway.serve.wire import WireLimits
from keelway.surfaces.scoring import ScoringApp
from keelway.surfaces.scoring.exchange import HttpCall, Receive, Scope, Send
from keelway.surfaces.scoring.predicting import Answered
from keelway.testing.asgi import ReadyLog, live, route_of
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

ROW = {"entity": "a", "features": {"recency_d": 1.5, "plan": "gold"}}
PATIENCE_S = 30.0
CHANGES = re.compile(rb"(x-request-id|server-timing): [^\r]*\r\n|\"prediction_id\":\"[0-9a-f]+\"|\"[0-9a-f]{32}\"")
"""What differs from one answer to the next."""


class WatchedApp(ScoringApp):
    """Counts the ways that requests come in."""

    whole = scopes = 0

    def take(self, call: HttpCall, body: bytes, answered: Answered) -> bool:
        taken = super().take(call, body, answered)
        self.whole += taken
        return taken

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes += 1
        await super().__call__(scope, receive, send)


class SlowShelf:
    """An online store that answers when it is let."""

    def __init__(self) -> None:
        self.asked, self.let = threading.Event(), threading.Event()

    def __call__(self, entities: Sequence[str], _names: Sequence[str], now: datetime) -> list[Row]:
        self.asked.set()
        assert self.let.wait(PATIENCE_S)
        return [(each, now, [2.5, "gold"]) for each in entities]


class Caller:
    """One connection."""

    def __init__(self, address: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", urlsplit(address).port or 0), PATIENCE_S)
        self._file = self._socket.makefile("rb")

    def send(self, *parts: bytes) -> None:
        """Send parts so far apart that they are read apart."""
        for number, part in enumerate(parts):
            if number:
                time.sleep(0.05)
            self._socket.sendall(part)

    def answer(self) -> tuple[int, bytes, bytes]:
        """Return status, head and body of the next answer."""
        head = b"".join(iter(self._file.readline, b"\r\n"))
        size = re.search(rb"content-length: (\d+)", head)
        assert size is not None, head
        return int(head.split(b" ", 2)[1]), head, self._file.read(int(size[1]))

    def line(self) -> bytes:
        """Return the next line of an answer's head."""
        return self._file.readline()

    def is_ended(self) -> bool:
        """Say whether the server closes the connection and sends nothing more."""
        return self._file.read() == b""

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def traffic(tmp_path: Path) -> ServedTraffic:
    served = ServedTraffic(tmp_path)
    served.send(churn_1=100)
    return served


@pytest.fixture
def callers() -> Iterator[Callable[[str], Caller]]:
    made = list[Caller]()

    def caller(address: str) -> Caller:
        made.append(Caller(address))
        return made[-1]

    yield caller
    for each in made:
        each.close()


def app_of(traffic: ServedTraffic, *, limits: WireLimits | None = None, **more: Any) -> WatchedApp:
    route = route_of(traffic, ScorerShelf(churn_1=FixedScorer(0.25)), **more)
    return WatchedApp({"churn": route}, clock=SimulatedClock(NOW), limits=limits)


def post(body: Any = ROW, path: str = "/predict", head: str = "", version: str = "1.1") -> tuple[bytes, bytes]:
    """Return the head and the body of a request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = f"POST {path} HTTP/{version}\r\nhost: x\r\ncontent-length: {len(data)}\r\n{head}\r\n"
    return lines.encode(), data


REQUESTS = {
    "one row": post(),
    "many rows": post({"instances": [ROW] * 40}),
    "rows for a call of their own": post({"instances": [ROW] * 300}),
    "a named model": post(path="/models/churn/predict"),
    "another protocol": post({"dataframe_records": [ROW["features"]]}, "/invocations"),
    "tensors": post(
        {"inputs": [{"name": "recency_d", "datatype": "FP64", "shape": [1], "data": [1.5]},
                    {"name": "plan", "datatype": "BYTES", "shape": [1], "data": ["gold"]}]}, "/v2/models/churn/infer",
    ),
    "no explanations": post(path="/explain"),
    "no JSON": post(b"{ no", head="content-type: application/json\r\n"),
    "a field of a wrong type": post({**ROW, "features": {"recency_d": "many", "plan": "gold"}}),
    "another type": post(head="content-type: text/plain\r\n"),
    "packed": post(gzip.compress(json.dumps(ROW).encode()), head="content-encoding: gzip\r\n"),
    "damaged": post(b"no gzip", head="content-encoding: gzip\r\n"),
    "a packed answer": post({"instances": [ROW] * 40}, head="accept-encoding: gzip\r\n"),
    "a wrong deadline": post(head="x-request-timeout-ms: soon\r\n"),
    "too large": post(b" " * 30_000 + json.dumps(ROW).encode()),
    "nothing": post(b""),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_that_comes_whole_is_answered_as_one_that_comes_in_parts(
    traffic: ServedTraffic, callers: Callable[[str], Caller], name: str
) -> None:
    head, body = REQUESTS[name]
    app = app_of(traffic, limits=WireLimits(body_bytes=30_000))
    found = []
    with live(app) as address:
        for parts in ((head + body,), (head[:-1], head[-1:] + body[:3], body[3:])):
            caller = callers(address)
            caller.send(*(part for part in parts if part))
            _, told, answer = caller.answer()
            answer = gzip.decompress(answer) if b"content-encoding: gzip" in told else answer
            told = re.sub(rb"content-length: \d+", b"", told) if b"content-encoding: gzip" in told else told
            found.append((CHANGES.sub(b"", told), CHANGES.sub(b"", answer)))
    assert found[0] == found[1]
    assert (app.whole, app.scopes) == ((1, 1) if body else (2, 0)), "each way was taken"
    assert app.shedder.under_way == 0


def test_what_asks_for_no_known_model_comes_as_a_scope(
    traffic: ServedTraffic, callers: Callable[[str], Caller]
) -> None:
    app = app_of(traffic)
    with live(app) as address:
        for path, status in [
            ("/models/other/predict", 404), ("/v2/models/churn/versions/1/infer", 422), ("/predict?x=1", 200),
            ("/%70redict", 200), ("/readyz", 405), ("//predict", 404),
        ]:  # fmt: skip
            caller = callers(address)
            caller.send(b"".join(post(path=path)))
            assert caller.answer()[0] == status, path
    assert (app.whole, app.scopes) == (0, 6)


def test_requests_sent_at_once_are_answered_in_their_order(
    traffic: ServedTraffic, callers: Callable[[str], Caller]
) -> None:
    app = app_of(traffic)
    asked = [{**ROW, "entity": f"c{place}"} for place in range(20)]
    with live(app) as address:
        caller = callers(address)
        caller.send(b"".join(head + body for head, body in map(post, asked)))
        answers = [json.loads(caller.answer()[2]) for _ in asked]
    assert [each["entity"] for each in answers] == [each["entity"] for each in asked]


def test_what_comes_behind_a_request_that_waits_waits_too(
    traffic: ServedTraffic, callers: Callable[[str], Caller]
) -> None:
    shelf = SlowShelf()
    app = app_of(traffic, lookup=shelf)
    with live(app) as address:
        caller, other = callers(address), callers(address)
        page = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
        caller.send(b"".join([*post({"entity": "slow"}), *post(), page]))
        assert shelf.asked.wait(PATIENCE_S)
        other.send(b"".join(post({**ROW, "entity": "quick"})))
        assert json.loads(other.answer()[2])["entity"] == "quick", "others do not wait"
        shelf.let.set()
        assert json.loads(caller.answer()[2])["entity"] == "slow"
        assert json.loads(caller.answer()[2])["entity"] == "a"
        assert caller.answer()[0] == 200


@pytest.mark.parametrize(
    ("head", "version"), [("connection: close\r\n", "1.1"), ("", "1.0"), ("connection: keep-alive\r\n", "1.0")]
)
def test_a_caller_that_wants_one_answer_gets_it_and_the_end(
    traffic: ServedTraffic, callers: Callable[[str], Caller], head: str, version: str
) -> None:
    app = app_of(traffic)
    with live(app) as address:
        caller = callers(address)
        caller.send(b"".join(post(head=head, version=version)))
        status, told, _ = caller.answer()
        assert (status, b"connection: close" in told) == (200, True)
        assert caller.is_ended()
    assert app.whole == 1


def test_a_body_in_chunks_and_one_that_waits_to_be_asked_for_are_read(
    traffic: ServedTraffic, callers: Callable[[str], Caller]
) -> None:
    app, data = app_of(traffic), json.dumps(ROW).encode()
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
    with live(app) as address:
        caller = callers(address)
        caller.send(b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + chunks)
        assert caller.answer()[0] == 200
        head, body = post(head="expect: 100-continue\r\n")
        caller.send(head + body)
        assert caller.line() == b"HTTP/1.1 100 Continue\r\n"
        assert caller.line() == b"\r\n"
        assert caller.answer()[0] == 200
    assert (app.whole, app.scopes) == (1, 1)


def test_a_request_that_breaks_off_is_refused_and_not_answered(
    traffic: ServedTraffic, callers: Callable[[str], Caller]
) -> None:
    log = ReadyLog()
    app = app_of(traffic, log=log)
    with live(app) as address:
        caller = callers(address)
        caller.send(b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nno size\r\n")
        assert caller.answer()[0] == 400
        assert caller.is_ended()
        left = callers(address)
        left.send(post()[0])
        left.close()
        fine = callers(address)
        fine.send(b"".join(post()))
        assert fine.answer()[0] == 200
    assert len(log.lines) == 1


def test_a_caller_that_leaves_harms_nobody(traffic: ServedTraffic, callers: Callable[[str], Caller]) -> None:
    shelf, log = SlowShelf(), ReadyLog()
    app = app_of(traffic, lookup=shelf, log=log)
    with live(app) as address:
        gone = callers(address)
        gone.send(b"".join(post({"entity": "gone"})))
        assert shelf.asked.wait(PATIENCE_S)
        gone.close()
        shelf.let.set()
        stays = callers(address)
        stays.send(b"".join(post()))
        assert stays.answer()[0] == 200
    assert {line["entity"] for line in log.lines} == {"gone", "a"}
    assert app.shedder.under_way == 0


def test_a_server_that_ends_answers_what_was_begun(traffic: ServedTraffic, callers: Callable[[str], Caller]) -> None:
    shelf = SlowShelf()
    with live(app_of(traffic, lookup=shelf)) as address:
        caller = callers(address)
        caller.send(b"".join(post({"entity": "slow"})))
        assert shelf.asked.wait(PATIENCE_S)
        threading.Timer(0.3, shelf.let.set).start()
    status, told, body = caller.answer()
    assert (status, json.loads(body)["entity"], b"connection: close" in told) == (200, "slow", True)
    assert caller.is_ended()


def test_a_caller_that_cannot_wait_is_told(traffic: ServedTraffic, callers: Callable[[str], Caller]) -> None:
    shelf = SlowShelf()
    app = app_of(traffic, lookup=shelf)
    with live(app) as address:
        caller = callers(address)
        caller.send(b"".join(post({"entity": "slow"}, head="x-request-timeout-ms: 50\r\n")))
        assert caller.answer()[0] == 504
        shelf.let.set()
    assert app.shedder.under_way == 0


def test_a_fault_of_ours_is_told_to_its_caller_only(traffic: ServedTraffic, callers: Callable[[str], Caller]) -> None:
    class FaultyLog(ReadyLog):
        def append(self, entries: bytes, *, count: int | None = None) -> bool:
            if b'"entity":"bad"' in entries:
                raise RuntimeError("a fault")
            return super().append(entries, count=count)

    app = app_of(traffic, log=FaultyLog())
    with live(app) as address:
        caller = callers(address)
        caller.send(b"".join(post({**ROW, "entity": "bad"})))
        assert caller.answer()[0] == 500
        caller.send(b"".join(post()))
        assert caller.answer()[0] == 200
    assert app.shedder.under_way == 0


def test_a_connection_ends_when_it_was_idle_for_long_enough(
    traffic: ServedTraffic, callers: Callable[[str], Caller]
) -> None:
    with live(app_of(traffic), keep_alive_s=1) as address:
        caller = callers(address)
        for _ in range(5):  # longer than it may be idle, but never idle for so long
            caller.send(b"".join(post()))
            assert caller.answer()[0] == 200
            time.sleep(0.4)
        last = time.monotonic()
        assert caller.is_ended()
        assert 0.3 < time.monotonic() - last < PATIENCE_S
