"""Traces of a live server on a collector that is not ours: MLflow's own server takes them by OTLP, and its own client reads them."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra otel")

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from keelway.app.settings_serving import ServingSettings, TracingSettings
from keelway.core import SimulatedClock
from keelway.surfaces.scoring import ScoringApp
from keelway.surfaces.scoring.compose import tracing_of
from keelway.testing.asgi import AsgiClient, route_of
from keelway.testing.mlflow_server import MlflowServer, mlflow_server
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

__all__ = ["mlflow_server"]

EXPERIMENT = "x-mlflow-experiment-id"
"""The header that MLflow asks for: where the traces belong."""
WITHIN_S = 60
CHURN = {"http.request.method": "POST", "url.scheme": "http", "keelway.model": "churn"}
pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def collector(mlflow_server: Callable[[str], MlflowServer]) -> MlflowServer:
    return mlflow_server("traces")


@pytest.fixture
def experiment(collector: MlflowServer, request: pytest.FixtureRequest) -> str:
    made = collector.ask("experiments/create", {"name": request.node.name})
    return str(made["experiment_id"])


@pytest.fixture
def desk(collector: MlflowServer, experiment: str, live: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project whose server sends there every trace whose caller does not say otherwise, five times a second."""
    monkeypatch.setenv("EXPERIMENT_OF_TRACES", experiment)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    with (live.root / "keelway.toml").open("a") as settings:
        settings.write(
            f'\n[serving.tracing]\nendpoint = "{collector.url}/v1/traces"\nratio = 1.0\n'
            f'headers = {{ {EXPERIMENT} = "env:EXPERIMENT_OF_TRACES" }}\n'
        )
    return live


