"""The ASGI app: predictions in three protocols, health, metrics and the document that describes them.

    POST /predict                      {"entity": "00042", "features": {"recency_d": 12.5, ...}}
    POST /models/{model}/predict       the same, where several models are served
    POST /explain, /models/{model}/explain    why answers come out, for what /predict takes
    POST /v2/models/{model}/infer      Open Inference Protocol, also /v2/models/{model}/versions/{number}/infer
    POST /invocations                  what MLflow's scoring server takes
    GET  /, /healthz, /readyz, /metrics, /openapi.json, /v2..., /ping, /health, /version

A wrong request is answered with 4xx and the field, what was expected and what was found; a model that gives no
probability is answered with 502, never with its number. docs/serving.md tells every route, header, limit and error.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus

from keelway.core import Clock
from keelway.errors import BadRequestError, KeelwayError, ServingError, UnavailableError
from keelway.serve import LoadedDeployment, Shedder
from keelway.serve.wire import WireLimits
from keelway.surfaces.scoring.asks import (
    AskedExplanations,
    AskedRows,
    ask_explanations,
    ask_inference,
    ask_invocations,
    ask_named,
)
from keelway.surfaces.scoring.exchange import CallerGoneError, HttpCall, Receive, Reply, Scope, Send, late
from keelway.surfaces.scoring.gate import CallerGate
from keelway.surfaces.scoring.logs import Seldom, fields, tell_request, tells_requests
from keelway.surfaces.scoring.pages import Pages
from keelway.surfaces.scoring.problem import NotAllowedError, printable, problem, protocol_of, unknown_model
from keelway.surfaces.scoring.route import ModelRoute
from keelway.surfaces.scoring.tracing import RequestTracing

OPEN = frozenset({"/healthz", "/readyz"})
"""What is answered without a key; everything else asks for one where keys are declared."""

Ask = Callable[[HttpCall, ModelRoute, LoadedDeployment, datetime], AskedRows | AskedExplanations]

FIXED: dict[str, Ask] = {"/predict": ask_named, "/invocations": ask_invocations, "/explain": ask_explanations}
"""How the paths that name no model ask; `/models/MODEL/` may stand before the first and the last."""

_log = logging.getLogger(__name__)


class ScoringApp:
    """Answers requests for some models in one environment.

    Args:
        models: Models by name; `/predict` and `/invocations` answer where there is exactly one.
        clock: Tells the time of an answer.
        limits: How large and how slow a request may be.
        gate: Lets callers in; None lets everybody in.
        shedder: Refuses what would come too late anyway.
        tracing: Begins traces of requests; None where nobody wants any.
    """

    def __init__(
        self,
        models: Mapping[str, ModelRoute],
        *,
        clock: Clock,
        limits: WireLimits | None = None,
        gate: CallerGate | None = None,
        shedder: Shedder | None = None,
        tracing: RequestTracing | None = None,
    ) -> None:
        self.models = dict(models)
        self.limits = limits or WireLimits()
        self.shedder = shedder or Shedder()
        self._gate = gate
        self._tracing = tracing
        self._tells_requests = tells_requests()
        self._seldom: dict[tuple[str, int], Seldom] = {}
        self._clock = clock
        self._pages = Pages(self.models, limits=self.limits, is_gated=gate is not None)

    def start(self) -> None:
        """Begin to seal logs and to look for other deployments."""
        for route in self.models.values():
            route.start()

    def close(self) -> None:
        """Stop looking, and seal the logs."""
        for route in self.models.values():
            route.close()
        if self._tracing is not None:
            self._tracing.close()

    def refresh(self) -> None:
        """Look for other deployments now."""
        for route in self.models.values():
            route.router.refresh()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] != "http":
            raise NotImplementedError("Only HTTP is answered here; start the server without lifespan and websockets.")
        call = HttpCall(scope, self.limits)
        try:
            reply = await self._reply(call, receive)
        except KeelwayError as error:
            reply = problem(error, protocol_of(call.path))
        except CallerGoneError:
            return
        except Exception:  # noqa: BLE001  (the edge of the process: the next request must find it standing)
            told = fields(request_id=call.request_id.decode("latin-1"))
            _log.exception("A request to %s failed", printable(call.path), extra=told)
            failure = ServingError("The server failed", expected="an answer", found="an error, which is in its log")
            reply = replace(problem(failure, protocol_of(call.path)), status=HTTPStatus.INTERNAL_SERVER_ERROR)
        await call.send(reply, send)

    async def _reply(self, call: HttpCall, receive: Receive) -> Reply:
        if self._gate is not None and call.path not in OPEN:
            authorization, api_key = (call.headers.get(name, b"") for name in (b"authorization", b"x-api-key"))
            self._gate.caller(authorization, api_key, now=self._clock.now())
        ask, model, number = self._asked_of(call.path)
        if ask is None:
            return self._pages.reply(call)
        if call.method != "POST":
            raise NotAllowedError(call, "POST")
        route = self._route(model, call)
        if self._tracing is None:
            return await self._predicted(call, receive, ask, route, number)
        call.span = self._tracing.begin(call)
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        try:
            reply = await self._predicted(call, receive, ask, route, number)
            status = reply.status
        finally:
            if call.span is not None:
                call.span.end(call, model=route.router.model, status=status)
        return reply

    async def _predicted(self, call: HttpCall, receive: Receive, ask: Ask, route: ModelRoute, number: str) -> Reply:
        """Answer a request for predictions, and count it whatever comes of it."""
        begun = call.began
        try:
            call.take_deadline()
            await call.read_body(receive)
            begun = time.perf_counter()
            self.shedder.enter(begun)
            try:
                reply = await self._scored(call, ask, route, number)
            finally:
                self.shedder.leave()
        except KeelwayError as error:
            reply = problem(error, protocol_of(call.path))
            self._tell(error, reply.status, route.router.model)
            if isinstance(error, UnavailableError) and ask is not ask_explanations:
                route.metrics.unavailable(error)
        if ask is ask_explanations:
            route.metrics.explained(reply.status, time.perf_counter() - begun)
        else:
            route.metrics.requested(reply.status, time.perf_counter() - begun)
        if self._tells_requests:
            model = route.router.model
            tell_request(call, model, status=reply.status, took_s=time.perf_counter() - call.began)
        return reply

    def _tell(self, error: KeelwayError, status: int, model: str) -> None:
        """Log an answer that was owed and is not given, one of a kind every ten seconds; no value stands in its sentence."""
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return
        count = self._seldom.setdefault((model, status), Seldom()).passes(time.monotonic())
        if count:
            _log.warning("%s", error.what, extra=fields(model=model, status=status, requests=count))

    async def _scored(self, call: HttpCall, ask: Ask, route: ModelRoute, number: str) -> Reply:
        loaded = route.router.loaded
        if number:
            loaded = route.only(loaded, number)
        if call.span is None:
            asked = ask(call, route, loaded, self._clock.now())
        else:
            with call.span.part("decode"):
                asked = ask(call, route, loaded, self._clock.now())
        if call.is_late:  # nothing was scored or logged yet
            raise late(call)
        reply = await self._elsewhere(call, asked) if asked.waits else await asked.in_turn()
        if call.is_late:
            raise late(call)
        return reply

    @staticmethod
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

    def _asked_of(self, path: str) -> tuple[Ask | None, str, str]:
        """Return how a path asks for predictions, of which model and version; None where it is a page."""
        ask = FIXED.get(path)
        if ask is not None:
            return ask, "", ""
        match path.split("/"):
            case ["", "models", model, "predict" | "explain" as verb]:
                return FIXED[f"/{verb}"], model, ""
            case ["", "v2", "models", model, "infer"]:
                return ask_inference, model, ""
            case ["", "v2", "models", model, "versions", number, "infer"]:
                return ask_inference, model, number or "none"
        return None, "", ""

    def _route(self, model: str, call: HttpCall) -> ModelRoute:
        """Return the route of a model; of the only one where none is named."""
        if model or "/models/" in call.path:
            found = self.models.get(model)
            if found is None:
                raise unknown_model(self.models, model)
            return found
        if len(self.models) == 1:
            return next(iter(self.models.values()))
        raise BadRequestError(
            "Several models are served here",
            expected=" or ".join(f"/models/{name}/predict" for name in sorted(self.models)),
            found=printable(call.path),
            status=HTTPStatus.NOT_FOUND,
        )
