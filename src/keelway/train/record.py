"""TrainedModel: a fitted pipeline, and everything it was fitted from; and what its training was measured to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from keelway.core import CodeState, Digest, Scalar
from keelway.features import FeatureColumn
from keelway.project import Task


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A fitted pipeline; the same inputs and seed give the same one.

    Attributes:
        model: The model's name.
        estimator: The name of the estimator among the model's.
        factory: Its import path.
        parameters: What it was given.
        preprocessing: Every choice of the preprocessing, under one name each.
        pipeline: The skops artifact that holds preprocessing and estimator, fitted.
        features: The columns it reads, in order.
        feature_table: The record of the feature table.
        train_as_ofs: The cuts it learned from.
        test_as_of: The cut kept for evaluation.
        train_rows: How many rows it learned from.
        overlap_days: How far training labels reach beyond the test cut; 0 is clean.
        seed: The seed of everything random.
        definition: Digest over feature definitions, label, preprocessing, estimator and parameters.
        profile: The `Profile` record of the training rows.
        code: What was executed.
        task: What is predicted: `binary`, `multiclass` or `regression`.
        classes: The names of a multiclass label, sorted, in the order of the probabilities; empty otherwise.
        warnings: What a reader of the figures must know, in sentences.
        studies: Name of each study whose best parameters it has, to the record of the tuning.
    """

    model: str
    estimator: str
    factory: str
    parameters: dict[str, Scalar]
    preprocessing: dict[str, Scalar]
    pipeline: Digest
    features: tuple[FeatureColumn, ...]
    feature_table: Digest
    train_as_ofs: tuple[datetime, ...]
    test_as_of: datetime
    train_rows: int
    overlap_days: int
    seed: int
    definition: Digest
    profile: Digest
    code: CodeState
    task: Task = "binary"
    classes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    studies: dict[str, Digest] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainingFigures:
    """What was measured while a model was trained: beside its record, because the same training takes another time.

    Attributes:
        trained: The record of the trained model.
        seconds: How long it took on the wall's clock.
        metrics: Figures of the training rows, and of the machine under `system/`.
    """

    trained: Digest
    seconds: float
    metrics: dict[str, float]
