"""Everything that is read and not predicted: health, metrics, metadata, the schema and the document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

import keelway
from keelway.core import VersionName, plain
from keelway.errors import BadRequestError
from keelway.serve.wire import WireLimits, inference_metadata
from keelway.surfaces.scoring.exchange import HttpCall, Reply
from keelway.surfaces.scoring.openapi import ServedModel, document
from keelway.surfaces.scoring.problem import NotAllowedError, printable, unknown_model
from keelway.surfaces.scoring.route import ModelRoute, version_numbers

TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
PLAIN = (b"content-type", b"text/plain; charset=utf-8")
EXTENSIONS = ["binary_tensor_data"]

Page = Callable[[], Reply]


class Pages:
    """Answers GET and HEAD."""

    def __init__(self, models: Mapping[str, ModelRoute], *, limits: WireLimits, is_gated: bool) -> None:
        self._models = models
        self._limits = limits
        self._is_gated = is_gated
        self._fixed: dict[str, Page] = {
            "/": self._index,
            "/healthz": lambda: Reply(HTTPStatus.OK, b'{"status":"alive"}'),
            "/readyz": self._ready,
            "/metrics": self._metrics,
            "/openapi.json": self._document,
            "/v2": self._server,
            "/v2/health/live": lambda: Reply(HTTPStatus.OK, b'{"live":true}'),
            "/v2/health/ready": self._inference_ready,
            "/ping": self._ping,
            "/health": self._ping,
            "/version": lambda: Reply(HTTPStatus.OK, keelway.__version__.encode(), (PLAIN,)),
        }

    def reply(self, call: HttpCall) -> Reply:
        """Return a page.

        Raises:
            BadRequestError: Nothing is there (404), or only something that is read (405).
        """
        path = call.path.rstrip("/") if call.path.startswith("/v2") else call.path
        page = self._fixed.get(path) or self._of_model(path)
        if page is None:
            raise BadRequestError(
                "Nothing is here",
                expected="POST /predict, /v2/models/MODEL/infer or /invocations; / tells the rest",
                found=f"{printable(call.method)} {printable(call.path)}",
                status=HTTPStatus.NOT_FOUND,
            )
        if call.method not in {"GET", "HEAD"}:
            raise NotAllowedError(call, "GET, HEAD")
        return page()

    def _of_model(self, path: str) -> Page | None:
        """Return the page of a model: what it is, or whether it is ready."""
        match path.split("/"):
            case ["", "v2", "models", model, *rest]:
                number = ""
                if len(rest) >= 2 and rest[0] == "versions":
                    number, rest = rest[1] or "none", rest[2:]
                if rest == ["ready"]:
                    return lambda: self._model_ready(model, number)
                return (lambda: self._model(model, number)) if not rest else None
        return None

    def _route(self, model: str) -> ModelRoute:
        found = self._models.get(model)
        if found is None:
            raise unknown_model(self._models, model)
        return found

    def _model(self, model: str, number: str) -> Reply:
        route = self._route(model)
        loaded = route.router.loaded
        if number:
            loaded = route.only(loaded, number)
        readers = route.readers(loaded, self._limits)
        return Reply(HTTPStatus.OK, inference_metadata(model, version_numbers(loaded), readers.features, readers.shape))

    def _model_ready(self, model: str, number: str) -> Reply:
        route = self._route(model)
        if number:
            route.only(route.router.loaded, number)
        ready = bool(route.log.healthy)
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Reply(status, msgspec.json.encode({"name": model, "ready": ready}))

    @staticmethod
    def _server() -> Reply:
        told = {"name": "keelway", "version": keelway.__version__, "extensions": EXTENSIONS}
        return Reply(HTTPStatus.OK, msgspec.json.encode(told))

    def _problems(self) -> list[str]:
        return [
            "predictions cannot be logged" if len(self._models) == 1 else f"predictions of {name} cannot be logged"
            for name, route in self._models.items()
            if not route.log.healthy
        ]

    def _inference_ready(self) -> Reply:
        ready = not self._problems()
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Reply(status, b'{"ready":true}' if ready else b'{"ready":false}')

    def _ping(self) -> Reply:
        """Answer a ping of MLflow's clients, which look at nothing but the status."""
        if self._problems():
            return Reply(HTTPStatus.SERVICE_UNAVAILABLE, b'{"status":"not ready"}')
        return Reply(HTTPStatus.OK, b'{"status":"ready"}')

    def _ready(self) -> Reply:
        problems = self._problems()
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        serving: dict[VersionName, int] = {}
        waiting: list[str] = []
        for route in self._models.values():
            serving.update(route.router.loaded.deployment.traffic)
            waiting += [text for text in (route.router.problem, route.log.seal_error) if text]
        told = {"ready": not problems, "problems": problems, "serving": serving, "waiting": waiting}
        return Reply(status, msgspec.json.encode(told))

    def _metrics(self) -> Reply:
        """Return what all models counted; those that share their families are told once."""
        texts = {id(route.metrics.registry): route.metrics for route in self._models.values()}
        return Reply(HTTPStatus.OK, b"".join(metrics.text() for metrics in texts.values()), (TEXT,))

    def _index(self) -> Reply:
        told = [self._told(route) for route in self._models.values()]
        return Reply(HTTPStatus.OK, msgspec.json.encode(told[0] if len(told) == 1 else {"models": told}))

    @staticmethod
    def _told(route: ModelRoute) -> dict[str, Any]:
        loaded = route.router.loaded
        return {
            "model": loaded.deployment.model,
            "environment": loaded.deployment.environment,
            "traffic": loaded.deployment.traffic,
            "features": [plain(feature) for feature in loaded.stable.scorer.features],
            "problem": route.router.problem,
        }

    def _document(self) -> Reply:
        models = {}
        for name, route in self._models.items():
            loaded = route.router.loaded
            readers = route.readers(loaded, self._limits)
            models[name] = ServedModel(readers, version_numbers(loaded), route.looks_up, route.explains)
        return Reply(HTTPStatus.OK, msgspec.json.encode(document(models, limits=self._limits, is_gated=self._is_gated)))
