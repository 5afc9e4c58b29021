"""What a model declares about its evaluation, checked before anything is read."""

from __future__ import annotations

from keelway.errors import TrainingError
from keelway.evaluate.metrics import METRICS, is_known
from keelway.project import Model


def check_metrics(model: Model) -> None:
    """Refuse metrics that are unknown to the model's task, and judgements that it has no decisions for.

    Raises:
        TrainingError: A metric is unknown, or costs or sensitive columns are declared for a task without two decisions.
    """
    if unknown := [name for name in model.metrics if not is_known(name, model.task)]:
        raise TrainingError(
            f"Model {model.name!r} declares unknown metrics",
            expected=f"some of {', '.join(METRICS[model.task])}",
            found=", ".join(unknown),
            fix="Correct Model(metrics=...).",
        )
    declared = model.evaluation
    if model.task != "binary" and (declared.costs is not None or declared.sensitive):
        raise TrainingError(
            f"Model {model.name!r} makes no decision that costs or fairness could be judged by",
            expected="task='binary' for Evaluation(costs=..., sensitive=...)",
            found=model.task,
            fix="Name sensitive columns among Evaluation(slices=...), which shows the first metric for each group.",
        )
