"""The ASGI app: `/predict`, `/healthz`, `/readyz`, `/metrics`, and `/` with the schema.

    POST /predict   {"entity": "00042", "as_of": "1998-01-01T00:00:00Z", "features": {"recency_d": 12.5, ...}}
    200             {"entity": "00042", "prediction_id": "...", "probability": 0.81, "version": "churn:1", ...}

`{"instances": [...]}` asks for up to 1,000 rows at once. A wrong request is answered with 4xx and the field, what was
expected and what was found; a model that gives no probability is answered with 502, never with its number.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from json.encoder import encode_basestring
from typing import Any

from keelway.core import Clock, plain, time_text
from keelway.errors import BadRequestError, KeelwayError, ServingError
from keelway.serve import Answer, JournalLog, LoadedDeployment, Router, Row, answer_rows
from keelway.surfaces.scoring.metrics import ScoringMetrics

MAX_BODY_BYTES = 2_000_000

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")


class ScoringApp:
    """Answers requests for one model in one environment.

    Args:
        router: Knows what is loaded.
        log: Takes every prediction.
        clock: Tells the time of an answer.
        names: Gives entities that are people their tokens, before anything is routed or logged; answers go back under
            the entity that was asked for. None where entities are no people.
    """

    def __init__(
        self,
        router: Router,
        *,
        log: JournalLog,
        clock: Clock,
        metrics: ScoringMetrics,
        names: Callable[[Sequence[str]], list[str]] | None = None,
    ) -> None:
        self._names = names
        self.router = router
        self.log = log
        self.metrics = metrics
        self._clock = clock
        self._pages: dict[tuple[str, str], Callable[[], tuple[int, bytes, tuple[bytes, bytes]]]] = {
            ("GET", "/"): self._index,
            ("GET", "/healthz"): lambda: (HTTPStatus.OK, b'{"status":"alive"}', _JSON),
            ("GET", "/readyz"): self._ready,
            ("GET", "/metrics"): lambda: (HTTPStatus.OK, self.metrics.text(), _TEXT),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] != "http":
            raise NotImplementedError("Only HTTP is answered here; start the server without lifespan and websockets.")
        path, method = scope["path"], scope["method"]
        if path == "/predict" and method == "POST":
            await self._predict(receive, send)
            return
        page = self._pages.get(("GET" if method == "HEAD" else method, path))
        if page is None:
            known = [verb for verb, name in [*self._pages, ("POST", "/predict")] if name == path]
            status = HTTPStatus.METHOD_NOT_ALLOWED if known else HTTPStatus.NOT_FOUND
            body = _problem(
                "Nothing is here", "POST /predict, GET /, /healthz, /readyz or /metrics", f"{method} {path}"
            )
            allow = ((b"allow", ", ".join(known).encode()),) if known else ()
            await _send(send, status, body, _JSON, *allow)
            return
        status_code, body, kind = page()
        await _send(send, status_code, b"" if method == "HEAD" else body, kind)

    async def _predict(self, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        begun = time.perf_counter()
        status: int = HTTPStatus.OK
        try:
            answer = self._answer(body)
        except BadRequestError as error:
            status = error.status
            answer = _problem(error.what, error.expected, error.found, error.field)
        except ServingError as error:
            status = HTTPStatus.BAD_GATEWAY
            answer = _problem(error.what, error.expected, error.found)
        seconds = time.perf_counter() - begun
        self.metrics.requested(status, seconds)
        await _send(send, status, answer, _JSON, (b"server-timing", f"app;dur={seconds * 1000:.3f}".encode()))

    def _answer(self, body: bytes | None) -> bytes:
        if body is None:
            raise BadRequestError(
                "The body is too large",
                expected=f"at most {MAX_BODY_BYTES} bytes",
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        loaded = self.router.loaded
        now = self._clock.now()
        rows, many = loaded.stable.schema.read(body, now=now)
        if self._names is None:
            answers = answer_rows(rows, loaded, log=self.log, at=time_text(now))
        else:
            answers = self._answers_about_people(rows, loaded, at=time_text(now))
        if not many:
            self.metrics.answered(answers[0].version, 1)
            return _answer_text(answers[0], loaded).encode()
        for answer in answers:
            self.metrics.answered(answer.version, 1)
        return ('{"predictions":[' + ",".join([_answer_text(answer, loaded) for answer in answers]) + "]}").encode()

    def _answers_about_people(self, rows: list[Row], loaded: LoadedDeployment, *, at: str) -> list[Answer]:
        assert self._names is not None
        try:
            names = self._names([row[0] for row in rows])
        except KeelwayError as error:  # never with the message: it may tell of the person
            raise ServingError(
                "People cannot be named", expected="the key vault", found=type(error).__name__
            ) from error
        named = [(name, *row[1:]) for name, row in zip(names, rows, strict=True)]
        answers = answer_rows(named, loaded, log=self.log, at=at)
        return [replace(answer, entity=row[0]) for answer, row in zip(answers, rows, strict=True)]

    def _index(self) -> tuple[int, bytes, tuple[bytes, bytes]]:
        loaded = self.router.loaded
        deployment = loaded.deployment
        index = {
            "model": deployment.model,
            "environment": deployment.environment,
            "traffic": deployment.traffic,
            "features": [plain(feature) for feature in loaded.stable.scorer.features],
            "problem": self.router.problem,
        }
        return HTTPStatus.OK, _dumped(index), _JSON

    def _ready(self) -> tuple[int, bytes, tuple[bytes, bytes]]:
        problems = [] if self.log.healthy else ["predictions cannot be logged"]
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        ready = {"ready": not problems, "problems": problems, "serving": self.router.loaded.deployment.traffic}
        return (
            status,
            _dumped(ready | {"waiting": [text for text in (self.router.problem, self.log.seal_error) if text]}),
            _JSON,
        )


def _answer_text(answer: Answer, loaded: LoadedDeployment) -> str:
    version = answer.version
    return (
        f'{{"entity":{encode_basestring(answer.entity)},"prediction_id":"{answer.prediction_id}",'
        f'"probability":{answer.probability},"model":"{loaded.deployment.model}","version":"{version.version}",'
        f'"arm":"{version.arm}","logged":{"true" if answer.logged else "false"}}}'
    )


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body, or None where it is too large; the rest is read and dropped."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(parts)
        part = message.get("body", b"")
        size += len(part)
        if size <= MAX_BODY_BYTES:
            parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts) if size <= MAX_BODY_BYTES else None


async def _send(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": int(status), "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


def _problem(what: str, expected: str, found: str, field: str = "") -> bytes:
    told = {"error": what, "expected": expected, "found": found}
    return _dumped(told | ({"field": field} if field else {}))


def _dumped(value: object) -> bytes:
    import msgspec

    return msgspec.json.encode(value)
