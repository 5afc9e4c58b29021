"""A proxy that stands in front of a real HTTP store and does to its answers what networks and servers do.

It reads one request at a time, asks its script what shall happen, and forwards everything the script is silent about.

    with FaultProxy(seaweed.port) as proxy:
        proxy.next(Fault.UNAVAILABLE, Fault.HALF_A_BODY)        # for the next two requests
        proxy.always(Fault.SILENCE, where="GET .*/orders.csv")  # for every request that matches
        store = open_store("s3://bucket", seaweed.options | {"endpoint": proxy.endpoint})
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections import deque
from enum import StrEnum
from types import TracebackType
from typing import Self

BLOCK_BYTES = 1 << 16
SLOW_BLOCKS = 20
SLOW_PAUSE_S = 0.02
_HEAD_END = b"\r\n\r\n"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time to linger: closing sends RST instead of FIN


class Fault(StrEnum):
    """What may happen to one request."""

    FAILURE = "500"
    """The server answers 500 and does nothing."""
    UNAVAILABLE = "503"
    """The server answers 503 and does nothing."""
    SLOW = "slow"
    """The answer comes in small pieces with pauses between them, and is whole in the end."""
    HALF_A_BODY = "half a body"
    """The connection is closed after half of the answer's body."""
    SILENCE = "silence"
    """The request is read and never answered, nor is the connection closed."""
    STALL = "stall"
    """Half of the answer's body comes, then nothing more, and the connection stays open."""
    RESET = "reset"
    """The connection is reset before the server sees the request."""
    LOST_ANSWER = "lost answer"
    """The server does what was asked, and the connection is reset before it can say so."""


class FaultProxy:
    """A TCP proxy on loopback with a script of faults.

    Args:
        port: Where the real server listens on loopback.
    """

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._coming: deque[Fault | None] = deque()
        self._rules: list[tuple[re.Pattern[str], Fault]] = []
        self._open: set[socket.socket] = set()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[str] = []
        """Method and path of each request, in the order they came."""
        self.suffered: list[Fault] = []
        """The faults that happened, in their order."""

    @property
    def endpoint(self) -> str:
        """The URL to give to a client."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def next(self, *faults: Fault | None) -> None:
        """Let these happen to the next requests, one each, in this order; None leaves a request alone."""
        self._coming.extend(faults)

    def always(self, fault: Fault, *, where: str = ".*") -> None:
        """Let this happen to every request whose `METHOD /path` matches a regular expression."""
        self._rules.append((re.compile(where), fault))

    def heal(self) -> None:
        """Forget all faults that are still to come."""
        self._coming.clear()
        self._rules.clear()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            left = list(self._open)
        for connection in left:
            _cut(connection)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed: the block has ended
                return
            with self._lock:
                self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Answer one request on a connection, then close it."""
        try:
            request = _read_message(client)
            if request:
                self._answer(client, request, self._fate(request))
        except OSError:  # the client went away, which is its right
            pass
        finally:
            with self._lock:
                self._open.discard(client)
            client.close()

    def _fate(self, request: bytes) -> Fault | None:
        """Return what shall happen to a request, and remember both."""
        line = request.split(b"\r\n", 1)[0].decode("latin-1").rpartition(" ")[0]
        with self._lock:
            self.requests.append(line)
            if self._coming:
                fault = self._coming.popleft()
            else:
                fault = next((fault for pattern, fault in self._rules if pattern.search(line)), None)
            if fault is not None:
                self.suffered.append(fault)
        return fault

    def _answer(self, client: socket.socket, request: bytes, fault: Fault | None) -> None:
        if fault in (Fault.FAILURE, Fault.UNAVAILABLE):
            client.sendall(_refusal(int(fault)))
        elif fault is Fault.SILENCE:
            self._ended.wait()
        elif fault is Fault.RESET:
            _cut(client)
        elif fault is None:
            self._forward(request, client)
        else:
            self._spoil(client, self._forward(request, None), fault)

    def _spoil(self, client: socket.socket, answer: bytes, fault: Fault) -> None:
        """Send a whole answer the way a fault wants it."""
        half = _half(answer)
        if fault is Fault.LOST_ANSWER:
            _cut(client)
        elif fault is Fault.HALF_A_BODY:
            client.sendall(half)
        elif fault is Fault.STALL:
            client.sendall(half)
            self._ended.wait()
        else:
            step = max(1, len(answer) // SLOW_BLOCKS)
            for start in range(0, len(answer), step):
                client.sendall(answer[start : start + step])
                self._ended.wait(SLOW_PAUSE_S)

    def _forward(self, request: bytes, client: socket.socket | None) -> bytes:
        """Hand a request to the server and its answer to the client; with no client, return the answer."""
        kept = bytearray()
        with socket.create_connection(("127.0.0.1", self._upstream)) as server:
            server.sendall(_closing(request))
            while block := server.recv(BLOCK_BYTES):
                if client is None:
                    kept += block
                else:
                    client.sendall(block)
        return bytes(kept)


def _read_message(connection: socket.socket) -> bytes:
    """Return one whole request; nothing when the client closed instead."""
    data = bytearray()
    while _HEAD_END not in data:
        block = connection.recv(BLOCK_BYTES)
        if not block:
            return b""
        data += block
    head, _, body = bytes(data).partition(_HEAD_END)
    if b"expect: 100-continue" in head.lower():
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    missing = (int(found[1]) if found else 0) - len(body)
    while missing > 0:
        block = connection.recv(min(BLOCK_BYTES, missing))
        if not block:
            return b""
        data += block
        missing -= len(block)
    return bytes(data)


def _closing(request: bytes) -> bytes:
    """Return a request that asks the server to close the connection after it (this header is never signed)."""
    head, _, body = request.partition(_HEAD_END)
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"expect:"))]
    return b"\r\n".join([*lines, b"Connection: close"]) + _HEAD_END + body


def _half(answer: bytes) -> bytes:
    head, _, body = answer.partition(_HEAD_END)
    return head + _HEAD_END + body[: len(body) // 2]


def _refusal(status: int) -> bytes:
    body = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>a fault proxy says no</Message></Error>"
    head = f"HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def _cut(connection: socket.socket) -> None:
    """Close a connection with a reset."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.close()
    except OSError:  # closed already
        pass
