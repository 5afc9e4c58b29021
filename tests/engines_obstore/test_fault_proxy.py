"""The proxy does to a plain HTTP client what its script says, and nothing else."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from keelway.testing.faults import Fault, FaultProxy

BODY = b"0123456789" * 1000


class _Echo(BaseHTTPRequestHandler):
    """Answers every GET with a body, and every PUT with what was sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(BODY)

    def do_PUT(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        self.server.served.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    made.served = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def proxy(server: ThreadingHTTPServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.server_address[1]) as standing:
        yield standing


def ask(proxy: FaultProxy, path: str = "/a", *, body: bytes | None = None, timeout_s: float = 5) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(proxy.endpoint.removeprefix("http://"), timeout=timeout_s)
    try:
        connection.request("GET" if body is None else "PUT", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_without_a_script_nothing_is_changed(proxy: FaultProxy) -> None:
    assert ask(proxy) == (200, BODY)
    assert ask(proxy, "/b?c=d", body=b"sent" * 50_000) == (200, b"sent" * 50_000)
    assert proxy.requests == ["GET /a", "PUT /b?c=d"]
    assert proxy.suffered == []


@pytest.mark.parametrize(("fault", "status"), [(Fault.FAILURE, 500), (Fault.UNAVAILABLE, 503)])
def test_a_refusal_never_reaches_the_server(proxy: FaultProxy, server, fault: Fault, status: int) -> None:
    proxy.next(fault)
    assert ask(proxy)[0] == status
    assert server.served == []
    assert ask(proxy)[0] == 200


def test_slow_bytes_are_whole_in_the_end(proxy: FaultProxy) -> None:
    proxy.next(Fault.SLOW)
    begun = time.monotonic()
    assert ask(proxy) == (200, BODY)
    assert time.monotonic() > begun


def test_half_a_body_breaks_off(proxy: FaultProxy) -> None:
    proxy.next(Fault.HALF_A_BODY)
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(proxy)
    assert caught.value.partial == BODY[: len(BODY) // 2]


@pytest.mark.parametrize(("fault", "served"), [(Fault.SILENCE, []), (Fault.STALL, ["/a"])])
def test_a_hang_is_for_the_client_to_end(proxy: FaultProxy, server, fault: Fault, served: list[str]) -> None:
    proxy.next(fault)
    with pytest.raises(TimeoutError):
        ask(proxy, timeout_s=0.2)
    assert server.served == served


@pytest.mark.parametrize(("fault", "served"), [(Fault.RESET, []), (Fault.LOST_ANSWER, ["/a"])])
def test_a_reset_comes_before_or_after_the_server_acts(
    proxy: FaultProxy, server, fault: Fault, served: list[str]
) -> None:
    proxy.next(fault)
    with pytest.raises(ConnectionError):
        ask(proxy)
    assert server.served == served


def test_a_script_is_followed_in_its_order_and_then_forgotten(proxy: FaultProxy) -> None:
    proxy.next(None, Fault.FAILURE, Fault.UNAVAILABLE)
    assert [ask(proxy)[0] for _ in range(4)] == [200, 500, 503, 200]
    assert proxy.suffered == [Fault.FAILURE, Fault.UNAVAILABLE]


def test_a_rule_holds_for_what_it_matches_until_it_is_healed(proxy: FaultProxy) -> None:
    proxy.always(Fault.UNAVAILABLE, where="GET /bad")
    assert [ask(proxy, path)[0] for path in ("/bad/1", "/good", "/bad/2")] == [503, 200, 503]
    proxy.heal()
    assert ask(proxy, "/bad/1")[0] == 200


def test_the_end_of_the_proxy_ends_those_who_hang(server: ThreadingHTTPServer) -> None:
    ended: list[BaseException] = []

    def hang(proxy: FaultProxy) -> None:
        try:
            ask(proxy)
        except (OSError, http.client.HTTPException) as error:
            ended.append(error)

    with FaultProxy(server.server_address[1]) as proxy:
        proxy.next(Fault.SILENCE)
        client = threading.Thread(target=hang, args=(proxy,))
        client.start()
        while not proxy.suffered:
            time.sleep(0.001)
    client.join(5)
    assert len(ended) == 1
