"""Tuning: what a search over parameters came to, and every trial that led there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keelway.core import ArtifactStore, CodeState, Digest, Scalar, parse_json, revive
from keelway.project import Search

TrialStatus = Literal["running", "complete", "pruned", "failed", "stale", "stopped"]
Ending = Literal["trials", "time", "patience", "failing"]


@dataclass(frozen=True, slots=True)
class TuningTrial:
    """One set of parameters, tried on the folds.

    Attributes:
        number: From 0, in the order they were begun.
        status: `pruned` ended after a fold because it was no good, `failed` because the estimator refused; `stale`
            lost its process and was tried again under another number; `stopped` ran when the time was up.
        value: The mean of the metric over all folds; None unless complete.
        means: The mean over the first fold, the first two and so on, as far as it came.
        error: Why it failed.
    """

    number: int
    status: TrialStatus
    parameters: dict[str, Scalar]
    value: float | None
    means: tuple[float, ...]
    started_at: datetime
    ended_at: datetime | None
    error: str = ""

    @property
    def seconds(self) -> float:
        """How long it took; 0 while it runs."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at is not None else 0.0


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a search over the parameters of one estimator came to.

    Attributes:
        study: The name of the study in the optimiser's storage.
        feature_table: The record of the feature table.
        metric: What was made good, in the mean over the folds.
        parameters: The best parameters that were found, only those that were searched.
        value: The metric with them.
        best_trial: The number of the trial that had them.
        folds: What the folds are called.
        trials: How many trials count; `pruned` and `failed` of them gave no value.
        ended: What ended the search: the number of trials, the time, patience, or nothing but failures.
        history: The artifact that holds every trial that counts.
    """

    model: str
    estimator: str
    study: str
    feature_table: Digest
    search: Search
    metric: str
    larger_is_better: bool
    parameters: dict[str, Scalar]
    value: float
    best_trial: int
    folds: tuple[str, ...]
    trials: int
    pruned: int
    failed: int
    ended: Ending
    history: Digest
    seed: int
    code: CodeState


def trials_of(tuning: Tuning, artifacts: ArtifactStore) -> tuple[TuningTrial, ...]:
    """Return every trial that counts, in order.

    Raises:
        IntegrityError: The history was altered.
    """
    return revive(parse_json(artifacts.get(tuning.history)), tuple[TuningTrial, ...])
