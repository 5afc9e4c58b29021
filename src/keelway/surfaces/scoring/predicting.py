"""One request for predictions or explanations: read, let in, scored, answered, and counted whatever comes of it.

It comes as an ASGI scope, and is awaited; or whole, and is answered without a task of its own, unless another process has to be
waited for. Both ways give the same reply.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from http import HTTPStatus

from keelway.core import Clock
from keelway.errors import KeelwayError, ServingError, UnavailableError
from keelway.serve import Answer, Shedder
from keelway.surfaces.scoring.asks import AskedExplanations, AskedRows, ask_explanations
from keelway.surfaces.scoring.exchange import HttpCall, Receive, Reply, late
from keelway.surfaces.scoring.logs import Seldom, fields, tell_request, tells_requests
from keelway.surfaces.scoring.paths import Wanted
from keelway.surfaces.scoring.problem import printable, problem, protocol_of
from keelway.surfaces.scoring.route import ModelRoute

Answered = Callable[[Reply], None]
"""Takes the reply to one request, once."""

_log = logging.getLogger(__name__)


class Predicting:
    """Answers requests for predictions.

    Args:
        shedder: Refuses what would come too late anyway.
    """

    def __init__(self, *, clock: Clock, shedder: Shedder) -> None:
        self._clock, self._shedder = clock, shedder
        self._tells_requests = tells_requests()
        self._seldom: dict[tuple[str, int], Seldom] = {}
        self._waiting: set[asyncio.Task[None]] = set()
        self._ended: dict[asyncio.AbstractEventLoop, list[tuple[ModelRoute, int, float]]] = {}

    async def reply(self, call: HttpCall, receive: Receive, wanted: Wanted) -> Reply:
        """Return the reply to a request, whose body is read first."""
        begun = call.began
        try:
            call.take_deadline()
            await call.read_body(receive)
            begun = time.perf_counter()
            self._shedder.enter(begun)
            try:
                asked = self._asked(call, wanted)
                reply = await _elsewhere(call, asked) if asked.waits else await asked.in_turn()
                _refuse_late(call)
            finally:
                self._shedder.leave()
        except KeelwayError as error:
            reply = self._refused(call, wanted, error)
        self._count(call, wanted, reply, begun)
        return reply

    def take(self, call: HttpCall, body: bytes, wanted: Wanted, answered: Answered) -> None:
        """Let a request that is there whole be answered: now, at the end of this turn of the loop, or later."""
        request = _WholeRequest(self, call, wanted, answered)
        found: list[Answer] | Exception | None
        try:
            call.take_deadline()
            call.take_body(body)
            request.enter()
            asked = self._asked(call, wanted)
            if isinstance(asked, AskedExplanations) or asked.waits:
                self._wait(request, asked)
                return
            request.write = asked.write
            found = asked.answers_or_told(request.end)
        except Exception as error:  # noqa: BLE001  (told to the caller; the next request must find the server standing)
            found = error
        if found is not None:
            request.end(found)

    def _wait(self, request: _WholeRequest, asked: AskedRows | AskedExplanations) -> None:
        """Await what waits in a task."""

        async def waited() -> None:
            try:
                found: Reply | Exception = await _elsewhere(request.call, asked)
            except Exception as error:  # noqa: BLE001  (told to the caller)
                found = error
            request.end(found)

        task = asyncio.get_running_loop().create_task(waited())
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    def _asked(self, call: HttpCall, wanted: Wanted) -> AskedRows | AskedExplanations:
        """Return what a request asks for."""
        ask, route, number = wanted
        loaded = route.router.loaded
        if number:
            loaded = route.only(loaded, number)
        if call.span is None:
            asked = ask(call, route, loaded, self._clock.now())
        else:
            with call.span.part("decode"):
                asked = ask(call, route, loaded, self._clock.now())
        _refuse_late(call)  # nothing was scored or logged yet
        return asked

    def _refused(self, call: HttpCall, wanted: Wanted, error: KeelwayError) -> Reply:
        reply = problem(error, protocol_of(call.path))
        self._tell(error, reply.status, wanted.route.router.model)
        if isinstance(error, UnavailableError) and wanted.ask is not ask_explanations:
            wanted.route.metrics.unavailable(error)
        return reply

    def _count(self, call: HttpCall, wanted: Wanted, reply: Reply, begun: float) -> None:
        """Count a request by its status, with the time since it was whole, in seconds of `time.perf_counter`.

        Those for predictions are counted together, when this turn of the loop is over.
        """
        now, route = time.perf_counter(), wanted.route
        if wanted.ask is ask_explanations:
            route.metrics.explained(reply.status, now - begun)
        else:
            loop = asyncio.get_running_loop()
            ended = self._ended.get(loop)
            if ended is None:
                ended = self._ended[loop] = []
                loop.call_soon(self._count_ended, loop)
            ended.append((route, reply.status, now - begun))
        if self._tells_requests:
            tell_request(call, route.router.model, status=reply.status, took_s=now - call.began)

    def _count_ended(self, loop: asyncio.AbstractEventLoop) -> None:
        times: dict[tuple[ModelRoute, int], list[float]] = {}
        for route, status, seconds in self._ended.pop(loop):
            times.setdefault((route, status), []).append(seconds)
        for (route, status), taken in times.items():
            route.metrics.requested(status, taken)

    def _tell(self, error: KeelwayError, status: int, model: str) -> None:
        """Log an answer that was owed and is not given, one of a kind every ten seconds; no value stands in its sentence."""
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return
        count = self._seldom.setdefault((model, status), Seldom()).passes(time.monotonic())
        if count:
            _log.warning("%s", error.what, extra=fields(model=model, status=status, requests=count))


class _WholeRequest:
    """A request that came whole, from its coming to its reply."""

    __slots__ = ("_answered", "_begun", "_is_in", "_predicting", "_wanted", "call", "write")

    def __init__(self, predicting: Predicting, call: HttpCall, wanted: Wanted, answered: Answered) -> None:
        self._predicting, self._wanted, self._answered = predicting, wanted, answered
        self.call = call
        self.write: Callable[[list[Answer]], Reply]
        self._begun = call.began
        self._is_in = False

    def enter(self) -> None:
        """Be let in, now that it is whole.

        Raises:
            OverloadedError: There is too much to do.
        """
        self._begun = time.perf_counter()
        self._predicting._shedder.enter(self._begun)
        self._is_in = True

    def end(self, found: list[Answer] | Reply | Exception) -> None:
        """Write the reply, count it and hand it over."""
        predicting, call = self._predicting, self.call
        if self._is_in:
            predicting._shedder.leave()
        try:
            reply = self._replied(found)
        except KeelwayError as error:
            reply = predicting._refused(call, self._wanted, error)
        except Exception:  # noqa: BLE001  (a fault of ours, which is told and logged)
            self._answered(failed(call))
            return
        predicting._count(call, self._wanted, reply, self._begun)
        self._answered(reply)

    def _replied(self, found: list[Answer] | Reply | Exception) -> Reply:
        if isinstance(found, list):
            self.call.answers = found
            found = self.write(found)
        elif isinstance(found, Exception):
            raise found
        _refuse_late(self.call)
        return found


def failed(call: HttpCall) -> Reply:
    """Log the fault of ours that is handled now, and return the reply that tells of it."""
    _log.exception(
        "A request to %s failed", printable(call.path), extra=fields(request_id=call.request_id.decode("latin-1"))
    )
    failure = ServingError("The server failed", expected="an answer", found="an error, which is in its log")
    told = problem(failure, protocol_of(call.path))
    return Reply(HTTPStatus.INTERNAL_SERVER_ERROR, told.body, told.headers)


async def _elsewhere(call: HttpCall, asked: AskedRows | AskedExplanations) -> Reply:
    """Answer what waits for another process or takes long; a caller who cannot wait so long is told.

    What another process says is awaited; only what cannot be is waited for in a thread.
    """
    left_s = call.timeout_ms / 1000 - (time.perf_counter() - call.began) if call.timeout_ms else None
    try:
        async with asyncio.timeout(left_s):
            known = await asked.awaited()
            return await asyncio.to_thread(known.reply) if known.waits else known.reply()
    except TimeoutError as error:
        raise late(call) from error


def _refuse_late(call: HttpCall) -> None:
    if call.is_late:
        raise late(call)
