"""The records of evaluation: an interval, a comparison, a scorecard, a ranking."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keelway.core import Digest
from keelway.evaluate.findings import Calibration, Fairness, Importance, SliceScore, ThresholdChoice
from keelway.evaluate.uncertainty import Interval
from keelway.project import Task

VerdictWord = Literal["better", "worse", "equivalent", "no difference shown"]
Correction = Literal["none", "bonferroni", "holm", "hochberg", "hommel", "benjamini-hochberg", "benjamini-yekutieli"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A paired comparison on the same rows.

    Attributes:
        against: What it was compared with.
        difference: This one's figure minus the other's.
        p_value: Two-sided, of no difference at all; corrected where several were compared.
        verdict: What is shown, given the smallest difference that matters.
        metric: The figure compared.
        smallest_difference: The difference that matters; 0 where any does.
        correction: How the p-value was corrected for the number of comparisons.
    """

    against: str
    difference: Interval
    p_value: float
    verdict: VerdictWord
    metric: str = "roc_auc"
    smallest_difference: float = 0.0
    correction: Correction = "none"


@dataclass(frozen=True, slots=True)
class Scorecard:
    """How well a trained model does on its test rows.

    Attributes:
        estimator: The estimator's name.
        trained: The `TrainedModel` record.
        feature_table: The record of the feature table.
        rows: Rows of the test.
        positives: How many of them had the outcome; 0 where the label is not binary.
        metrics: Figures by name: all that the task has, and those that the model declares.
        trivial: The same for the trivial rule (one figure), empty where none is declared.
        versus_trivial: Paired comparison with the trivial rule.
        versus_champion: Paired comparison with the champion by the model's first metric, on the same rows.
        champion: The champion's version name, or empty.
        overlap_days: How far training labels reach beyond the test cut.
        predictions: The artifact that holds labels and predictions of the test rows, in their order.
        task: What was predicted.
        classes: The names of the classes, in the order of the probabilities; empty unless multiclass.
        warnings: What a reader of the figures must know, in sentences.
        calibration: Whether probabilities can be taken at their word; None for numbers.
        slices: The first metric by the values of the declared columns.
        fairness: Decisions by the values of the declared sensitive columns.
        importance: What each feature is worth to the first metric, where that was asked for.
        threshold: From which probability acting pays, where costs are declared.
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
    task: Task = "binary"
    classes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    calibration: Calibration | None = None
    slices: tuple[SliceScore, ...] = ()
    fairness: tuple[Fairness, ...] = ()
    importance: tuple[Importance, ...] = ()
    threshold: ThresholdChoice | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Which estimator goes on, and the comparisons that decided."""

    model: str
    winner: Digest
    winner_scorecard: Digest
    comparisons: tuple[Comparison, ...]
