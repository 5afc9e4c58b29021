"""Which paths ask for predictions, of which model, in which protocol; every other path is a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import NamedTuple

from keelway.errors import BadRequestError
from keelway.serve import LoadedDeployment
from keelway.surfaces.scoring.asks import (
    AskedExplanations,
    AskedRows,
    ask_explanations,
    ask_inference,
    ask_invocations,
    ask_named,
)
from keelway.surfaces.scoring.exchange import HttpCall
from keelway.surfaces.scoring.problem import printable, unknown_model
from keelway.surfaces.scoring.route import ModelRoute

Ask = Callable[[HttpCall, ModelRoute, LoadedDeployment, datetime], AskedRows | AskedExplanations]

FIXED: dict[str, Ask] = {"/predict": ask_named, "/invocations": ask_invocations, "/explain": ask_explanations}
"""How the paths that name no model ask; they answer where there is exactly one."""


class Wanted(NamedTuple):
    """What a path asks for.

    Attributes:
        ask: How its protocol asks.
        route: The model that is asked.
        number: The version that alone may answer; empty for any.
    """

    ask: Ask
    route: ModelRoute
    number: str = ""


class PredictionPaths:
    """The paths that ask for predictions of some models.

    Attributes:
        known: What those ask for that leave the version to the deployment.
    """

    def __init__(self, models: Mapping[str, ModelRoute]) -> None:
        self._models = models
        self.known: dict[str, Wanted] = {}
        if len(models) == 1:
            (only,) = models.values()
            self.known = {path: Wanted(ask, only) for path, ask in FIXED.items()}
        for name, route in models.items():
            self.known[f"/models/{name}/predict"] = Wanted(ask_named, route)
            self.known[f"/models/{name}/explain"] = Wanted(ask_explanations, route)
            self.known[f"/v2/models/{name}/infer"] = Wanted(ask_inference, route)

    def wanted(self, path: str) -> Wanted | None:
        """Return what a path asks for, or None where it is a page.

        Raises:
            BadRequestError: It asks for a model that is not served here, or for none where there are several (404).
        """
        found = self.known.get(path)
        if found is not None:
            return found
        if path in FIXED:
            raise BadRequestError(
                "Several models are served here",
                expected=" or ".join(f"/models/{name}/predict" for name in sorted(self._models)),
                found=printable(path),
                status=HTTPStatus.NOT_FOUND,
            )
        match path.split("/"):
            case ["", "v2", "models", model, "versions", number, "infer"] if model in self._models:
                return Wanted(ask_inference, self._models[model], number or "none")
            case (
                ["", "models", model, "predict" | "explain"]
                | ["", "v2", "models", model, "infer"]
                | ["", "v2", "models", model, "versions", _, "infer"]
            ):
                raise unknown_model(self._models, model)
        return None
