"""One HTTP request as it comes in, and the reply that goes out; nothing here knows of models.

A body is held only up to its limit, packed or not. A request id comes from `X-Request-Id` or is made; a caller that
cannot wait says so in `X-Request-Timeout-Ms`. A caller that is gone gets no reply, and half a body is never answered.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, MutableMapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from keelway.core import sortable_id
from keelway.errors import BadRequestError
from keelway.privacy import scrub
from keelway.serve import RequestMark
from keelway.serve.wire import WireLimits, packed, unpacked

if TYPE_CHECKING:
    from keelway.serve import Answer
    from keelway.surfaces.scoring.tracing import RequestSpan

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
PACK_FROM = 1_000  # bytes; a smaller answer is not worth packing

_WANTED = frozenset(
    {
        b"accept-encoding", b"authorization", b"content-encoding", b"content-type", b"inference-header-content-length",
        b"traceparent", b"tracestate", b"x-api-key", b"x-request-id", b"x-request-timeout-ms",
    }
)  # fmt: skip
_PROCESS = sortable_id()[:20].encode()
_NUMBERS = itertools.count()
"""A request id is made of both: unlike an id of its own it costs nothing."""
_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_USUAL_TYPES = {kind.encode(): kind for kind in ("application/json", "application/octet-stream", "text/csv")}
_COUNT = re.compile(rb"[1-9][0-9]{0,11}")
_MACHINE_MADE = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""A UUID or a trace id; no other id of a caller goes into a log as it is."""
_NO_GZIP = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*(,|$)")


class CallerGoneError(Exception):
    """The caller left before the request was whole."""


class Reply(msgspec.Struct, frozen=True):
    """What goes back; no dataclass, which would take three times as long to make."""

    status: int
    body: bytes
    headers: tuple[Header, ...] = (JSON,)


