"""Do the arms answer with the same classes? Their shares and their mean probabilities, each as PSI with an e-value.

Two arms may name the same classes as often and still be less or more sure of them, or be a little surer of a class that is
never the likeliest. So two views are taken:

- *which class is the likeliest*, counted, with the exact e-value of `log_unlike`;
- *how probable each class is on average*, with a normal-mixture e-value for each class (asymptotic, from `FEWEST` rows).

A view speaks only where its PSI is above the threshold. The average of e-values is an e-value however they depend on each
other (Vovk and Wang, Annals of Statistics 49, 2021), so the views need no further correction. Rows are one an entity and
taken as exchangeable within an arm. What leaves shares and means as they were (all classes less sure alike) is not seen
here: that is for figures of matured labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from keelway.core import filled_bins, psi, psi_null_quantile
from keelway.deploy.analysis.drift import log_unlike
from keelway.deploy.analysis.sequences import FEWEST, log_evidence, mean_gap
from keelway.errors import UsageError

if TYPE_CHECKING:
    from keelway.deploy.analysis.evidence import ClassAnswers

VIEWS = 2


@dataclass(frozen=True, slots=True)
class ClassDriftHarm:
    """How far apart the answers of two arms are that have the same classes, as the larger PSI of the two views.

    Attributes:
        treatment: Answers of the arm that is tried.
        control: Answers of the arm in use.
        share: The declared share of the treatment among the two, 0 to 1.
        planned: Rows of both about which the tests are best; a choice made before.

    Raises:
        UsageError: The arms have other classes, or a probability that is no number.
    """

    treatment: ClassAnswers
    control: ClassAnswers
    share: float
    planned: float

    def __post_init__(self) -> None:
        sizes = {len(part) for each in (self.treatment, self.control) for part in (each.counts, each.shares)}
        finite = all(one.finite for each in (self.treatment, self.control) for one in each.shares)
        if len(sizes) != 1 or not finite:
            raise UsageError(
                "The classes of the arms do not fit",
                expected="a count and a finite probability of the same classes",
                found=f"{sorted(sizes)} classes, {'finite' if finite else 'not all finite'}",
            )

    def estimate(self) -> float:
        """Return the larger PSI."""
        return max(self._by_counts(), self._by_means())

    def log_above(self, threshold: float, *, alpha: float) -> float:
        """Return how sure it is that the arms differ, in the views where they look farther apart than the threshold; else 0."""
        views = []
        if self._by_counts() > threshold:
            one, two = self.treatment.counts, self.control.counts
            views.append(log_unlike(one, two, share=self.share, planned=self.planned, alpha=alpha / VIEWS))
        if self._by_means() > threshold:
            views.append(self._log_means_differ(alpha / VIEWS))
        return _log_sum(views) - math.log(VIEWS) if views else 0.0

    def log_below(self, threshold: float, *, alpha: float) -> float:
        """Return infinity where PSI is below, and chance alone would not bring it there; else 0."""
        return math.inf if self.estimate() < threshold and self.chance(1 - alpha / VIEWS) < threshold else 0.0

    def end(self, side: Literal["low", "high"], *, alpha: float) -> float:  # noqa: ARG002 - the port's
        """Return 0 or infinity: PSI has no confidence sequence here."""
        return 0.0 if side == "low" else math.inf

    def chance(self, level: float) -> float:
        """Return how far chance alone brings the PSI of either view at one look; means vary less than counts do."""
        bins = filled_bins(self.control.counts, self.treatment.counts)
        return psi_null_quantile(self.control.rows, self.treatment.rows, bins, level=level)

    def _by_counts(self) -> float:
        return psi(self.control.counts, self.treatment.counts)

    def _by_means(self) -> float:
        """Return the PSI of the mean probabilities; 0 before there are rows enough for their e-value."""
        if min(self.control.rows, self.treatment.rows) < FEWEST:
            return 0.0
        return psi(*([one.mean * each.rows for one in each.shares] for each in (self.control, self.treatment)))

    def _log_means_differ(self, alpha: float) -> float:
        """Return the log e-value against "each class is as probable on average", the average of those of all classes."""
        rows = self.planned * self.share, self.planned * (1 - self.share)
        found = []
        for one, two in zip(self.treatment.shares, self.control.shares, strict=True):
            gap = mean_gap(one, two, planned=rows, adjust=False)
            tight = alpha / len(self.control.shares)
            found.append(
                float(log_evidence(gap.value / gap.error, gap.progress, alpha=tight)) if gap.error > 0 else 0.0
            )
        return _log_sum(found) - math.log(len(found))


def _log_sum(values: list[float]) -> float:
    """Return the logarithm of the sum of e-values that are given by their logarithms."""
    largest = max(values)
    return largest + math.log(sum(math.exp(each - largest) for each in values))
