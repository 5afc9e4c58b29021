"""Answers leave in one piece: uvicorn writes the head of an answer and its body apart, which are two system calls and two packets.

The kernel wakes a caller for each of them, and he has to come back for the second. Here the head waits for what follows it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_FINAL_HEAD = tuple(f"HTTP/1.1 {kind}".encode() for kind in range(2, 6))
"""What a head begins with that a body may follow; one of 1xx is an answer of its own."""
_HEAD_ENDS = b"\r\n\r\n"


class OneWriteProtocol(HttpToolsProtocol):
    """uvicorn's protocol on a transport that keeps a head back until its body comes, or the answer ends without one."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(HeadKeepingTransport(transport))  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        """Send a head that has no body, and go on."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()


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

    def close(self) -> None:
        """Send what is kept, and close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Return anything else of the transport."""
        return getattr(self._transport, name)
