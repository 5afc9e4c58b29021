"""The head of an answer leaves with its body, and never waits where there is none."""

from __future__ import annotations

import asyncio
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from keelway.core import SimulatedClock
from keelway.surfaces.scoring import ScoringApp
from keelway.surfaces.scoring.frugal import HeadKeepingTransport
from keelway.testing.asgi import live, route_of
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Wire(asyncio.Transport):
    """Keeps what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_a_head_goes_with_its_body(wire: Wire) -> None:
    transport = HeadKeepingTransport(wire)
    transport.write(HEAD)
    assert wire.sent == []
    transport.write(b"{}")
    assert wire.sent == [HEAD + b"{}"]


def test_later_parts_go_as_they_come(wire: Wire) -> None:
    transport = HeadKeepingTransport(wire)
    for data in (HEAD, b"one", b"two\r\n\r\n"):
        transport.write(data)
    assert wire.sent == [HEAD + b"one", b"two\r\n\r\n"]


def test_an_interim_answer_does_not_wait(wire: Wire) -> None:
    HeadKeepingTransport(wire).write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert wire.sent == [b"HTTP/1.1 100 Continue\r\n\r\n"]


@pytest.mark.parametrize("end", ["flush", "close"])
def test_a_head_without_a_body_is_sent_at_the_end(wire: Wire, end: str) -> None:
    transport = HeadKeepingTransport(wire)
    transport.write(HEAD)
    getattr(transport, end)()
    assert wire.sent == [HEAD]
    assert wire.closed == (end == "close")
    transport.flush()
    assert wire.sent == [HEAD], "nothing twice"


def test_over_a_socket_every_answer_comes_whole_and_in_order(tmp_path: Any) -> None:
    traffic = ServedTraffic(tmp_path)
    traffic.send(churn_1=100)
    app = ScoringApp({"churn": route_of(traffic, ScorerShelf(churn_1=FixedScorer(0.25)))}, clock=SimulatedClock(NOW))
    body = b'{"entity":"a","features":{"recency_d":1.5,"plan":"gold"}}'
    post = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(
        body
    )
    with live(app) as address, socket.create_connection(("127.0.0.1", urlsplit(address).port or 0), 10) as caller:
        head = b"HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
        expects = post.replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n")
        closing = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        caller.sendall(post + body + head + expects)
        received = b""
        while b"100 Continue\r\n\r\n" not in received:
            received += caller.recv(65536)
        caller.sendall(body + closing)
        while data := caller.recv(65536):
            received += data
    statuses = [part.split(b" ", 1)[0] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"200", b"100", b"200", b"200"]
    assert received.count(b'"probability":0.25') == 2
