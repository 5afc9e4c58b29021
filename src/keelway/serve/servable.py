"""Which models can be served: those whose requests and answers the serving path knows."""

from __future__ import annotations

from collections.abc import Sequence

from keelway.features import FeatureColumn
from keelway.project import Task

SERVED_KINDS = ("numeric", "categorical")


def check_servable(name: str, task: Task, features: Sequence[FeatureColumn]) -> None:
    """Refuse a model version that the serving path cannot answer for.

    Raises:
        NotImplementedError: It is not binary, or reads texts or arrays.
    """
    if task != "binary":
        raise NotImplementedError(f"Serving is built for binary models; {name} is {task}.")
    strange = [f"{each.name} ({each.kind})" for each in features if each.kind not in SERVED_KINDS]
    if strange:
        raise NotImplementedError(
            f"Serving is built for numbers and categories; {name} also reads {', '.join(strange)}."
        )
