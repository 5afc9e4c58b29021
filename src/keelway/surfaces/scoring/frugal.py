"""uvicorn's protocol at less cost: an answer leaves in one piece, and a connection has one timer.

uvicorn writes the head of an answer and its body apart, which are two system calls and two packets: the kernel wakes a caller for
each of them, and he has to come back for the second. Here the head waits for what follows it. And uvicorn makes a timer after
each answer, which ends a connection that stays idle, and takes it back with the next request; here one timer looks, whenever it
goes off, since when the connection has been idle.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_FINAL_HEAD = tuple(f"HTTP/1.1 {kind}".encode() for kind in range(2, 6))
"""What a head begins with that a body may follow; one of 1xx is an answer of its own."""
_HEAD_ENDS = b"\r\n\r\n"


class FrugalProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which writes once an answer and sets one timer at a time."""

    _idle_since: float | None = None  # by the loop's clock, after an answer that nothing followed yet

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(HeadKeepingTransport(transport))  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        """End; nothing is timed any more."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def on_response_complete(self) -> None:
        """Send a head that has no body, and go on with what came behind the request, or wait for more."""
        self.transport.flush()  # type: ignore[attr-defined]
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_after(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that has been idle for long enough; else look again when it could be."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None:  # a request is under way, whose answer sets the timer anew
            return
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._look_after(left_s)
        elif not self.transport.is_closing():
            self.transport.close()

    def _look_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _unset_keepalive_if_required(self) -> None:
        """Note that the connection is not idle; its timer finds out by itself."""
        self._idle_since = None


class HeadKeepingTransport:
    """A transport that sends the head of an answer with what is written next."""

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send data, or keep it where it is a head that nothing follows yet."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.endswith(_HEAD_ENDS) and data.startswith(_FINAL_HEAD):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Send what is kept."""
        if self._head:
            self.write(b"")

    def is_closing(self) -> bool:
        """Say whether the connection ends; asked after every answer, so it does not go by `__getattr__`."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Send what is kept, and close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Return anything else of the transport."""
        return getattr(self._transport, name)
