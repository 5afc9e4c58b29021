"""How much worse the treatment is than the control, by each kind of figure, with evidence that holds at every look.

A harm is positive where the treatment is worse. `log_above` and `log_below` are log e-values: that the harm is above a
threshold, or below it, is shown at level alpha where they exceed log(1 / alpha).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from keelway.core import filled_bins, psi, psi_null_quantile
from keelway.deploy.analysis.class_drift import ClassDriftHarm
from keelway.deploy.analysis.drift import log_unlike
from keelway.deploy.analysis.evidence import ArmFigures, Matured, RolloutEvidence
from keelway.deploy.analysis.losses import checked_scores, row_losses
from keelway.deploy.analysis.moments import moments_of
from keelway.deploy.analysis.quantiles import log_slower, ratio_bound, sorted_values
from keelway.deploy.analysis.rates import RateCounts, excess_bound, log_excess
from keelway.deploy.analysis.sequences import FEWEST, Contrast, mean_gap
from keelway.errors import MissingRecordError, UsageError
from keelway.evaluate import auc_covariance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from keelway.project import Guardrail, Metric

    Numbers = NDArray[np.float64]

Figure = TypeVar("Figure")
Side = Literal["low", "high"]
FEWEST_OF_A_CLASS = 20
"""DeLong's variance is not to be relied on below so many labels of either class in an arm."""


class ArmHarm(Protocol):
    """How much worse the treatment is, as far as is known."""

    def estimate(self) -> float:
        """Return the harm as it looks now."""
        ...

    def log_above(self, threshold: float, *, alpha: float) -> float:
        """Return the log e-value against "the harm is at most the threshold"."""
        ...

    def log_below(self, threshold: float, *, alpha: float) -> float:
        """Return the log e-value against "the harm is at least the threshold"."""
        ...

    def end(self, side: Side, *, alpha: float) -> float:
        """Return one end of the harm, which the truth is ever beyond with probability at most alpha."""
        ...


@dataclass(frozen=True, slots=True)
class RateHarm:
    """The excess of a rate; exact."""

    worse: RateCounts
    other: RateCounts
    planned: tuple[float, float]

    def estimate(self) -> float:
        """Return the difference of the rates."""
        return self.worse.rate - self.other.rate

    def log_above(self, threshold: float, *, alpha: float) -> float:
        """Return how sure it is that the excess is above the threshold."""
        one, two = (self.worse.count, self.worse.rows), (self.other.count, self.other.rows)
        return float(log_excess(one, two, threshold, planned=self.planned, alpha=alpha))

    def log_below(self, threshold: float, *, alpha: float) -> float:
        """Return how sure it is that the excess is below the threshold."""
        return RateHarm(self.other, self.worse, self.planned[::-1]).log_above(-threshold, alpha=alpha)

    def end(self, side: Side, *, alpha: float) -> float:
        """Return one end of the excess."""
        return excess_bound(self.worse, self.other, alpha=alpha, planned=self.planned, side=side)


@dataclass(frozen=True, slots=True)
class GapHarm:
    """A difference whose error is nearly normal."""

    gap: Contrast

    def estimate(self) -> float:
        """Return the difference."""
        return self.gap.value

    def log_above(self, threshold: float, *, alpha: float) -> float:
        """Return how sure it is that the difference is above the threshold."""
        return self.gap.log_evidence(threshold, alpha=alpha)

    def log_below(self, threshold: float, *, alpha: float) -> float:
        """Return how sure it is that the difference is below the threshold."""
        return replace(self.gap, value=-self.gap.value).log_evidence(-threshold, alpha=alpha)

    def end(self, side: Side, *, alpha: float) -> float:
        """Return one end of the difference."""
        found = self.gap.interval(level=1 - alpha, sides=1)
        return found.low if side == "low" else found.high


