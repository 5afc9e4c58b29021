"""Requests that come whole are answered without an ASGI scope and without a task: by uvicorn's protocol, at once.

A request of a few rows comes in one read, and nothing of its answer has to be waited for. A scope, a task and two messages cost
it more than its model does. Whatever is not a whole POST on a plain path goes on as a scope, and gets the same reply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol

from keelway.serve.wire import WireLimits
from keelway.surfaces.scoring.exchange import HttpCall, Reply
from keelway.surfaces.scoring.frugal import FrugalProtocol

_PLAIN = re.compile(rb"(?:/[A-Za-z0-9_.:~-]+)+")
"""A path that means what it says: no query, nothing quoted, nothing empty."""
_STATUS_LINES = {int(each): f"HTTP/1.1 {int(each)} {each.phrase}\r\n".encode() for each in HTTPStatus}


class WholeRequests(Protocol):
    """Answers requests that are there whole."""

    @property
    def limits(self) -> WireLimits:
        """How large and how slow a request may be."""
        ...

    def take(self, call: HttpCall, body: bytes, answered: Callable[[Reply], None]) -> bool:
        """Take a POST and let it be answered once, now or later in the running loop; False where it has to be a scope."""
        ...


class WholeCycle:
    """What uvicorn wants to know of a request that it did not make a scope of.

    While it stands for the newest request of a connection, those behind it wait, and ending the server waits for it.
    """

    __slots__ = ("disconnected", "keep_alive", "response_complete")

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False

    @property
    def message_event(self) -> WholeCycle:
        """What is set when more comes, or the caller leaves."""
        return self

    def set(self) -> None:
        """Wake nobody: nobody waits."""


class WholeRequestProtocol(FrugalProtocol):
    """uvicorn's protocol, which lets requests that come whole be answered without a scope.

    Args:
        whole: Answers them.
    """

    def __init__(self, *args: Any, whole: WholeRequests, **named: Any) -> None:
        super().__init__(*args, **named)
        self._whole = whole
        self._parts: list[bytes] | None = None  # of a body, while it may still come whole

    def data_received(self, data: bytes) -> None:
        """Read; what did not come whole goes on as a scope."""
        super().data_received(data)
        if self._parts is not None:
            parts, self._parts = self._parts, None
            if not self.transport.is_closing():
                self._go_on(parts)

    def on_message_begin(self) -> None:
        """Begin to read a request, of which there is no scope yet."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Wait for the body where the request may be answered at once."""
        if (
            self.parser.get_method() == b"POST"
            and (self.cycle is None or self.cycle.response_complete)
            and not (self.expect_100_continue or self.flow.write_paused or self.parser.should_upgrade())
            and _PLAIN.fullmatch(self.url)
        ):
            self._parts = []
        else:
            self._go_on(())

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if self._parts is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Let the request be answered."""
        if self._parts is not None:
            parts, self._parts = self._parts, None
            if self._is_taken(parts[0] if len(parts) == 1 else b"".join(parts)):
                return
            self._go_on(parts)
        super().on_message_complete()

    def _go_on(self, parts: Sequence[bytes]) -> None:
        """Make a scope of the request, with what there is of its body."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.headers += headers  # the list that the scope has
        self.url, self.expect_100_continue = url, expects
        super().on_headers_complete()
        for part in parts:
            super().on_body(part)

    def _is_taken(self, body: bytes) -> bool:
        """Let the request be answered by what takes it; say whether that did."""
        parser, before = self.parser, self.cycle
        call = HttpCall("POST", self.url.decode(), self.headers, self._whole.limits)
        now = WholeCycle(keep_alive=parser.should_keep_alive() and parser.get_http_version() != "1.0")
        self.cycle = now  # type: ignore[assignment]  # all that uvicorn asks of one that it did not make
        if self._whole.take(call, body, partial(self._answer, call, now)):
            return True
        self.cycle = before
        return False

    def _answer(self, call: HttpCall, cycle: WholeCycle, reply: Reply) -> None:
        """Send a reply, and go on with what came behind the request."""
        cycle.response_complete = True
        if cycle.disconnected:
            return
        headers, body = call.packaged(reply)
        parts = [_STATUS_LINES[reply.status]]
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n", body)
        self.transport.write(b"".join(parts))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()
