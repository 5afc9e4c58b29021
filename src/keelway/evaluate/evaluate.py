"""Measure a trained model on its test cut, with uncertainty, against a trivial rule and the champion on the same rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from keelway.core import ArtifactKind, ArtifactStore, Digest, canonical_json, digest_of, parse_json
from keelway.errors import MissingRecordError, TrainingError
from keelway.evaluate.delong import auc_interval, compare_aucs
from keelway.evaluate.intervals import bootstrap_interval, mean_interval
from keelway.evaluate.metrics import average_precision, calibration_error, log_losses, squared_errors
from keelway.evaluate.records import Comparison, Interval, Ranking, Scorecard
from keelway.features import FeatureTable, columns_for_scoring, rows_of
from keelway.ledger import StateStore
from keelway.project import Model
from keelway.train import Tracker, TrainedModel, frame_of, labels_of, load_pipeline

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

SLOW_RESAMPLES = 200  # for metrics that sort at every draw


class Scorer(Protocol):
    """A named thing that gives the probability of the outcome for columns of features."""

    @property
    def name(self) -> str:
        """The name that comparisons show."""
        ...

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> list[float]:
        """Return a probability for each row."""
        ...


def evaluate(
    trained: TrainedModel,
    feature_table: FeatureTable,
    *,
    artifacts: ArtifactStore,
    state: StateStore,
    model: Model,
    champion: Scorer | None = None,
    now: datetime,
    tracker: Tracker | None = None,
) -> Scorecard:
    """Return the scorecard of a trained model on its test cut; the record is stored.

    Raises:
        TrainingError: The test cut has too few rows of a class, a score is NaN, or the trivial rule names no number.
    """
    import numpy as np

    rows = _test_rows(trained, feature_table, artifacts)
    labels = labels_of(rows).astype(np.float64)
    columns = columns_for_scoring(rows, trained.features)
    pipeline = load_pipeline(trained.pipeline, artifacts=artifacts)
    scores = _finite(pipeline.predict_proba(frame_of(columns, trained.features))[:, 1], "model")
    trivial = _trivial_scores(model.trivial_rule, columns) if model.trivial_rule else None
    rival = _finite(champion(columns), champion.name) if champion is not None else None
    kept = artifacts.put(
        canonical_json({"labels": labels.tolist(), "probabilities": scores.tolist()}),
        kind=ArtifactKind.PREDICTIONS,
        name=f"{model.name}-test",
    )
    card = Scorecard(
        model=model.name,
        estimator=trained.estimator,
        trained=digest_of(trained),
        feature_table=digest_of(feature_table),
        test_as_of=trained.test_as_of,
        rows=len(labels),
        positives=int(labels.sum()),
        metrics=measure(labels, scores, seed=trained.seed),
        trivial={} if trivial is None else {"roc_auc": auc_interval(labels, trivial)},
        versus_trivial=None if trivial is None else compare_aucs(labels, scores, trivial, against=model.trivial_rule),
        versus_champion=None
        if champion is None or rival is None
        else compare_aucs(labels, scores, rival, against=champion.name),
        champion=champion.name if champion is not None else "",
        overlap_days=trained.overlap_days,
        predictions=kept.digest,
    )
    with state.transaction() as tx:
        tx.insert(digest_of(card), card, parent=model.name, at=now)
    if tracker is not None:
        tracker.log_metrics(trained.tracking_run, {f"test_{k}": each.value for k, each in card.metrics.items()})
    return card


def measure(labels: NDArray[np.float64], scores: NDArray[np.float64], *, seed: int) -> dict[str, Interval]:
    """Return every metric of probabilities, each with its 95 % interval."""
    import numpy as np

    pairs = np.column_stack([labels, scores])

    def resampled(function: Any) -> Interval:
        return bootstrap_interval(
            pairs, lambda p: function(p[:, 0], p[:, 1]), seed=seed, resamples=SLOW_RESAMPLES, corrected=False
        )

    return {
        "roc_auc": auc_interval(labels, scores),
        "log_loss": mean_interval(log_losses(labels, scores), seed=seed),
        "brier": mean_interval(squared_errors(labels, scores), seed=seed),
        "average_precision": resampled(average_precision),
        "ece": resampled(calibration_error),
    }


def compare(scorecards: Sequence[Scorecard], *, artifacts: ArtifactStore) -> Ranking:
    """Return which scorecard wins: the first (the baseline), unless a later one is significantly better.

    A later one wins when the paired DeLong test against the present winner gives p < 0.05, two-sided, on the same rows.
    The winner's figures are those of the cut that chose it, so they flatter it a little, the more so the more
    estimators compete; a figure free of that needs a later cut.

    Raises:
        TrainingError: There is no scorecard, or they were measured on different rows.
    """
    if not scorecards:
        raise TrainingError("There is nothing to compare", expected="one or more scorecards")
    winner, comparisons = scorecards[0], []
    labels, best = _predictions(winner, artifacts)
    for card in scorecards[1:]:
        own_labels, scores = _predictions(card, artifacts)
        if (card.model, card.feature_table, card.test_as_of) != (
            winner.model,
            winner.feature_table,
            winner.test_as_of,
        ) or own_labels != labels:
            raise TrainingError("Scorecards of different rows cannot be compared", expected=str(winner.feature_table))
        found = compare_aucs(labels, scores, best, against=winner.estimator)
        comparisons.append(found)
        if found.verdict == "better":
            winner, best = card, scores
    return Ranking(winner.model, winner.trained, digest_of(winner), tuple(comparisons))


def _predictions(card: Scorecard, artifacts: ArtifactStore) -> tuple[list[float], list[float]]:
    kept = parse_json(artifacts.get(Digest(card.predictions)))
    return kept["labels"], kept["probabilities"]


def _test_rows(trained: TrainedModel, feature_table: FeatureTable, artifacts: ArtifactStore) -> pa.Table:
    """Return the rows of the test cut."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if trained.feature_table != digest_of(feature_table):
        raise MissingRecordError(
            "This is not the feature table of the model", expected=trained.feature_table, found=digest_of(feature_table)
        )
    rows = rows_of(feature_table, artifacts)
    moment = pa.scalar(trained.test_as_of, type=rows.schema.field("as_of").type)
    return rows.filter(pc.equal(rows["as_of"], moment))


def _trivial_scores(rule: str, columns: Mapping[str, Sequence[Any]]) -> NDArray[np.float64]:
    """Return a feature's values as scores; a leading `-` ranks small values first; nulls rank last."""
    import numpy as np

    name = rule.removeprefix("-")
    values = columns.get(name)
    if values is None or any(isinstance(value, str) for value in values):
        raise TrainingError(
            "The trivial rule names no number", expected="a numeric feature, perhaps with a leading '-'", found=rule
        )
    scores = np.asarray(values, dtype=np.float64) * (-1.0 if rule.startswith("-") else 1.0)
    return np.where(np.isnan(scores), -np.inf, scores)


def _finite(scores: Any, who: str) -> NDArray[np.float64]:
    import numpy as np

    found = np.asarray(scores, dtype=np.float64)
    strange = sum(not math.isfinite(score) for score in found.tolist())
    if strange:
        raise TrainingError(
            f"{who} gives scores that are not numbers", expected="probabilities", found=f"{strange} of {len(found)}"
        )
    return found


__all__ = ["Comparison", "Scorer", "compare", "evaluate", "measure"]