@dataclass(frozen=True, slots=True)
class QuantileHarm:
    """By what part of the other arm's a quantile is larger; exact. Values are ascending."""

    worse: Numbers
    other: Numbers
    quantile: float
    planned: tuple[float, float]

    def estimate(self) -> float:
        """Return the ratio of the quantiles, less 1."""
        import numpy as np

        one, two = (float(np.quantile(each, self.quantile)) for each in (self.worse, self.other))
        return one / two - 1

    def log_above(self, threshold: float, *, alpha: float) -> float:
        """Return how sure it is that the ratio is above the threshold."""
        return log_slower(
            self.worse, self.other, 1 + threshold, quantile=self.quantile, planned=self.planned, alpha=alpha
        )

    def log_below(self, threshold: float, *, alpha: float) -> float:
        """Return how sure it is that the ratio is below the threshold."""
        if threshold <= -1:
            return 0.0
        ratio = 1 / (1 + threshold)
        return log_slower(
            self.other, self.worse, ratio, quantile=self.quantile, planned=self.planned[::-1], alpha=alpha
        )

    def end(self, side: Side, *, alpha: float) -> float:
        """Return one end of the ratio, less 1."""
        pair = self.worse, self.other
        return ratio_bound(*pair, quantile=self.quantile, alpha=alpha, planned=self.planned, side=side) - 1


@dataclass(frozen=True, slots=True)
class DriftHarm:
    """How far apart the predictions of the arms are, as PSI of the treatment against the control."""

    treatment: tuple[float, ...]
    control: tuple[float, ...]
    share: float
    planned: float

    def estimate(self) -> float:
        """Return the PSI."""
        return psi(self.control, self.treatment)

    def log_above(self, threshold: float, *, alpha: float) -> float:
        """Return how sure it is that the arms differ, where they look farther apart than the threshold; else 0."""
        if not self.estimate() > threshold:
            return 0.0
        return log_unlike(self.treatment, self.control, share=self.share, planned=self.planned, alpha=alpha)

    def log_below(self, threshold: float, *, alpha: float) -> float:
        """Return infinity where PSI is below, and chance alone would not bring it there; else 0."""
        return math.inf if self.estimate() < threshold and self.chance(1 - alpha) < threshold else 0.0

    def end(self, side: Side, *, alpha: float) -> float:  # noqa: ARG002 - the port's
        """Return 0 or infinity: PSI has no confidence sequence here."""
        return 0.0 if side == "low" else math.inf

    def chance(self, level: float) -> float:
        """Return how far chance alone brings PSI at one look, with so many rows."""
        bins = filled_bins(self.control, self.treatment)
        return psi_null_quantile(sum(self.control), sum(self.treatment), bins, level=level)


def harm_of(figure: Guardrail | Metric, evidence: RolloutEvidence, *, planned: float) -> ArmHarm | str:
    """Return the harm by one figure, or in words why it is too early to tell.

    Args:
        figure: What is looked at.
        evidence: Both arms.
        planned: Rows of the treatment about which the tests are best; the control's follow from the shares.

    Raises:
        MissingRecordError: The figure is not in the evidence.
        UsageError: A value is NaN or infinite, or the arms' figures do not fit together.
    """
    arms, share = (evidence.treatment, evidence.control), evidence.share
    rows = planned, planned * (1 - share) / share
    if not figure.higher_is_worse and figure.kind != "distribution":
        arms, rows = arms[::-1], rows[::-1]
    if figure.kind == "rate":
        return _rate(figure.name, arms, rows)
    if figure.kind == "mean":
        one, two = (_of(each.moments, figure.name, each) for each in arms)
        return _early(min(one.count, two.count), FEWEST) or GapHarm(mean_gap(one, two, planned=rows))
    if figure.kind == "quantile":
        return _quantile(figure.name, arms, rows, figure.quantile)
    if figure.kind == "distribution":
        return _drift(figure.name, arms, share, sum(rows))
    known = [_of(each.matured, figure.name, each) for each in (evidence.treatment, evidence.control)]
    return _quality(figure.kind, known, (planned, planned * (1 - share) / share))