class HttpCall:
    """One request.

    Attributes:
        began: When its first byte was read, in seconds of `time.perf_counter`.
        body: Empty until it is read.
        answers: What it was answered with, once it was; looked at by logs and traces.
        span: Its trace; None where it has none.
    """

    __slots__ = (
        "answers", "began", "body", "headers", "limits", "method", "path", "query", "request_id", "span", "timeout_ms"
    )  # fmt: skip

    def __init__(
        self, method: str, path: str, headers: Iterable[Header], limits: WireLimits, *, query: bytes = b""
    ) -> None:
        self.began = time.perf_counter()
        self.method, self.path, self.query = method, path, query
        self.headers = {name: value for name, value in headers if name in _WANTED}
        self.limits = limits
        self.body = b""
        self.answers: Sequence[Answer] = ()
        self.span: RequestSpan | None = None
        given = self.headers.get(b"x-request-id", b"")
        self.request_id: bytes = given if given and _ID.fullmatch(given) else b"%b%012x" % (_PROCESS, next(_NUMBERS))
        self.timeout_ms: float = limits.timeout_ms

    @classmethod
    def of_scope(cls, scope: Scope, limits: WireLimits) -> HttpCall:
        """Return the request of an ASGI scope."""
        query = scope.get("query_string", b"")
        return cls(scope["method"], scope["path"], scope.get("headers", ()), limits, query=query)

    @property
    def mark(self) -> RequestMark:
        """What the prediction log tells of it; what names a person in an id that the caller made up is masked."""
        text = self.request_id.decode("latin-1")
        if self.request_id is self.headers.get(b"x-request-id") and not _MACHINE_MADE.fullmatch(text):
            text = scrub(text)
        return RequestMark(text, self.began)

    def take_deadline(self) -> None:
        """Shorten the time that there is to what the caller asks for.

        Raises:
            BadRequestError: The header is no number of milliseconds.
        """
        asked = self.number_in(b"x-request-timeout-ms")
        if asked is not None:
            self.timeout_ms = min(asked, self.limits.timeout_ms or asked)

    def number_in(self, name: bytes) -> int | None:
        """Return the number that a header holds, or None where it is not there.

        Raises:
            BadRequestError: It is no whole number.
        """
        given = self.headers.get(name)
        if given is None:
            return None
        if not _COUNT.fullmatch(given):
            raise BadRequestError(
                "A header has a wrong value", expected="a whole number from 1", found=repr(given[:40])[1:],
                field=name.decode().title(), status=HTTPStatus.BAD_REQUEST,
            )  # fmt: skip
        return int(given)

    @property
    def is_late(self) -> bool:
        """Whether an answer would come too late now."""
        return bool(self.timeout_ms) and (time.perf_counter() - self.began) * 1000 > self.timeout_ms

    def content_type(self, *known: str) -> str:
        """Return the type of the body, one of some; the first of them where none is given.

        Raises:
            BadRequestError: It is another, or not in UTF-8 (415).
        """
        given = self.headers.get(b"content-type")
        if given is None:
            return known[0]
        if (usual := _USUAL_TYPES.get(given)) in known:
            return usual
        kind, _, rest = given.decode("latin-1").partition(";")
        name, _, charset = rest.partition("=")
        kind = kind.strip().lower()
        plain = not rest.strip() or (name.strip().lower(), charset.strip().lower().strip('"')) == ("charset", "utf-8")
        if kind not in known or not plain:
            raise BadRequestError(
                "The content type is not taken", expected=" or ".join(known) + " in UTF-8",
                found=given[:100].decode("latin-1").encode("unicode_escape").decode(), field="Content-Type",
                status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            )  # fmt: skip
        return kind

    async def read_body(self, receive: Receive) -> None:
        """Read the whole body and unpack it.

        Raises:
            BadRequestError: It is too large, damaged, or does not come in time.
            CallerGoneError: The caller left.
        """
        self.take_body(await self._in_time(receive))

    def take_body(self, body: bytes | None) -> None:
        """Take the whole body, and unpack it.

        Args:
            body: None where it was too large to be held.

        Raises:
            BadRequestError: It is too large, or damaged.
        """
        if body is None or len(body) > self.limits.body_bytes:
            raise BadRequestError(
                "The body is too large", expected=f"at most {self.limits.body_bytes} bytes", found="more",
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )  # fmt: skip
        given = self.headers.get(b"content-encoding")
        coding = "identity" if given is None else given.decode("latin-1").strip().lower()
        self.body = body if coding == "identity" else unpacked(body, coding, most=self.limits.body_bytes)

    async def _in_time(self, receive: Receive) -> bytes | None:
        """Return the whole body, or None where it is too large; only one that is not there yet needs a timer."""
        reading = _whole_body(receive, self.limits.body_bytes)
        if not self.timeout_ms:
            return await reading
        try:
            waits_for = reading.send(None)
        except StopIteration as whole:
            return whole.value  # type: ignore[no-any-return]
        try:
            async with asyncio.timeout(self.timeout_ms / 1000):
                return await _Rest(reading, waits_for)
        except TimeoutError as error:
            raise BadRequestError(
                "The body did not come in time", expected=f"all of it within {self.timeout_ms:g} ms",
                status=HTTPStatus.REQUEST_TIMEOUT,
            ) from error  # fmt: skip

    def packaged(self, reply: Reply) -> tuple[list[Header], bytes]:
        """Return the headers and the body of a reply as they go out; a large one packed, where the caller takes that."""
        body, headers = reply.body, [*reply.headers, (b"x-request-id", self.request_id)]
        headers.append((b"server-timing", b"app;dur=%.3f" % ((time.perf_counter() - self.began) * 1000)))
        if len(body) >= PACK_FROM:
            headers.append((b"vary", b"accept-encoding"))
            accepted = self.headers.get(b"accept-encoding", b"").decode("latin-1").lower()
            if "gzip" in accepted and not _NO_GZIP.search(accepted):
                body = packed(body)
                headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", b"%d" % len(body)))
        return headers, body

    async def send(self, reply: Reply, send: Send) -> None:
        """Send a reply."""
        headers, body = self.packaged(reply)
        await send({"type": "http.response.start", "status": int(reply.status), "headers": headers})
        await send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})


def late(call: HttpCall) -> BadRequestError:
    """Return the refusal of an answer that would come too late."""
    took_ms = (time.perf_counter() - call.began) * 1000
    return BadRequestError(
        "The answer would be late", expected=f"an answer within {call.timeout_ms:g} ms", found=f"{took_ms:.0f} ms",
        status=HTTPStatus.GATEWAY_TIMEOUT,
    )  # fmt: skip


class _Rest:
    """What is left of a coroutine that was begun by hand: awaiting it goes on from what the coroutine waits for."""

    def __init__(self, begun: Coroutine[Any, Any, bytes | None], waits_for: object) -> None:
        self._begun, self._waits_for = begun, waits_for

    def __await__(self) -> Generator[Any, Any, bytes | None]:
        waits_for = self._waits_for
        while True:
            try:
                told = yield waits_for
            except BaseException as error:  # noqa: BLE001  (whatever it is, it is meant for the coroutine)
                step = partial(self._begun.throw, error)
            else:
                step = partial(self._begun.send, told)
            try:
                waits_for = step()
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]


async def _whole_body(receive: Receive, most: int) -> bytes | None:
    """Return the whole body, or None where it is too large; the rest is read and dropped."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGoneError
        part = message.get("body", b"")
        size += len(part)
        if size <= most:
            parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts) if size <= most else None
