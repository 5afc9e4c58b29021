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

from collections.abc import Mapping
from http import HTTPStatus

from keelway.core import Clock
from keelway.errors import KeelwayError
from keelway.serve import Shedder
from keelway.serve.wire import WireLimits
from keelway.surfaces.scoring.exchange import CallerGoneError, HttpCall, Receive, Reply, Scope, Send
from keelway.surfaces.scoring.gate import CallerGate
from keelway.surfaces.scoring.pages import Pages
from keelway.surfaces.scoring.paths import PredictionPaths
from keelway.surfaces.scoring.predicting import Answered, Predicting, failed
from keelway.surfaces.scoring.problem import NotAllowedError, problem, protocol_of
from keelway.surfaces.scoring.route import ModelRoute
from keelway.surfaces.scoring.tracing import RequestTracing

OPEN = frozenset({"/healthz", "/readyz"})
"""What is answered without a key; everything else asks for one where keys are declared."""


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
        self._paths = PredictionPaths(self.models)
        self._predicting = Predicting(clock=clock, shedder=self.shedder)
        self._gate = gate
        self._tracing = tracing
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
        call = HttpCall.of_scope(scope, self.limits)
        try:
            reply = await self._reply(call, receive)
        except KeelwayError as error:
            reply = problem(error, protocol_of(call.path))
        except CallerGoneError:
            return
        except Exception:  # noqa: BLE001  (the edge of the process: the next request must find it standing)
            reply = failed(call)
        await call.send(reply, send)

    def take(self, call: HttpCall, body: bytes, answered: Answered) -> bool:
        """Answer a POST that is there whole, without an ASGI scope and a task of its own.

        Args:
            answered: Takes the reply, in this call or later in the running loop.

        Returns:
            False where it has to come as a scope: it asks for no model that is known, or is traced. Nothing was done then.
        """
        wanted = self._paths.known.get(call.path)
        if wanted is None or self._tracing is not None:
            return False
        try:
            self._let_in(call)
        except KeelwayError as error:
            answered(problem(error, protocol_of(call.path)))
        except Exception:  # noqa: BLE001  (the edge of the process)
            answered(failed(call))
        else:
            self._predicting.take(call, body, wanted, answered)
        return True

    async def _reply(self, call: HttpCall, receive: Receive) -> Reply:
        self._let_in(call)
        wanted = self._paths.wanted(call.path)
        if wanted is None:
            return self._pages.reply(call)
        if call.method != "POST":
            raise NotAllowedError(call, "POST")
        if self._tracing is None:
            return await self._predicting.reply(call, receive, wanted)
        call.span = self._tracing.begin(call)
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        try:
            reply = await self._predicting.reply(call, receive, wanted)
            status = reply.status
        finally:
            if call.span is not None:
                call.span.end(call, model=wanted.route.router.model, status=status)
        return reply

    def _let_in(self, call: HttpCall) -> None:
        """Let a caller in who shows a key, where keys are declared.

        Raises:
            IdentityError: He shows none, or a wrong one.
        """
        if self._gate is not None and call.path not in OPEN:
            authorization, api_key = (call.headers.get(name, b"") for name in (b"authorization", b"x-api-key"))
            self._gate.caller(authorization, api_key, now=self._clock.now())
