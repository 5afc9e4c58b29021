"""Measure a trained model on its test rows, with uncertainty, against a trivial rule and the champion on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from keelway.core import ArtifactKind, ArtifactStore, Digest, canonical_json, digest_of
from keelway.errors import MissingRecordError
from keelway.evaluate.aspects import Columns, permutation_importance
from keelway.evaluate.declared import check_metrics
from keelway.evaluate.findings import Importance
from keelway.evaluate.held_out import HeldOut, held_out_of
from keelway.evaluate.records import Scorecard
from keelway.evaluate.rows import finite
from keelway.evaluate.trivial import trivial_figures, versus_trivial
from keelway.features import FeatureTable, columns_for_scoring, rows_of
from keelway.ledger import StateStore
from keelway.project import Model
from keelway.train import Tracker, TrainedModel, held_out_rows, predictions
from keelway.train.tracking import show_training


class Rival(Protocol):
    """What a trained model is compared with: a named thing that predicts from columns of features."""

    @property
    def name(self) -> str:
        """The name that comparisons show."""
        ...

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> Sequence[Any]:
        """Return a prediction for each row: a probability, a number, or a probability for each class."""
        ...


def evaluate(
    trained: TrainedModel,
    feature_table: FeatureTable,
    *,
    artifacts: ArtifactStore,
    state: StateStore,
    model: Model,
    champion: Rival | None = None,
    now: datetime,
    tracker: Tracker | None = None,
) -> Scorecard:
    """Return the scorecard of a trained model on its test rows; the record is stored.

    Raises:
        TrainingError: The model declares what cannot be measured, there are too few test rows of a class, a prediction
            is no number, or the trivial rule names no suitable feature.
    """
    check_metrics(model)
    if trained.feature_table != digest_of(feature_table):
        raise MissingRecordError(
            "This is not the feature table of the model", expected=trained.feature_table, found=digest_of(feature_table)
        )
    rows = held_out_rows(rows_of(feature_table, artifacts), model, feature_table)
    columns = columns_for_scoring(rows, trained.features)
    predict = partial(predictions, trained, artifacts=artifacts)
    tested = held_out_of(rows, columns, trained, model, predict)
    card = _scorecard(
        trained, feature_table, model, tested, columns, champion=champion, predict=predict, artifacts=artifacts
    )
    with state.transaction() as tx:
        tx.insert(digest_of(card), card, parent=model.name, at=now)
    if tracker is not None:
        figures = {name: each.value for name, each in card.metrics.items()}
        show_training(card.trained, state=state, artifacts=artifacts, tracker=tracker, metrics=figures)
    return card


def _scorecard(
    trained: TrainedModel,
    feature_table: FeatureTable,
    model: Model,
    tested: HeldOut,
    columns: Columns,
    *,
    champion: Rival | None,
    predict: Callable[[Columns], Any],
    artifacts: ArtifactStore,
) -> Scorecard:
    threshold = tested.threshold()
    metrics, unmeasured = tested.metrics()
    versus = None
    if champion is not None:
        versus = tested.versus(finite(champion(columns), champion.name), champion.name)
    return Scorecard(
        model=model.name,
        estimator=trained.estimator,
        trained=digest_of(trained),
        feature_table=digest_of(feature_table),
        test_as_of=trained.test_as_of,
        rows=len(tested.rows),
        positives=int(tested.rows.sum()) if trained.task == "binary" else 0,
        metrics=metrics,
        trivial=trivial_figures(tested, columns),
        versus_trivial=versus_trivial(tested, columns),
        versus_champion=versus,
        champion=champion.name if champion is not None else "",
        overlap_days=trained.overlap_days,
        predictions=_kept(tested, name=f"{model.name}-test", artifacts=artifacts),
        task=trained.task,
        classes=trained.classes,
        warnings=(*trained.warnings, *unmeasured),
        calibration=tested.calibration(metrics),
        slices=tested.slices(),
        fairness=tested.fairness(0.5 if threshold is None else threshold.threshold.value),
        importance=_importance(tested, columns, predict),
        threshold=threshold,
    )


def _importance(tested: HeldOut, columns: Columns, predict: Callable[[Columns], Any]) -> tuple[Importance, ...]:
    repeats = tested.model.evaluation.importance
    if not repeats:
        return ()
    return permutation_importance(
        predict,
        columns,
        tested.truth,
        metric=tested.primary,
        task=tested.task,
        classes=tested.classes,
        repeats=max(repeats, 2),
        seed=tested.seed,
    )


def _kept(tested: HeldOut, *, name: str, artifacts: ArtifactStore) -> Digest:
    """Store truth and predictions of the test rows and return their digest."""
    data = canonical_json({"labels": list(tested.truth), "predictions": tested.given.tolist()})
    return artifacts.put(data, kind=ArtifactKind.PREDICTIONS, name=name).digest
