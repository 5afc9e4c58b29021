"""The records of evaluation: an interval, a comparison, a scorecard, a ranking."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keelway.core import Digest

VerdictWord = Literal["better", "worse", "no difference"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its confidence interval and the method that made it."""

    value: float
    low: float
    high: float
    level: float
    method: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A paired comparison on the same rows; `difference` is this one's figure minus the other's."""

    against: str
    difference: Interval
    p_value: float
    verdict: VerdictWord


@dataclass(frozen=True, slots=True)
class Scorecard:
    """How well a trained model does on the test cut.

    Attributes:
        estimator: The estimator's name.
        trained: The `TrainedModel` record.
        feature_table: The record of the feature table.
        rows: Rows of the test cut.
        positives: How many of them had the outcome.
        metrics: Figures by name, always `roc_auc`, `log_loss`, `brier`, `average_precision` and `ece`.
        trivial: The same for the trivial rule (`roc_auc` only), empty where none is declared.
        versus_trivial: Paired comparison of AUC with the trivial rule.
        versus_champion: Paired comparison of AUC with the champion, on the same rows.
        champion: The champion's version name, or empty.
        overlap_days: How far training labels reach beyond the test cut.
        predictions: The artifact that holds labels and probabilities of the test rows, in their order.
    """

    model: str
    estimator: str
    trained: Digest
    feature_table: Digest
    test_as_of: datetime
    rows: int
    positives: int
    metrics: dict[str, Interval]
    trivial: dict[str, Interval]
    versus_trivial: Comparison | None
    versus_champion: Comparison | None
    champion: str
    overlap_days: int
    predictions: Digest


@dataclass(frozen=True, slots=True)
class Ranking:
    """Which estimator goes on, and the comparisons that decided."""

    model: str
    winner: Digest
    winner_scorecard: Digest
    comparisons: tuple[Comparison, ...]
