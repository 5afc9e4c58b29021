"""What a figure is in each arm by itself, for people who read a difference. Nothing is decided by it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from keelway.deploy.analysis.moments import pooled_theta
from keelway.evaluate import auc_covariance, log_losses, squared_errors

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from keelway.deploy.analysis.evidence import ArmFigures, RolloutEvidence
    from keelway.project import Guardrail, Metric

Levels = tuple[float | None, float | None]
UNKNOWN: Levels = (None, None)


def levels_of(figure: Guardrail | Metric, evidence: RolloutEvidence) -> Levels:
    """Return a figure of the control and of the treatment; None of a distribution, and where it is not finite.

    Both arms must have passed `harm_of`.
    """
    if figure.kind == "distribution":
        return UNKNOWN
    return _level(figure, evidence.control), _level(figure, evidence.treatment)


def cuped_part(figure: Guardrail | Metric, evidence: RolloutEvidence) -> float | None:
    """Return the part of a mean's variance that the covariate takes out; None where none was known."""
    if figure.kind != "mean":
        return None
    arms = [each.moments[figure.name] for each in (evidence.control, evidence.treatment)]
    theta = pooled_theta(*arms)
    before = sum(each.squares for each in arms)
    if not theta or not before > 0:
        return None
    return _finite(1 - sum(each.adjusted(theta)[1] * (each.count - 1) for each in arms) / before)


def _level(figure: Guardrail | Metric, arm: ArmFigures) -> float | None:
    if figure.kind == "rate":
        return _finite(arm.tallies[figure.name].rate)
    if figure.kind == "mean":
        return _finite(arm.moments[figure.name].mean)
    if figure.kind == "quantile":
        return _quantile(arm.values[figure.name], figure.quantile)
    known = arm.matured[figure.name]
    return _quality(figure.kind, known.labels, known.scores)


def _quantile(values: ArrayLike, quantile: float) -> float | None:
    import numpy as np

    return _finite(float(np.quantile(np.asarray(values, dtype=np.float64), quantile)))


def _quality(kind: str, labels: ArrayLike, scores: ArrayLike) -> float | None:
    import numpy as np

    truth, given = (np.asarray(each, dtype=np.float64) for each in (labels, scores))
    if kind == "roc_auc":
        return _finite(float(auc_covariance(truth, [given])[0][0]))
    losses = log_losses if kind == "log_loss" else squared_errors
    return _finite(float(losses(truth, given).mean()))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
