"""How each protocol asks for predictions: a request's rows, and how the answers to them are written."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus

import msgspec

from keelway.errors import BadRequestError
from keelway.serve import Answer, AnswerExplanation, LoadedDeployment, Row, with_answers
from keelway.serve.wire import (
    InferenceAsked,
    check_outputs,
    check_rows,
    explanation_answers,
    inference_answers,
    invocation_answers,
    named_answers,
)
from keelway.surfaces.scoring.exchange import Header, HttpCall, Reply
from keelway.surfaces.scoring.route import ModelReaders, ModelRoute
from keelway.surfaces.scoring.turn import Told


class AskedRows(msgspec.Struct, frozen=True):
    """What a request asks for, ready to be scored; no dataclass, which would take five times as long to make.

    Attributes:
        write: Writes the reply from the answers, in the rows' order.
        begun: When scoring began; None where it did not yet.
    """

    call: HttpCall
    route: ModelRoute
    loaded: LoadedDeployment
    rows: list[Row]
    write: Callable[[list[Answer]], Reply]
    now: datetime
    begun: float | None = None

    @property
    def waits(self) -> bool:
        """Whether the reply must not be made in the event loop."""
        return self.route.waits(self.rows, self.loaded)

    async def awaited(self) -> AskedRows:
        """Return the same with its answers at hand where they can be awaited; a trace wants them where they are logged."""
        if self.call.span is not None or not all(row[2] for row in self.rows):
            return self
        begun = time.perf_counter()
        return msgspec.structs.replace(self, loaded=await with_answers(self.rows, self.loaded), begun=begun)

    async def in_turn(self) -> Reply:
        """Do the same as `reply` together with other requests that are there now; one that is traced is answered alone."""
        if self.call.span is not None or not self.route.goes_in_turn(self.rows, self.loaded):
            return self.reply()
        self.call.answers = answers = await self.route.answers_in_turn(
            self.rows, self.loaded, now=self.now, mark=self.call.mark
        )
        return self.write(answers)

    def answers_or_told(self, told: Told) -> list[Answer] | None:
        """Return the answers; or None where they are told at the end of this turn of the loop, with those of others.

        Raises:
            ServingError: There are none; nobody is told anything then, and nothing was logged.
        """
        if not self.route.goes_in_turn(self.rows, self.loaded):
            return self._answered()
        self.route.ask_in_turn(self.rows, self.loaded, now=self.now, told=told, mark=self.call.mark)
        return None

    def reply(self) -> Reply:
        """Score, log and write."""
        self.call.answers = answers = self._answered()
        return self.write(answers)

    def _answered(self) -> list[Answer]:
        """Score and log."""
        span, mark = self.call.span, self.call.mark
        if span is None:
            return self.route.answers(self.rows, self.loaded, now=self.now, mark=mark, begun=self.begun)
        with span.scoring(self.route.log) as log:
            return self.route.answers(self.rows, self.loaded, now=self.now, mark=mark, log=log)


@dataclass(frozen=True, slots=True)
class AskedExplanations:
    """What a request wants to have explained; that takes long, and is no prediction."""

    route: ModelRoute
    loaded: LoadedDeployment
    rows: list[Row]
    write: Callable[[list[AnswerExplanation]], Reply]
    now: datetime

    @property
    def waits(self) -> bool:
        """Whether the reply must not be made in the event loop."""
        return True

    async def awaited(self) -> AskedExplanations:
        """Return itself."""
        return self

    async def in_turn(self) -> Reply:
        """Explain at once."""
        return self.reply()

    def reply(self) -> Reply:
        """Explain and write; nothing is logged."""
        return self.write(self.route.explanations(self.rows, self.loaded, now=self.now))


def ask_named(call: HttpCall, route: ModelRoute, loaded: LoadedDeployment, now: datetime) -> AskedRows:
    """Read a request of `/predict`."""
    call.content_type("application/json")
    readers = route.readers(loaded, call.limits)
    rows, many = readers.named.read(call.body, now=now)
    model = loaded.deployment.model

    def write(answers: list[Answer]) -> Reply:
        return Reply(200, named_answers(answers, model, readers.shape, many=many))

    return AskedRows(call, route, loaded, rows, write, now)


def ask_explanations(call: HttpCall, route: ModelRoute, loaded: LoadedDeployment, now: datetime) -> AskedExplanations:
    """Read a request of `/explain`: what `/predict` takes, but fewer rows.

    Raises:
        BadRequestError: It is none, or answers are not explained here (404).
    """
    if not route.explains:
        raise BadRequestError(
            "Answers are not explained here", expected="/predict", found=call.path, status=HTTPStatus.NOT_FOUND
        )
    call.content_type("application/json")
    readers = route.readers(loaded, call.limits)
    rows, many = readers.named.read(call.body, now=now)
    if many:
        check_rows(len(rows), replace(call.limits, rows=call.limits.explained_rows), "$.instances")
    model, names = loaded.deployment.model, readers.named.names

    def write(found: list[AnswerExplanation]) -> Reply:
        return Reply(200, explanation_answers(found, model, readers.shape, names, many=many))

    return AskedExplanations(route, loaded, rows, write, now)


def ask_invocations(call: HttpCall, route: ModelRoute, loaded: LoadedDeployment, now: datetime) -> AskedRows:
    """Read a request of `/invocations`."""
    kind = call.content_type("application/json", "text/csv")
    readers = route.readers(loaded, call.limits)
    reader = readers.csv if kind == "text/csv" else readers.invocations
    rows = reader.read(call.body, now=now)

    def write(answers: list[Answer]) -> Reply:
        return Reply(200, invocation_answers(answers, readers.shape))

    return AskedRows(call, route, loaded, rows, write, now)


def ask_inference(call: HttpCall, route: ModelRoute, loaded: LoadedDeployment, now: datetime) -> AskedRows:
    """Read a request of `/v2/models/{model}/infer`."""
    call.content_type("application/json", "application/octet-stream")
    readers = route.readers(loaded, call.limits)
    size = call.number_in(b"inference-header-content-length")
    asked = readers.inference.read(call.body, json_bytes=size, now=now)
    check_outputs(asked, readers.shape)
    model = loaded.deployment.model

    def write(answers: list[Answer]) -> Reply:
        return _inference_reply(answers, asked, model, readers)

    return AskedRows(call, route, loaded, asked.rows, write, now)


def _inference_reply(answers: list[Answer], asked: InferenceAsked, model: str, readers: ModelReaders) -> Reply:
    body, json_bytes = inference_answers(answers, asked, model=model, shape=readers.shape)
    if json_bytes is None:
        return Reply(200, body)
    size: Header = (b"inference-header-content-length", str(json_bytes).encode())
    return Reply(200, body, ((b"content-type", b"application/octet-stream"), size))