def _rate(name: str, arms: tuple[ArmFigures, ...], rows: tuple[float, ...]) -> ArmHarm | str:
    one, two = (_of(each.tallies, name, each) for each in arms)
    return _early(min(one.rows, two.rows), 1) or RateHarm(one, two, (rows[0], rows[1]))


def _quantile(name: str, arms: tuple[ArmFigures, ...], rows: tuple[float, ...], quantile: float) -> ArmHarm | str:
    one, two = (sorted_values(_of(each.values, name, each)) for each in arms)
    for values in (one, two):
        if len(values) and not values[0] > 0:
            raise UsageError(f"A quantile of {name} has no ratio", expected="values above 0", found=str(values[0]))
    return _early(min(len(one), len(two)), 1) or QuantileHarm(one, two, quantile, (rows[0], rows[1]))


def _drift(name: str, arms: tuple[ArmFigures, ...], share: float, planned: float) -> ArmHarm | str:
    if any(name in each.classes for each in arms):
        tried, used = (_of(each.classes, name, each) for each in arms)
        return _early(min(tried.rows, used.rows), 1) or ClassDriftHarm(tried, used, share, planned)
    one, two = (tuple(map(float, _of(each.histograms, name, each))) for each in arms)
    if len(one) != len(two) or not all(count >= 0 and math.isfinite(count) for count in (*one, *two)):
        raise UsageError(
            f"The histograms of {name} do not fit", expected="counts in the same bins", found=str((one, two))
        )
    return _early(min(sum(one), sum(two)), 1) or DriftHarm(one, two, share, planned)


def _quality(kind: str, known: list[Matured], rows: tuple[float, float]) -> ArmHarm | str:
    """Return how much worse the treatment's answers turned out, on the labels that have matured."""
    if kind == "roc_auc":
        return _area(tuple(checked_scores(each) for each in known), rows)
    losses = [row_losses(kind, each) for each in known]
    if kind == "accuracy":
        wrong, other = (RateCounts(int(each.sum()), len(each)) for each in losses)
        return _early(min(wrong.rows, other.rows), 1) or RateHarm(wrong, other, rows)
    one, two = (moments_of(each) for each in losses)
    return _early(min(one.count, two.count), FEWEST) or GapHarm(mean_gap(one, two, planned=rows))


def _area(arms: tuple[tuple[Numbers, Numbers], ...], rows: tuple[float, float]) -> ArmHarm | str:
    """Return by how much the treatment's AUC is below the control's; the arms have different rows, so errors add up."""
    fewest = min(int(min(truth.sum(), len(truth) - truth.sum())) for truth, _ in arms)
    if fewest < FEWEST_OF_A_CLASS:
        return f"{fewest} labels of the rarer class have matured, {FEWEST_OF_A_CLASS} are needed in each arm"
    found = [auc_covariance(truth, [scores]) for truth, scores in arms]
    (one, two), variances = [float(value[0]) for value, _ in found], [float(matrix[0, 0]) for _, matrix in found]
    planned = [
        variance * len(truth) / wanted for variance, (truth, _), wanted in zip(variances, arms, rows, strict=True)
    ]
    return GapHarm(Contrast(two - one, math.sqrt(sum(variances)), math.sqrt(sum(planned))))


def _of(figures: Mapping[str, Figure], name: str, arm: ArmFigures) -> Figure:
    """Return a figure of an arm.

    Raises:
        MissingRecordError: It is not there.
    """
    if name not in figures:
        found = ", ".join(sorted(figures)) or "none"
        raise MissingRecordError(f"{arm.arm} has no figure {name}", expected=name, found=found)
    return figures[name]


def _early(rows: float, fewest: int) -> str:
    return f"{rows:g} rows in the smaller arm, {fewest} are needed" if rows < fewest else ""
