"""A body comes at once, in pieces, late or never; the wait for it ends as declared, and a cancellation is no lateness."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from keelway.errors import BadRequestError
from keelway.serve.wire import WireLimits
from keelway.surfaces.scoring.exchange import CallerGoneError, HttpCall

Message = dict[str, Any]
SCOPE = {"method": "POST", "path": "/predict", "headers": []}


def piece(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


class Line:
    """What a server hands on: pieces that are there, or come when they are put in."""

    def __init__(self, *pieces: Message) -> None:
        self.queue: asyncio.Queue[Message] = asyncio.Queue()
        for each in pieces:
            self.queue.put_nowait(each)

    async def receive(self) -> Message:
        return await self.queue.get()


def read(
    line: Callable[[], Line], then: Callable[[Line], Coroutine[Any, Any, None]] | None = None, **limits: int
) -> bytes:
    async def main() -> bytes:
        call, given = HttpCall.of_scope(SCOPE, WireLimits(**limits)), line()
        async with asyncio.TaskGroup() as group:
            if then is not None:
                group.create_task(then(given))
            await call.read_body(given.receive)
        return call.body

    return asyncio.run(main())


@pytest.mark.parametrize("timeout_ms", [0, 60_000])
def test_a_body_that_is_there_is_read(timeout_ms: int) -> None:
    assert read(lambda: Line(piece(b"{}")), timeout_ms=timeout_ms) == b"{}"
    assert read(lambda: Line(piece(b"{", more=True), piece(b"}")), timeout_ms=timeout_ms) == b"{}"


@pytest.mark.parametrize("timeout_ms", [0, 60_000])
def test_a_body_whose_pieces_come_one_by_one_is_read_whole(timeout_ms: int) -> None:
    async def later(line: Line) -> None:
        for number in range(5):
            await asyncio.sleep(0)
            line.queue.put_nowait(piece(b"%d" % number, more=number < 4))

    assert read(Line, later, timeout_ms=timeout_ms) == b"01234"
    assert read(lambda: Line(piece(b"x", more=True)), later, timeout_ms=timeout_ms) == b"x01234"


@pytest.mark.parametrize("there", [(), (piece(b"{", more=True),)], ids=["nothing", "half"])
def test_a_body_that_does_not_come_in_time_is_408(there: tuple[Message, ...]) -> None:
    with pytest.raises(ExceptionGroup) as told:
        read(lambda: Line(*there), timeout_ms=1)
    (error,) = told.value.exceptions
    assert isinstance(error, BadRequestError)
    assert (error.status, error.expected) == (408, "all of it within 1 ms")


def test_a_request_that_is_given_up_while_it_waits_is_cancelled_and_not_late() -> None:
    async def main() -> None:
        line = Line(piece(b"{", more=True))
        reading = asyncio.create_task(HttpCall.of_scope(SCOPE, WireLimits()).read_body(line.receive))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert reading.cancelled()

    asyncio.run(main())


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "later"])
def test_a_caller_that_leaves_is_gone(waits: bool) -> None:
    gone = {"type": "http.disconnect"}

    async def leave(line: Line) -> None:
        await asyncio.sleep(0)
        line.queue.put_nowait(gone)

    with pytest.raises(ExceptionGroup) as told:
        read(Line, leave) if waits else read(lambda: Line(piece(b"{", more=True), gone))
    assert isinstance(told.value.exceptions[0], CallerGoneError)


def test_what_goes_wrong_while_it_waits_is_told_as_it_is() -> None:
    class Broken(Line):
        async def receive(self) -> Message:
            await asyncio.sleep(0)
            raise ConnectionResetError

    with pytest.raises(ExceptionGroup) as told:
        read(Broken)
    assert isinstance(told.value.exceptions[0], ConnectionResetError)


def test_a_body_beyond_the_limit_is_413_however_it_comes() -> None:
    async def later(line: Line) -> None:
        await asyncio.sleep(0)
        line.queue.put_nowait(piece(b"x" * 10))

    for given, then in ((lambda: Line(piece(b"x" * 10)), None), (Line, later)):
        with pytest.raises(ExceptionGroup) as told:
            read(given, then, body_bytes=9)
        error = told.value.exceptions[0]
        assert isinstance(error, BadRequestError)
        assert error.status == 413
