"""What a serving process says of itself: a line an event, as JSON or text, and nothing in it that names a person."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keelway.app.settings_serving import ServingSettings
from keelway.core import SimulatedClock
from keelway.surfaces.scoring import ScoringApp
from keelway.surfaces.scoring.logs import EventLines, LogForm, Seldom, configure_logs, fields
from keelway.testing.asgi import AsgiClient, route_of
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

GOOD: dict[str, Any] = {"entity": "ana@example.com", "features": {"recency_d": 12.5, "plan": "golden-secret"}}


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything that is written, with the loggers as they were afterwards."""
    stream = io.StringIO()
    root, names = logging.getLogger(), ("keelway", "keelway.surfaces.scoring.logs")
    before, levels = list(root.handlers), [logging.getLogger(name).level for name in names]
    yield stream
    root.handlers[:] = before
    for name, level in zip(names, levels, strict=True):
        logging.getLogger(name).setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def client_of(folder: Path, scorer: FixedScorer | None = None) -> tuple[AsgiClient, ServedTraffic]:
    traffic = ServedTraffic(folder)
    traffic.send(churn_1=100)
    shelf = ScorerShelf(churn_1=scorer or FixedScorer(0.25), churn_2=FixedScorer(0.75))
    return AsgiClient(ScoringApp({"churn": route_of(traffic, shelf)}, clock=SimulatedClock(NOW))), traffic


def test_a_request_is_one_line_without_entity_and_features(tmp_path: Path, written: io.StringIO) -> None:
    configure_logs("json", requests=True, stream=written)
    client, _ = client_of(tmp_path)
    client.post("/predict", {"instances": [GOOD, GOOD]}, x_request_id="r-1")
    client.post("/predict", GOOD | {"features": {}})
    first, second = [line for line in lines(written) if line["message"] == "Request answered"]
    assert first["duration_ms"] >= 0
    assert first | {"at": "", "duration_ms": 0} == {
        "at": "", "level": "debug", "logger": "keelway.surfaces.scoring.logs", "message": "Request answered",
        "request_id": "r-1", "method": "POST", "model": "churn", "status": 200, "duration_ms": 0, "rows": 2,
        "version": "churn:1", "arm": "stable",
    }  # fmt: skip
    assert second["status"] == 422
    assert "version" not in second
    assert "golden" not in written.getvalue()
    assert "ana" not in written.getvalue()


def test_an_id_that_a_caller_made_of_a_person_is_masked(tmp_path: Path, written: io.StringIO) -> None:
    configure_logs("json", requests=True, stream=written)
    client, _ = client_of(tmp_path)
    client.post("/predict", GOOD, x_request_id="ana@example.com")
    assert lines(written)[-1]["request_id"] == "[e-mail]"


def test_requests_have_no_lines_unless_that_is_asked_for(tmp_path: Path, written: io.StringIO) -> None:
    configure_logs("json", requests=False, stream=written)
    client, _ = client_of(tmp_path)
    client.post("/predict", GOOD)
    assert lines(written) == []


def test_another_deployment_is_an_event(tmp_path: Path, written: io.StringIO) -> None:
    configure_logs("json", requests=False, stream=written)
    client, traffic = client_of(tmp_path)
    traffic.send(churn_1=60, churn_2=40)
    client.app.refresh()
    (line,) = lines(written)
    assert (line["level"], line["message"]) == (
        "info", "churn is answered by another deployment: churn:1 60 %, churn:2 40 %",
    )  # fmt: skip


def test_answers_that_are_owed_are_told_once_in_a_while(tmp_path: Path, written: io.StringIO) -> None:
    scorer = FixedScorer(0.25)
    client, _ = client_of(tmp_path, scorer)
    configure_logs("json", requests=False, stream=written)
    scorer.answer = float("nan")
    for _ in range(3):
        assert client.post("/predict", GOOD).status == 502
    (line,) = lines(written)
    assert (line["level"], line["model"], line["status"], line["requests"]) == ("warning", "churn", 502, 1)
    assert "churn:1" in line["message"]


def test_what_is_held_back_is_counted_in_the_next_line() -> None:
    seldom = Seldom(every_s=10.0)
    assert [seldom.passes(now) for now in (0.0, 1.0, 9.9, 10.0, 11.0, 25.0)] == [1, 0, 0, 3, 0, 2]


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_comes_with_its_traceback_scrubbed(form: LogForm, written: io.StringIO) -> None:
    configure_logs(form, requests=False, stream=written)
    try:
        raise ValueError("no ana@example.com here")
    except ValueError:
        logging.getLogger("keelway.any").exception("A request failed", extra=fields(request_id="r-2"))
    text = written.getvalue()
    assert "ValueError: no [e-mail] here" in text
    assert "ana@" not in text
    if form == "json":
        (line,) = lines(written)
        assert (line["level"], line["request_id"]) == ("error", "r-2")
    else:
        assert ' error A request failed request_id="r-2"\n' in text


def test_lines_of_other_libraries_have_the_same_form(written: io.StringIO) -> None:
    configure_logs("json", requests=False, stream=written)
    configure_logs("json", requests=False, stream=written)  # once more is not twice
    logging.getLogger("some.library").warning("Connection lost to %s", "203.0.113.9")
    (line,) = lines(written)
    assert (line["logger"], line["message"]) == ("some.library", "Connection lost to [ip]")


def test_a_line_with_any_text_stays_one_line() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, 'a "b"\nc', None, None)
    line = EventLines("json").format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == 'a "b"\nc'


def test_logs_are_text_and_without_requests_by_default() -> None:
    assert (ServingSettings().log, ServingSettings().log_requests) == ("text", False)
