"""Traces: spans in memory, the caller's own trace, nothing personal; over a real socket, also to a collector that is no help."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
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
from keelway.surfaces.scoring.logs import FIELDS
from keelway.surfaces.scoring.tracing import FLUSH_S, LAST_SPANS, RequestTracing, otlp_tracing
from keelway.testing.asgi import AsgiClient, ReadyLog, route_of
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

GOOD: dict[str, Any] = {"entity": "ana@example.com", "features": {"recency_d": 12.5, "plan": "golden-secret"}}
PATIENCE_S = 2.0
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


class Collector:
    """Takes OTLP over HTTP on loopback, refuses it or keeps it waiting, and remembers what it was sent.

    Attributes:
        status: What it answers.
        answers: It does, while this is set.
        taken: What it was sent while it took it.
        refused: How often it refused.
        headers: What came with the last of it, by names in small letters.
    """

    def __init__(self) -> None:
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()
        self.taken: list[ExportTraceServiceRequest] = []
        self.refused = 0
        self.headers: dict[str, str] = {}
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def spans(self) -> list[str]:
        """Return the names of all spans that it took."""
        sent = [batch for request in self.taken for batch in request.resource_spans]
        return [span.name for batch in sent for scope in batch.scope_spans for span in scope.spans]

    def stop(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        ours = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    data = gzip.decompress(data)
                assert self.headers["content-type"] == "application/x-protobuf"
                ours.answers.wait(60)
                ours.headers = {name.lower(): value for name, value in self.headers.items()}
                if ours.status == 200:
                    ours.taken.append(ExportTraceServiceRequest.FromString(data))
                else:
                    ours.refused += 1
                with contextlib.suppress(OSError):  # whoever asked may have gone
                    self.send_response(ours.status)
                    self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.stop()


class Sending:
    """A server that sends its spans to a collector, soon."""

    def __init__(self, folder: Path, endpoint: str, **headers: str) -> None:
        traffic = ServedTraffic(folder)
        traffic.send(churn_1=100)
        settings = TracingSettings(endpoint=endpoint, ratio=1.0, headers=headers)
        tracing = tracing_of(ServingSettings(tracing=settings), environment="prod", root=folder)
        models = {"churn": route_of(traffic, ScorerShelf(churn_1=FixedScorer(0.25)))}
        self.app = ScoringApp(models, clock=SimulatedClock(NOW), tracing=tracing)
        self.client = AsgiClient(self.app)

    def ask(self, times: int) -> float:
        """Send requests, each of which is answered, and return how many seconds the slowest took."""
        slowest = 0.0
        for _ in range(times):
            began = time.monotonic()
            assert self.client.post("/predict", GOOD).status == 200
            slowest = max(slowest, time.monotonic() - began)
        return slowest


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let spans be sent twenty times a second, and a collector have two seconds."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setattr("keelway.surfaces.scoring.tracing.SEND_S", PATIENCE_S)


def told(caplog: pytest.LogCaptureFixture, what: str) -> list[dict[str, Any]]:
    """Return the fields of the lines that say so."""
    return [getattr(each, FIELDS) for each in caplog.records if each.getMessage().startswith(what)]


def dropped(caplog: pytest.LogCaptureFixture) -> int:
    """Return how many spans the lines say were dropped."""
    return sum(getattr(each, FIELDS).get("dropped", 0) for each in caplog.records if hasattr(each, FIELDS))


def eventually(holds: Callable[[], Any], within_s: float = 30.0) -> bool:
    deadline = time.monotonic() + within_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(holds())


def test_spans_go_over_the_wire_and_the_last_ones_when_the_server_ends(tmp_path: Path, collector: Collector) -> None:
    sending = Sending(tmp_path, collector.url)
    sending.ask(5)
    sending.app.close()
    assert collector.spans().count("POST /predict") == 5
    assert len(collector.spans()) == 20
    batch = collector.taken[0].resource_spans[0]
    named = {each.key: each.value.string_value for each in batch.resource.attributes}
    assert (named["service.name"], named["deployment.environment.name"]) == ("keelway", "prod")
    whole = next(span for span in batch.scope_spans[0].spans if span.name == "POST /predict")
    told = {each.key: each.value for each in whole.attributes}
    assert told["keelway.version"].string_value == "churn:1"
    assert told["http.response.status_code"].int_value == 200


def test_headers_go_to_the_collector_with_secrets_from_where_they_are(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTOR_LOGIN", "Bearer golden-secret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Shop=7,x-both=theirs")
    (tmp_path / "collector.key").write_text("silver-secret\n")
    named = {"x-mlflow-experiment-id": "12", "Authorization": "env:COLLECTOR_LOGIN", "x-api-key": "file:collector.key"}
    sending = Sending(tmp_path, collector.url, **named, **{"x-both": "ours"})
    sending.ask(1)
    sending.app.close()
    sent = {"x-mlflow-experiment-id": "12", "authorization": "Bearer golden-secret", "x-api-key": "silver-secret"}
    assert (sent | {"x-shop": "7", "x-both": "ours"}).items() <= collector.headers.items()


@pytest.mark.parametrize("secret", ["golden\nsecret", "gölden-secret", " golden-secret"])
def test_a_secret_that_is_no_value_of_a_header_is_refused_unshown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("COLLECTOR_KEY", secret)
    with pytest.raises(SettingsError, match=r"serving\.tracing\.headers\.x-api-key") as refused:
        Sending(tmp_path, "http://127.0.0.1:1/v1/traces", **{"x-api-key": "env:COLLECTOR_KEY"})
    assert "secret" not in str(refused.value)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    ("status", "why"), [(401, "Unauthorized"), (500, "Internal Server Error"), (503, "Service Unavailable")]
)
def test_a_collector_that_refuses_is_told_of_seldom_and_requests_go_on(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
    status: int, why: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLLECTOR_KEY", "golden-secret")
    collector.status = status
    sending = Sending(tmp_path, collector.url, **{"x-api-key": "env:COLLECTOR_KEY"})
    for _ in range(3):
        sending.ask(5)
        time.sleep(0.1)
    assert eventually(lambda: told(caplog, "Spans are dropped"))
    sending.app.close()
    assert eventually(lambda: dropped(caplog) == 60), "all of them, at the end at the latest"
    (first,) = told(caplog, "Spans are dropped")
    assert why in first["why"]
    assert first["collector"] == collector.url
    assert len(told(caplog, "Spans were dropped")) <= 1, "the rest, at the end"
    assert not [each for each in caplog.records if each.name.startswith("opentelemetry")]
    assert "golden" not in caplog.text


@pytest.mark.usefixtures("soon")
def test_a_collector_that_is_away_is_told_of_and_requests_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        away = Sending(tmp_path, f"http://127.0.0.1:{free.getsockname()[1]}/v1/traces")
    assert away.ask(5) < PATIENCE_S
    assert eventually(lambda: told(caplog, "Spans are dropped"))
    assert "refused" in told(caplog, "Spans are dropped")[0]["why"]
    away.app.close()
    assert eventually(lambda: dropped(caplog) == 20), "all of them, at the end at the latest"


@pytest.mark.usefixtures("soon")
def test_a_collector_that_takes_spans_again_is_told_of_with_what_was_lost(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    collector.status = 500
    sending = Sending(tmp_path, collector.url)
    for refused in (1, 2):
        sending.ask(5)
        assert eventually(lambda count=refused: collector.refused >= count)
    collector.status = 200
    sending.ask(1)
    assert eventually(lambda: told(caplog, "Spans are taken again"))
    sending.app.close()
    assert dropped(caplog) + len(collector.spans()) == 44
    assert len(told(caplog, "Spans are dropped")) == 1


@pytest.mark.usefixtures("soon")
def test_a_collector_that_hangs_holds_nobody_up_and_no_more_waits_for_it_than_is_said(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answers.clear()
    sending = Sending(tmp_path, collector.url)
    assert sending.ask(1_200) < PATIENCE_S, "4,800 spans"
    assert [each for each in caplog.records if "Queue full" in each.getMessage()]
    began = time.monotonic()
    sending.app.close()
    assert time.monotonic() - began < FLUSH_S + 1
    assert [each for each in caplog.records if each.getMessage() == "The last spans were not taken in time"]
    collector.answers.set()
    assert eventually(lambda: not [each for each in threading.enumerate() if each.name == LAST_SPANS])
    assert len(collector.spans()) <= 2048 + 4 * 512, "what waited, and what was on its way meanwhile"


def test_a_share_of_requests_is_sampled(collector: Collector) -> None:
    none, all_ = (otlp_tracing(collector.url, headers={}, ratio=ratio, environment="prod") for ratio in (0.0, 1.0))

    def begun(tracing: RequestTracing) -> int:
        from keelway.serve.wire import WireLimits
        from keelway.surfaces.scoring.exchange import HttpCall

        call = HttpCall("POST", "/predict", (), WireLimits())
        return sum(tracing.begin(call) is not None for _ in range(20))

    assert (begun(none), begun(all_)) == (0, 20)
    for tracing in (none, all_):
        tracing.close()


def test_nothing_is_traced_unless_it_is_declared() -> None:
    assert tracing_of(ServingSettings(), environment="prod", root=Path()) is None


@pytest.mark.parametrize(
    "tracing",
    [
        TracingSettings(ratio=1.5),
        *(
            TracingSettings(endpoint=place)
            for place in ("localhost:4318", "http:///v1/traces", "http://[::1/v1/traces")
        ),
        TracingSettings(endpoint="https://shop:golden@collector.example/v1/traces"),
        TracingSettings(endpoint="https://collector.example/v1/traces?api-key=golden"),
        TracingSettings(headers={"x shop": "7"}),
        *(TracingSettings(headers={name: "golden"}) for name in ("Authorization", "x-api-key", "x-honeycomb-team")),
    ],
)
def test_settings_that_are_none_are_refused(tracing: TracingSettings) -> None:
    with pytest.raises(SettingsError, match=r"serving\.tracing") as refused:
        check_serving(ServingSettings(tracing=tracing))
    assert "golden" not in str(refused.value)


def test_headers_that_are_no_secrets_may_be_written_down() -> None:
    headers = {"x-mlflow-experiment-id": "12", "x-scope-orgid": "shop", "authorization": "env:COLLECTOR_LOGIN"}
    check_serving(ServingSettings(tracing=TracingSettings(headers=headers)))


def test_a_missing_extra_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.delitem(sys.modules, "keelway.surfaces.scoring.span_sending", raising=False)
    with pytest.raises(MissingExtraError) as missing:
        otlp_tracing("http://localhost:4318/v1/traces", headers={}, ratio=1.0, environment="prod")
    assert "keelway[otel]" in missing.value.fix