def ask(server: Any, path: str, body: Any, **headers: str) -> int:
    """Send one request and return its status."""
    connection: http.client.HTTPConnection = server.connect()
    told = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request("POST", path, json.dumps(body), told)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def traces(collector: MlflowServer, experiment: str, wanted: int = 1) -> dict[str, Any]:
    """Return the traces that the collector has, by their ids as `traceparent` writes them, once these are enough."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=collector.url)
    deadline = time.monotonic() + WITHIN_S
    while True:
        found = {each.info.trace_id.removeprefix("tr-"): each for each in client.search_traces(locations=[experiment])}
        if len(found) >= wanted:
            return found
        assert time.monotonic() < deadline, f"{len(found)} of {wanted} traces came"
        time.sleep(0.2)


def spans(trace: Any) -> dict[str, Any]:
    return {span.name: span for span in trace.data.spans}


def attributes(span: Any) -> dict[str, Any]:
    """Return what was sent with a span, without what MLflow adds."""
    return {name: value for name, value in span.attributes.items() if not name.startswith("mlflow.")}


def test_a_trace_is_on_the_collector_as_it_was_sent(desk: Any, collector: MlflowServer, experiment: str) -> None:
    server = desk.serve("--workers", "2")
    began_ns = time.time_ns()
    row = desk.rows(1)[0]
    assert ask(server, "/models/churn/predict", {"instances": [row] * 3}) == 200
    ended_ns = time.time_ns()
    assert server.stop() == 0, "which sends the last"
    (trace,) = traces(collector, experiment).values()
    assert trace.info.state == "OK"
    assert (trace.info.tags["service.name"], trace.info.tags["deployment.environment.name"]) == ("keelway", "prod")
    found = spans(trace)
    assert set(found) == {"POST /models/{model}/predict", "decode", "score", "log"}
    whole = found.pop("POST /models/{model}/predict")
    assert whole.parent_id is None
    assert attributes(whole) == CHURN | {
        "http.route": "/models/{model}/predict", "url.path": "/models/churn/predict", "http.response.status_code": 200,
        "keelway.rows": 3, "keelway.version": "churn:1", "keelway.arm": "stable",
    }  # fmt: skip
    assert {span.parent_id for span in found.values()} == {whole.span_id}
    assert began_ns <= whole.start_time_ns < whole.end_time_ns <= ended_ns
    at = [whole.start_time_ns]
    for name in ("decode", "score", "log"):
        at += [found[name].start_time_ns, found[name].end_time_ns]
    assert at == sorted(at)
    assert at[-1] <= whole.end_time_ns
    assert row["entity"] not in str([trace.info, *map(str, trace.data.spans)])


def test_a_trace_of_a_caller_holds_what_it_spent_with_us(desk: Any, collector: MlflowServer, experiment: str) -> None:
    shop = TracerProvider(shutdown_on_exit=False)
    sender = OTLPSpanExporter(endpoint=f"{collector.url}/v1/traces", headers={EXPERIMENT: experiment})
    shop.add_span_processor(SimpleSpanProcessor(sender))
    server, row, carrier = desk.serve(), desk.rows(1)[0], dict[str, str]()
    with shop.get_tracer("shop").start_as_current_span("checkout") as checkout:
        TraceContextTextMapPropagator().inject(carrier)
        assert ask(server, "/predict", row, **carrier) == 200
    shop.shutdown()
    left_out = f"00-{'1' * 32}-{'2' * 16}-00"
    assert ask(server, "/predict", row, traceparent=left_out) == 200, "whose caller wants no trace"
    server.stop()
    ((named, trace),) = traces(collector, experiment).items()
    found = spans(trace)
    assert named == f"{checkout.get_span_context().trace_id:032x}"
    assert trace.info.state == "OK"
    assert set(found) == {"checkout", "POST /predict", "decode", "score", "log"}
    assert found["POST /predict"].parent_id == found["checkout"].span_id
    assert found["checkout"].start_time_ns < found["POST /predict"].start_time_ns
    assert found["POST /predict"].end_time_ns < found["checkout"].end_time_ns


def test_a_request_that_fails_is_an_error_there_and_one_that_is_refused_is_none(
    collector: MlflowServer, experiment: str, tmp_path: Path
) -> None:
    (tmp_path / "experiment").write_text(f"{experiment}\n")
    traffic, scorer = ServedTraffic(tmp_path), FixedScorer(0.25)
    traffic.send(churn_1=100)
    settings = TracingSettings(
        endpoint=f"{collector.url}/v1/traces", ratio=1.0, headers={EXPERIMENT: "file:experiment"}
    )
    tracing = tracing_of(ServingSettings(tracing=settings), environment="prod", root=tmp_path)
    models = {"churn": route_of(traffic, ScorerShelf(churn_1=scorer))}
    app = ScoringApp(models, clock=SimulatedClock(NOW), tracing=tracing)
    scorer.answer = float("nan")
    asked = {"entity": "ana", "features": {"recency_d": 12.5, "plan": "gold"}}
    assert AsgiClient(app).post("/predict", asked).status == 502
    assert AsgiClient(app).post("/predict", b"{").status == 400
    app.close()
    told = traces(collector, experiment, 2).values()
    by_status = {spans(each)["POST /predict"].attributes["http.response.status_code"]: each for each in told}
    failed, refused = by_status[502], by_status[400]
    assert (failed.info.state, refused.info.state) == ("ERROR", "OK")
    whole = spans(failed)["POST /predict"]
    assert (whole.status.status_code, whole.attributes["error.type"]) == ("ERROR", "502")
    assert spans(failed)["score"].status.status_code == "ERROR"
    assert spans(refused)["POST /predict"].status.status_code == "UNSET"
    assert spans(refused)["decode"].status.status_code == "ERROR", "what could not be read"


def test_requests_go_on_while_the_collector_is_away_and_their_traces_once_it_is_back(
    desk: Any, collector: MlflowServer, experiment: str
) -> None:
    server, row = desk.serve(), desk.rows(1)[0]
    assert ask(server, "/predict", row) == 200
    before = set(traces(collector, experiment))
    collector.stop()
    try:
        for _ in range(20):
            assert ask(server, "/predict", row) == 200
            time.sleep(0.2)
    finally:
        collector.start()
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    assert ask(server, "/predict", row, traceparent=f"00-{trace}-{parent}-01") == 200
    server.process.terminate()
    said = server.process.communicate(timeout=WITHIN_S)[1].splitlines()
    lost = [line for line in said if "Spans are dropped" in line]
    assert "refused" in lost[0]
    assert 1 <= len(lost) <= 4, "a line every ten seconds at most"
    assert len([line for line in said if "Spans are taken again" in line]) == 1
    after = traces(collector, experiment)
    assert before | {trace} <= set(after)
    assert spans(after[trace])["POST /predict"].parent_id == parent
    assert sum(len(each.data.spans) for each in after.values()) + dropped(said) >= 22 * 4, "the others are counted"


def dropped(said: list[str]) -> int:
    """Return how many spans the server says it dropped."""
    return sum(int(found[1]) for line in said if (found := re.search(r"\bdropped=(\d+)", line)))
