"""How each protocol asks for predictions: a request's rows, and how the answers to them are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from keelway.serve import Answer, LoadedDeployment, Row
from keelway.serve.wire import (
    InferenceAsked,
    check_outputs,
    inference_answers,
    invocation_answers,
    named_answers,
)
from keelway.surfaces.scoring.exchange import Header, HttpCall, Reply
from keelway.surfaces.scoring.route import ModelReaders, ModelRoute


@dataclass(frozen=True, slots=True)
class AskedRows:
    """What a request asks for, ready to be scored.

    Attributes:
        write: Writes the reply from the answers, in the rows' order.
    """

    route: ModelRoute
    loaded: LoadedDeployment
    rows: list[Row]
    write: Callable[[list[Answer]], Reply]
    now: datetime

    def reply(self) -> Reply:
        """Score, log and write."""
        return self.write(self.route.answers(self.rows, self.loaded, now=self.now))


def ask_named(call: HttpCall, route: ModelRoute, loaded: LoadedDeployment, now: datetime) -> AskedRows:
    """Read a request of `/predict`."""
    call.content_type("application/json")
    readers = route.readers(loaded, call.limits)
    rows, many = readers.named.read(call.body, now=now)
    model = loaded.deployment.model
    return AskedRows(
        route, loaded, rows, lambda answers: Reply(200, named_answers(answers, model, readers.shape, many=many)), now
    )


def ask_invocations(call: HttpCall, route: ModelRoute, loaded: LoadedDeployment, now: datetime) -> AskedRows:
    """Read a request of `/invocations`."""
    kind = call.content_type("application/json", "text/csv")
    readers = route.readers(loaded, call.limits)
    reader = readers.csv if kind == "text/csv" else readers.invocations
    rows = reader.read(call.body, now=now)
    return AskedRows(route, loaded, rows, lambda answers: Reply(200, invocation_answers(answers, readers.shape)), now)


def ask_inference(call: HttpCall, route: ModelRoute, loaded: LoadedDeployment, now: datetime) -> AskedRows:
    """Read a request of `/v2/models/{model}/infer`."""
    call.content_type("application/json", "application/octet-stream")
    readers = route.readers(loaded, call.limits)
    size = call.number_in(b"inference-header-content-length")
    asked = readers.inference.read(call.body, json_bytes=size, now=now)
    check_outputs(asked, readers.shape)
    model = loaded.deployment.model
    return AskedRows(route, loaded, asked.rows, lambda answers: _inference_reply(answers, asked, model, readers), now)


def _inference_reply(answers: list[Answer], asked: InferenceAsked, model: str, readers: ModelReaders) -> Reply:
    body, json_bytes = inference_answers(answers, asked, model=model, shape=readers.shape)
    if json_bytes is None:
        return Reply(200, body)
    size: Header = (b"inference-header-content-length", str(json_bytes).encode())
    return Reply(200, body, ((b"content-type", b"application/octet-stream"), size))
