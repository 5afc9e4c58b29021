"""Writes explanations: for each row the answer, and what each declared feature added to the margin that it is made of.

    {"entity": "00042", "probability": 0.81, "model": "churn", "version": "churn:3", "arm": "stable",
     "method": "tree-shap", "scale": "log-odds", "base": -1.2, "contributions": {"recency_d": 2.3, "plan": 0.35}, "margin": 1.45}

Of several classes, `base`, `margin` and each contribution are objects by class. What was drawn also has `sampling`: the
seed, how many orders, and the standard error of each contribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from keelway.serve.wire.answers import AnswerShape

if TYPE_CHECKING:
    from keelway.serve.explain import AnswerExplanation


def explanation_answers(
    explanations: Sequence[AnswerExplanation], model: str, shape: AnswerShape, names: Sequence[str], *, many: bool
) -> bytes:
    """Return the body of an answer of `/explain`.

    Args:
        names: What the features are called, in the model's order.
        many: Whether the request had several instances.
    """
    told = [_told(each, model, shape, names) for each in explanations]
    return msgspec.json.encode({"explanations": told} if many else told[0])


def _told(explanation: AnswerExplanation, model: str, shape: AnswerShape, names: Sequence[str]) -> Mapping[str, Any]:
    version, explainer, row = explanation.version, explanation.explainer, explanation.row
    several = shape.task == "multiclass"

    def numbers(values: Any) -> Any:
        found = [float(each) for each in values]
        return dict(zip(shape.classes, found, strict=True)) if several else found[0]

    def by_feature(table: Any) -> dict[str, Any]:
        return {name: numbers(values) for name, values in zip(names, table, strict=True)}

    answer = msgspec.json.decode(explanation.value)
    told: dict[str, Any] = {"entity": explanation.entity, shape.output: numbers(answer) if several else answer}
    told |= {"model": model, "version": version.version, "arm": version.arm}
    told |= {"method": explainer.method, "scale": explainer.scale}
    told |= {"base": numbers(row.base), "contributions": by_feature(row.contributions), "margin": numbers(row.margin)}
    if row.errors is not None:
        told["sampling"] = {
            "seed": getattr(explainer, "seed", 0),
            "orders": getattr(explainer, "permutations", 0),
            "errors": by_feature(row.errors),
        }
    return told
