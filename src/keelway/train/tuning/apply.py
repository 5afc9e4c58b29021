"""The best parameters, put in the place of what a model declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from keelway.project import Estimator, Model
from keelway.train.tuning.record import Tuning


def tuned(model: Model, tunings: Sequence[Tuning]) -> Model:
    """Return a model whose estimators have the best parameters that were found for them."""
    found = {each.estimator: each.parameters for each in tunings}
    estimators = tuple(
        replace(each, parameters={**each.parameters, **found[each.name]})
        if isinstance(each, Estimator) and each.name in found
        else each
        for each in model.estimators
    )
    return replace(model, estimators=estimators) if found else model
