"""Traces: spans in memory, the caller's own trace, nothing personal, and OpenTelemetry's protocol over a real socket."""

from __future__ import annotations

import gzip
import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra otel")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

from keelway.app.settings_serving import ServingSettings, TracingSettings, check_serving
from keelway.core import SimulatedClock
from keelway.errors import MissingExtraError, SettingsError
from keelway.surfaces.scoring import ScoringApp
from keelway.surfaces.scoring.compose import tracing_of
from keelway.surfaces.scoring.tracing import RequestTracing, otlp_tracing
from keelway.testing.asgi import AsgiClient, ReadyLog, route_of
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

GOOD: dict[str, Any] = {"entity": "ana@example.com", "features": {"recency_d": 12.5, "plan": "golden-secret"}}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class World:
    """A server whose spans stay in memory."""

    def __init__(self, folder: Path, sampler: Any = ALWAYS_ON) -> None:
        traffic = ServedTraffic(folder)
        traffic.send(churn_1=100)
        self.exporter, self.scorer, self.log = InMemorySpanExporter(), FixedScorer(0.25), ReadyLog()
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        route = route_of(traffic, ScorerShelf(churn_1=self.scorer), log=self.log)
        tracing = RequestTracing(provider)
        self.client = AsgiClient(ScoringApp({"churn": route}, clock=SimulatedClock(NOW), tracing=tracing))

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


def test_a_request_is_a_span_with_what_it_spent_its_time_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.client.post("/models/churn/predict", {"instances": [GOOD] * 3}).status == 200
    spans = world.spans()
    assert list(spans) == ["decode", "score", "log", "POST /models/{model}/predict"]
    whole = spans.pop("POST /models/{model}/predict")
    assert dict(whole.attributes or {}) == {
        "http.request.method": "POST", "http.route": "/models/{model}/predict", "url.path": "/models/churn/predict",
        "url.scheme": "http", "http.response.status_code": 200, "keelway.model": "churn", "keelway.rows": 3,
        "keelway.version": "churn:1", "keelway.arm": "stable",
    }  # fmt: skip
    assert whole.kind.name == "SERVER"
    begun = [whole.start_time, *(span.start_time for span in spans.values())]
    assert begun == sorted(begun)  # type: ignore[type-var]
    for span in spans.values():
        assert span.parent is not None
        assert span.parent.span_id == whole.get_span_context().span_id
        assert span.end_time is not None
        assert whole.end_time is not None
        assert span.end_time <= whole.end_time
    score, log = spans["score"], spans["log"]
    assert score.end_time is not None
    assert log.start_time is not None
    assert score.end_time <= log.start_time
    assert len(world.log.lines) == 3


