"""What a figure is in each arm by itself, for people who read a difference. Nothing is decided by it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from keelway.deploy.analysis.losses import checked_scores, row_losses
from keelway.deploy.analysis.moments import pooled_theta
from keelway.evaluate import auc_covariance

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from keelway.deploy.analysis.evidence import ArmFigures, Matured, RolloutEvidence
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
    return _quality(figure.kind, arm.matured[figure.name])


def _quantile(values: ArrayLike, quantile: float) -> float | None:
    import numpy as np

    return _finite(float(np.quantile(np.asarray(values, dtype=np.float64), quantile)))


def _quality(kind: str, known: Matured) -> float | None:
    if kind == "roc_auc":
        truth, given = checked_scores(known)
        return _finite(float(auc_covariance(truth, [given])[0][0]))
    mean = float(row_losses(kind, known).mean())
    return _finite(1 - mean if kind == "accuracy" else mean)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
