"""The OpenAPI 3.1 document of a server, made from the features of its models: what is taken, and every answer.

What JSON Schema cannot say stands in descriptions: that a tensor has as many elements as its shape, and that columns
have one length. A request that breaks such a rule is refused with 422 like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import keelway
from keelway.serve.wire import WireLimits
from keelway.surfaces.scoring.openapi_bodies import (
    explanation_answer,
    inference_answer,
    inference_request,
    invocation_answer,
    invocation_request,
    named_answer,
    named_request,
)
from keelway.surfaces.scoring.openapi_parts import (
    REFUSALS,
    answered,
    components,
    content,
    page,
    request_headers,
)
from keelway.surfaces.scoring.route import ModelReaders


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model as the document tells it.

    Attributes:
        numbers: Of its versions.
        looks_up: Whether a row may leave its features to the online store.
        explains: Whether its answers are explained.
    """

    readers: ModelReaders
    numbers: list[str]
    looks_up: bool
    explains: bool


def document(models: Mapping[str, ServedModel], *, limits: WireLimits, is_gated: bool) -> dict[str, Any]:
    """Return the document of a server with some models."""
    paths: dict[str, Any] = _pages()
    for name, model in models.items():
        readers = model.readers
        named = _predict(readers, limits, looks_up=model.looks_up)
        if model.explains:
            told_why = _explain(readers, limits, looks_up=model.looks_up)
            if len(models) == 1:
                paths["/explain"] = {"post": {"operationId": "explain", **told_why}}
            paths[f"/models/{name}/explain"] = {"post": {"operationId": f"explain_{name}", **told_why}}
        if len(models) == 1:
            paths["/predict"] = {"post": {"operationId": "predict", **named}}
            paths["/invocations"] = {"post": _invocations(readers, limits)}
        paths[f"/models/{name}/predict"] = {"post": {"operationId": f"predict_{name}", **named}}
        paths |= _inference(name, f"/v2/models/{name}", readers, limits)
        for number in model.numbers:
            place = f"/v2/models/{name}/versions/{number}"
            paths |= _inference(f"{name}_{number}", place, readers, limits)
    told: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Keelway scoring server", "version": keelway.__version__},
        "paths": paths,
        "components": components(is_gated=is_gated),
    }
    if is_gated:
        told["security"] = [{"key": []}, {"bearer": []}]
        for path in paths:
            for operation in paths[path].values():
                if path in {"/healthz", "/readyz"}:
                    operation["security"] = []
                else:
                    operation["responses"]["401"] = REFUSALS["401"]
    return told


def _predict(readers: ModelReaders, limits: WireLimits, *, looks_up: bool) -> dict[str, Any]:
    return {
        "summary": "Answer one row, or up to as many as the limit says.",
        "parameters": request_headers(),
        "requestBody": {"required": True, "content": content(named_request(readers, limits, looks_up=looks_up))},
        "responses": answered(content(named_answer(readers.shape)), refusals=_SCORING),
    }


def _explain(readers: ModelReaders, limits: WireLimits, *, looks_up: bool) -> dict[str, Any]:
    few = replace(limits, rows=limits.explained_rows)
    return {
        "summary": "Tell why one row, or a few, are answered as they are; nothing is logged.",
        "description": "`base` and `contributions` add up to `margin`, of which the answer is made as `scale` says.",
        "parameters": request_headers(),
        "requestBody": {"required": True, "content": content(named_request(readers, few, looks_up=looks_up))},
        "responses": answered(content(explanation_answer(readers)), refusals=(*_SCORING, "501")),
    }


def _invocations(readers: ModelReaders, limits: WireLimits) -> dict[str, Any]:
    return {
        "operationId": "invocations",
        "summary": "Answer what MLflow's scoring server takes; JSON in four layouts, or CSV with a header line.",
        "description": "All columns of `inputs` have one length. CSV is taken too, with the content type text/csv.",
        "parameters": request_headers(),
        "requestBody": {"required": True, "content": content(invocation_request(readers, limits))},
        "responses": answered(content(invocation_answer(readers.shape)), refusals=_SCORING, error="MlflowError"),
    }


def _inference(name: str, place: str, readers: ModelReaders, limits: WireLimits) -> dict[str, Any]:
    ready = {"type": "object", "required": ["name", "ready"], "properties": {"ready": {"type": "boolean"}}}
    metadata = {"type": "object", "required": ["name", "versions", "platform", "inputs", "outputs"]}
    binary = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
    return {
        place: {"get": page(f"metadata_{name}", "The model's tensors.", content(metadata))},
        f"{place}/ready": {
            "get": page(f"ready_{name}", "Whether the model answers.", content(ready), also={"503": content(ready)})
        },
        f"{place}/infer": {
            "post": {
                "operationId": f"infer_{name}",
                "summary": "Answer tensors (Open Inference Protocol).",
                "description": "Every tensor has one element a row, and as many as its shape says. Tensors may follow "
                "the JSON as bytes, with the header Inference-Header-Content-Length.",
                "parameters": request_headers(),
                "requestBody": {"required": True, "content": content(inference_request(readers, limits))},
                "responses": answered(
                    {**content(inference_answer(readers.shape)), "application/octet-stream": binary},
                    refusals=_SCORING,
                    error="InferenceError",
                ),
            }
        },
    }


_SCORING = ("400", "408", "413", "415", "422", "502", "503", "504")


def _pages() -> dict[str, Any]:
    anything = content({"type": "object"})
    text = {"text/plain": {"schema": {"type": "string"}}}
    ready = content({"type": "object", "required": ["ready"], "properties": {"ready": {"type": "boolean"}}})
    pinged = content({"type": "object", "required": ["status"]})
    live = content({"type": "object", "required": ["live"], "properties": {"live": {"const": True}}})
    server = content({"type": "object", "required": ["name", "version", "extensions"]})
    return {
        "/": {"get": page("index", "The models, their traffic and their features.", anything)},
        "/healthz": {"get": page("alive", "Whether the process is alive.", anything)},
        "/readyz": {"get": page("ready", "Whether predictions are answered and logged.", ready, also={"503": ready})},
        "/metrics": {"get": page("metrics", "What was counted, for Prometheus.", text)},
        "/openapi.json": {"get": page("document", "This document.", anything)},
        "/v2": {"get": page("server", "The server (Open Inference Protocol).", server)},
        "/v2/health/live": {"get": page("inference_live", "Whether the process is alive.", live)},
        "/v2/health/ready": {
            "get": page("inference_ready", "Whether all models are ready.", ready, also={"503": ready})
        },
        "/ping": {"get": page("ping", "Whether predictions are answered (MLflow).", pinged, also={"503": pinged})},
        "/health": {"get": page("health", "The same as /ping.", pinged, also={"503": pinged})},
        "/version": {"get": page("version", "Keelway's version.", text)},
    }
