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
from keelway.evaluate.paired import PAIRED, compare_by
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
MIN_OF_CLASS = 2  # what the variance of an AUC needs
PRIMARY = "roc_auc"
METRICS = (PRIMARY, "log_loss", "brier", "average_precision", "ece")
"""What every scorecard measures; models are compared by the first."""


class Rival(Protocol):
    """What a trained model is compared with: a named thing that gives probabilities for columns of features."""

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
    champion: Rival | None = None,
    now: datetime,
    tracker: Tracker | None = None,
) -> Scorecard:
    """Return the scorecard of a trained model on its test cut; the record is stored.

    Raises:
        TrainingError: The model declares a metric that is unknown, the test cut has too few rows of a class, a score is
            no number, or the trivial rule names no number.
        NotImplementedError: The model's first metric, by which its estimators are compared, has no paired test.
    """
    check_metrics(model)
    rows = _test_rows(trained, feature_table, artifacts)
    labels = _labels(rows)
    columns = columns_for_scoring(rows, trained.features)
    scores = _probabilities(trained, columns, artifacts)
    trivial = _trivial_scores(model.trivial_rule, columns) if model.trivial_rule else None
    rival = _finite(champion(columns), champion.name) if champion is not None else None
    who = champion.name if champion is not None else ""
    card = Scorecard(
        model=model.name,
        estimator=trained.estimator,
        trained=digest_of(trained),
        feature_table=digest_of(feature_table),
        test_as_of=trained.test_as_of,
        rows=len(labels),
        positives=int(labels.sum()),
        metrics=measure(labels, scores, seed=trained.seed),
        trivial={} if trivial is None else {PRIMARY: auc_interval(labels, trivial)},
        versus_trivial=_versus(labels, scores, trivial, against=model.trivial_rule),
        versus_champion=_versus(labels, scores, rival, against=who),
        champion=who,
        overlap_days=trained.overlap_days,
        predictions=_kept(labels, scores, name=f"{model.name}-test", artifacts=artifacts),
    )
    with state.transaction() as tx:
        tx.insert(digest_of(card), card, parent=model.name, at=now)
    if tracker is not None:
        tracker.log_metrics(trained.tracking_run, {f"test_{k}": each.value for k, each in card.metrics.items()})
    return card


def check_metrics(model: Model) -> None:
    """Refuse metrics that are unknown, and a first one that cannot decide.

    Raises:
        TrainingError: A metric is unknown.
        NotImplementedError: The first metric has no paired test.
    """
    if unknown := [name for name in model.metrics if name not in METRICS]:
        raise TrainingError(
            f"Model {model.name!r} declares unknown metrics",
            expected=f"some of {', '.join(METRICS)}",
            found=", ".join(unknown),
            fix="Correct Model(metrics=...).",
        )
    if model.metrics[0] not in PAIRED:
        raise NotImplementedError(
            f"Comparing models by {model.metrics[0]} is not built. "
            f"Put one of {', '.join(PAIRED)} first in Model(metrics=...) of {model.name}."
        )


def measure(labels: NDArray[np.float64], scores: NDArray[np.float64], *, seed: int) -> dict[str, Interval]:
    """Return every metric of probabilities, each with its 95 % interval."""
    import numpy as np

    pairs = np.column_stack([labels, scores])

    def resampled(function: Any) -> Interval:
        return bootstrap_interval(
            pairs, lambda p: function(p[:, 0], p[:, 1]), seed=seed, resamples=SLOW_RESAMPLES, corrected=False
        )

    return {
        PRIMARY: auc_interval(labels, scores),
        "log_loss": mean_interval(log_losses(labels, scores), seed=seed),
        "brier": mean_interval(squared_errors(labels, scores), seed=seed),
        "average_precision": resampled(average_precision),
        "ece": resampled(calibration_error),
    }


def compare(scorecards: Sequence[Scorecard], *, metric: str = PRIMARY, artifacts: ArtifactStore) -> Ranking:
    """Return which scorecard wins: the first (the baseline), unless a later one is significantly better.

    A later one wins when the paired test by `metric` against the present winner (DeLong for AUC, a z-test of the rows'
    losses otherwise) gives p < 0.05, two-sided, on the same rows.
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
        found = compare_by(metric, labels, scores, best, against=winner.estimator)
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


def _labels(rows: pa.Table) -> NDArray[np.float64]:
    """Return the labels of the test rows, in which both classes occur."""
    import numpy as np

    labels = labels_of(rows).astype(np.float64)
    positives = int(labels.sum())
    if min(positives, len(labels) - positives) < MIN_OF_CLASS:
        raise TrainingError(
            "The test cut cannot be measured",
            expected=f"at least {MIN_OF_CLASS} rows of each class",
            found=f"{positives} positive and {len(labels) - positives} negative",
            fix="Choose cuts with more rows, or check the label's function.",
        )
    return labels


def _probabilities(
    trained: TrainedModel, columns: Mapping[str, Sequence[Any]], artifacts: ArtifactStore
) -> NDArray[np.float64]:
    pipeline = load_pipeline(trained.pipeline, artifacts=artifacts)
    return _finite(pipeline.predict_proba(frame_of(columns, trained.features))[:, 1], "The model")


def _kept(labels: NDArray[np.float64], scores: NDArray[np.float64], *, name: str, artifacts: ArtifactStore) -> Digest:
    """Store labels and probabilities of the test rows and return their digest."""
    data = canonical_json({"labels": labels.tolist(), "probabilities": scores.tolist()})
    return artifacts.put(data, kind=ArtifactKind.PREDICTIONS, name=name).digest


def _versus(
    labels: NDArray[np.float64], scores: NDArray[np.float64], other: NDArray[np.float64] | None, *, against: str
) -> Comparison | None:
    return None if other is None else compare_aucs(labels, scores, other, against=against)


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


__all__ = ["Comparison", "Rival", "compare", "evaluate", "measure"]
