"""Traces of requests for OpenTelemetry: one span a request that is sampled, with what it spent its time on below it.

    tracing = otlp_tracing("http://localhost:4318/v1/traces", headers={}, ratio=0.01, environment="prod")

A caller's `traceparent` (W3C Trace Context) is taken over, its decision to sample with it. Attributes follow OpenTelemetry's
semantic conventions for HTTP servers, and `keelway.model`, `keelway.version`, `keelway.arm` and `keelway.rows` say who
answered; there is no entity and no value of a feature in a span. Spans are sent in the background (`span_sending`), at most 2,048
wait, and what nobody takes is dropped. A request that is not sampled costs the drawing; without tracing it costs one comparison.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keelway
from keelway.errors import MissingExtraError
from keelway.surfaces.scoring.exchange import HttpCall
from keelway.surfaces.scoring.logs import answered_by

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

    from keelway.serve import PredictionLog

SERVER_FAULT = 500
SEND_S = 10.0
"""So long a collector may take for a batch, trials included; then it is dropped. MLflow on SQLite takes five for 512 spans."""
FLUSH_S = 2.0
"""So long the last spans may take to be sent when the server ends."""
LAST_SPANS = "keelway-last-spans"
"""The thread that sends them."""

_log = logging.getLogger(__name__)


class RequestSpan:
    """The span of one request that is sampled."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, span: Span, tracer: Tracer) -> None:
        self._span, self._tracer = span, tracer

    @property
    def trace_id(self) -> str:
        """The trace that it belongs to, as `traceparent` writes it."""
        return f"{self._span.get_span_context().trace_id:032x}"

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure a part of the request as a span below it; one that raises is an error."""
        from opentelemetry.trace import StatusCode, set_span_in_context

        part = self._tracer.start_span(name, set_span_in_context(self._span))
        try:
            yield
        except Exception as error:
            part.set_attribute("error.type", type(error).__name__)
            part.set_status(StatusCode.ERROR)
            raise
        finally:
            part.end()

    @contextlib.contextmanager
    def scoring(self, log: PredictionLog) -> Iterator[PredictionLog]:
        """Measure scoring, and from the first line on logging; what is scored is to be logged in what comes back."""
        with contextlib.ExitStack() as score:
            score.enter_context(self.part("score"))
            yield _PartedLog(log, self, score)

    def end(self, call: HttpCall, *, model: str, status: int) -> None:
        """End it, with what came of the request."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("http.response.status_code", int(status))
        self._span.set_attribute("keelway.model", model)
        for name, value in answered_by(call.answers).items():
            self._span.set_attribute(f"keelway.{name}", value)
        if status >= SERVER_FAULT:
            self._span.set_attribute("error.type", str(int(status)))
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class _PartedLog:
    """Ends the measuring of what comes before it, and measures itself."""

    def __init__(self, log: PredictionLog, span: RequestSpan, before: contextlib.ExitStack) -> None:
        self._log, self._span, self._before = log, span, before

    @property
    def refuses(self) -> bool:
        return self._log.refuses

    def append(self, entries: bytes, *, count: int | None = None) -> bool:
        self._before.close()
        with self._span.part("log"):
            return self._log.append(entries, count=count)


class RequestTracing:
    """Begins spans of requests.

    Args:
        provider: Where spans go, and which are sampled.
    """

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer: Tracer = provider.get_tracer("keelway", keelway.__version__)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, call: HttpCall) -> RequestSpan | None:
        """Return the span of a request for predictions, or None where it is not sampled."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        told = (b"traceparent", b"tracestate")
        carrier = {name.decode(): call.headers[name].decode("latin-1") for name in told if name in call.headers}
        route = route_of(call.path)
        zero_ns = time.time_ns() - int(time.perf_counter() * 1e9)
        span = self._tracer.start_span(
            f"{call.method} {route}",
            self._propagator.extract(carrier, Context()),
            SpanKind.SERVER,
            _attributes(call, route),
            start_time=zero_ns + int(call.began * 1e9),
        )
        return RequestSpan(span, self._tracer) if span.is_recording() else None

    def close(self) -> None:
        """Send what waits, for two seconds at most, and stop."""
        ending = threading.Thread(target=self._provider.shutdown, name=LAST_SPANS, daemon=True)
        ending.start()  # OpenTelemetry keeps no limit here: a full queue is four batches that wait one after another
        ending.join(FLUSH_S)
        if ending.is_alive():
            _log.warning("The last spans were not taken in time")


def route_of(path: str) -> str:
    """Return a path with placeholders for model and version.

    >>> route_of("/v2/models/churn/versions/3/infer"), route_of("/predict")
    ('/v2/models/{model}/versions/{number}/infer', '/predict')
    """
    parts = path.split("/")
    for before, name in (("models", "{model}"), ("versions", "{number}")):
        if before in parts[:-1]:
            parts[parts.index(before) + 1] = name
    return "/".join(parts)


def _attributes(call: HttpCall, route: str) -> Mapping[str, Any]:
    """Return what is known of a request before it is answered; the query is left out, as nothing reads it."""
    return {"http.request.method": call.method, "http.route": route, "url.path": call.path, "url.scheme": "http"}


def otlp_tracing(endpoint: str, *, headers: Mapping[str, str], ratio: float, environment: str) -> RequestTracing:
    """Return tracing that sends its spans by OTLP over HTTP.

    Args:
        endpoint: The whole URL of the collector, as `http://localhost:4318/v1/traces`.
        headers: Sent along, such as the key that the collector asks for.
        ratio: How many of the requests whose callers decided nothing are sampled, from 0 to 1.

    Raises:
        MissingExtraError: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        from keelway.surfaces.scoring.span_sending import SpanSender
    except ImportError as error:
        raise MissingExtraError(
            "Traces need more packages", expected="OpenTelemetry's SDK and exporter", found="none",
            fix="pip install 'keelway[otel]'",
        ) from error  # fmt: skip
    named = {
        "service.name": "keelway",
        "service.version": keelway.__version__,
        "deployment.environment.name": environment,
    }
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(ratio)), resource=Resource.create(named), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(SpanSender(endpoint, headers=headers, timeout_s=SEND_S)))
    return RequestTracing(provider)