def test_no_span_tells_of_a_person_or_a_value(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.client.post("/predict", GOOD, x_request_id="ana@example.com")
    world.client.post("/predict", GOOD | {"features": {"recency_d": "golden-secret", "plan": ""}})
    world.client.post("/explain", GOOD)
    told = " ".join(span.to_json() for span in world.exporter.get_finished_spans())
    assert "POST /predict" in told
    assert "golden" not in told
    assert "ana@" not in told


def test_the_trace_of_the_caller_is_taken_over(tmp_path: Path) -> None:
    world = World(tmp_path, ParentBased(ALWAYS_OFF))
    world.client.post("/predict", GOOD, traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="shop=1")
    whole = world.spans()["POST /predict"]
    assert f"{whole.get_span_context().trace_id:032x}" == TRACE
    assert whole.parent is not None
    assert f"{whole.parent.span_id:016x}" == PARENT
    assert whole.get_span_context().trace_state.get("shop") == "1"


@pytest.mark.parametrize("given", [f"00-{TRACE}-{PARENT}-00", "", "00-nonsense", f"00-{'0' * 32}-{PARENT}-01"])
def test_what_is_not_sampled_is_answered_without_a_span(tmp_path: Path, given: str) -> None:
    world = World(tmp_path, ParentBased(ALWAYS_OFF))
    assert world.client.post("/predict", GOOD, traceparent=given).status == 200
    assert world.spans() == {}


def test_failures_are_errors_and_refusals_are_not(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.client.post("/predict", b"{")
    world.scorer.answer = float("nan")
    world.client.post("/predict", GOOD)
    refused, failed = (span for span in world.exporter.get_finished_spans() if span.name == "POST /predict")
    assert (refused.attributes or {})["http.response.status_code"] == 400
    assert refused.status.is_ok
    assert (failed.attributes or {})["error.type"] == "502"
    assert not failed.status.is_ok
    assert world.spans()["score"].status.status_code.name == "ERROR"


def test_pages_have_no_spans(tmp_path: Path) -> None:
    world = World(tmp_path)
    for path in ("/healthz", "/metrics", "/readyz"):
        assert world.client.get(path).status == 200
    assert world.spans() == {}


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes OTLP over HTTP and remembers what it was sent."""

    taken: list[ExportTraceServiceRequest] = []

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            data = gzip.decompress(data)
        assert self.headers["content-type"] == "application/x-protobuf"
        self.taken.append(ExportTraceServiceRequest.FromString(data))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[str]:
    Collector.taken.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_spans_go_over_the_wire_and_the_last_ones_when_the_server_ends(tmp_path: Path, collector: str) -> None:
    traffic = ServedTraffic(tmp_path)
    traffic.send(churn_1=100)
    tracing = tracing_of(ServingSettings(tracing=TracingSettings(endpoint=collector, ratio=1.0)), environment="prod")
    models = {"churn": route_of(traffic, ScorerShelf(churn_1=FixedScorer(0.25)))}
    app = ScoringApp(models, clock=SimulatedClock(NOW), tracing=tracing)
    for _ in range(5):
        assert AsgiClient(app).post("/predict", GOOD).status == 200
    app.close()
    sent = [batch for request in Collector.taken for batch in request.resource_spans]
    spans = [span for batch in sent for scope in batch.scope_spans for span in scope.spans]
    assert [span.name for span in spans].count("POST /predict") == 5
    assert len(spans) == 20
    named = {each.key: each.value.string_value for each in sent[0].resource.attributes}
    assert (named["service.name"], named["deployment.environment.name"]) == ("keelway", "prod")
    whole = next(span for span in spans if span.name == "POST /predict")
    told = {each.key: each.value for each in whole.attributes}
    assert told["keelway.version"].string_value == "churn:1"
    assert told["http.response.status_code"].int_value == 200


def test_a_share_of_requests_is_sampled(collector: str) -> None:
    none, all_ = (otlp_tracing(collector, ratio=ratio, environment="prod") for ratio in (0.0, 1.0))

    def begun(tracing: RequestTracing) -> int:
        from keelway.serve.wire import WireLimits
        from keelway.surfaces.scoring.exchange import HttpCall

        call = HttpCall("POST", "/predict", (), WireLimits())
        return sum(tracing.begin(call) is not None for _ in range(20))

    assert (begun(none), begun(all_)) == (0, 20)
    for tracing in (none, all_):
        tracing.close()


def test_nothing_is_traced_unless_it_is_declared() -> None:
    assert tracing_of(ServingSettings(), environment="prod") is None


@pytest.mark.parametrize("tracing", [TracingSettings(ratio=1.5), TracingSettings(endpoint="localhost:4318")])
def test_settings_that_are_none_are_refused(tracing: TracingSettings) -> None:
    with pytest.raises(SettingsError, match=r"serving\.tracing"):
        check_serving(ServingSettings(tracing=tracing))


def test_a_missing_extra_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(MissingExtraError) as missing:
        otlp_tracing("http://localhost:4318/v1/traces", ratio=1.0, environment="prod")
    assert "keelway[otel]" in missing.value.fix
