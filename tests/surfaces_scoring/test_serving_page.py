"""Every example of docs/serving.md is sent, and answered as the page says; every header, status and route is told."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from keelway.app.settings_requests import CallerSettings, RequestSettings, check_requests
from keelway.core import SimulatedClock
from keelway.serve import Explainers, LoadedVersion, RowExplainer, SampledExplainer
from keelway.surfaces.scoring import ScoringApp
from keelway.testing.asgi import AsgiClient, route_of
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text("utf8")
EXAMPLE = re.compile(r"```http\nPOST (\S+)\n(.*)\n\n(\d+)\n(.*)\n```")
EXAMPLES = EXAMPLE.findall(PAGE)


def sampled(version: LoadedVersion) -> RowExplainer:
    return SampledExplainer(version.scorer, [[1.0, "free"]])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> AsgiClient:
    traffic = ServedTraffic(tmp_path_factory.mktemp("page"))
    traffic.send(churn_1=100)
    route = route_of(traffic, ScorerShelf(churn_1=FixedScorer(0.25)), explainers=Explainers(sampled))
    models = {"churn": route}
    return AsgiClient(ScoringApp(models, clock=SimulatedClock(NOW)))


def holds(told: Any, found: Any) -> bool:
    """Return whether an answer holds everything that the page shows of it; `...` is anything."""
    if isinstance(told, dict):
        return isinstance(found, dict) and all(name in found and holds(told[name], found[name]) for name in told)
    if isinstance(told, list):
        return len(told) == len(found) and all(map(holds, told, found))
    return bool(told in ("...", found))


@pytest.mark.parametrize(
    ("path", "body", "status", "answer"), EXAMPLES, ids=[f"{each[0]} {each[2]}" for each in EXAMPLES]
)
def test_an_example_is_answered_as_told(client: AsgiClient, path: str, body: str, status: str, answer: str) -> None:
    found = client.post(path, body.encode())
    assert found.status == int(status)
    assert holds(json.loads(answer), found.json), found.json


def test_there_are_examples_of_every_protocol() -> None:
    assert len(EXAMPLES) == PAGE.count("```http") >= 6
    assert {each[0].split("/")[1] for each in EXAMPLES} == {"predict", "explain", "models", "v2", "invocations"}


def test_every_route_status_and_header_of_the_document_is_told(client: AsgiClient) -> None:
    document = client.get("/openapi.json").json
    for path, operations in document["paths"].items():
        named = path.replace("/churn", "/MODEL").replace("/versions/1", "/versions/NUMBER")
        assert f"`{named}`" in PAGE or f"POST {named}`" in PAGE or f"GET {named}`" in PAGE or "/versions/" in named, (
            path
        )
        for operation in operations.values():
            for status in set(operation["responses"]) - {"200"}:
                assert re.search(rf"^\| {status} \|", PAGE, re.MULTILINE), status
            for header in operation.get("parameters", ()):
                assert f"`{header['name']}`" in PAGE


def test_the_settings_of_the_page_are_settings() -> None:
    text = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert text is not None
    callers = msgspec.convert(tomllib.loads(text[1])["callers"], CallerSettings)
    check_requests(RequestSettings(), callers)
    defaults = RequestSettings()
    for number in (defaults.max_bytes, defaults.max_rows, defaults.max_explained_rows):
        assert f"{number:,}" in PAGE
