"""Compare scorecards of the same rows, and say which one goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keelway.core import ArtifactStore, Digest, digest_of, parse_json
from keelway.errors import TrainingError
from keelway.evaluate.metrics import greater_is_better
from keelway.evaluate.paired import compare_by
from keelway.evaluate.records import Ranking, Scorecard
from keelway.evaluate.several import corrected


def compare(
    scorecards: Sequence[Scorecard],
    *,
    metric: str = "roc_auc",
    artifacts: ArtifactStore,
    smallest_difference: float = 0.0,
) -> Ranking:
    """Return which scorecard wins: the first (the baseline), unless a later one is shown to be better.

    Every later one is tested against the first by `metric` on the same rows, with p-values corrected by Holm for how many
    there are. Among those that are better, the one with the best figure wins. The winner's figures are those of the rows
    that chose it, so they flatter it a little, the more so the more estimators compete; a figure free of that needs later
    rows.

    Args:
        scorecards: The baseline first.
        metric: What decides.
        artifacts: Holds the predictions.
        smallest_difference: The difference that matters.

    Raises:
        TrainingError: There is no scorecard, or they were measured on different rows.
    """
    if not scorecards:
        raise TrainingError("There is nothing to compare", expected="one or more scorecards")
    first, *others = scorecards
    truth, best = predictions_of(first, artifacts)
    found = []
    for card in others:
        own_truth, given = predictions_of(card, artifacts)
        if _rows_of(card) != _rows_of(first) or own_truth != truth:
            raise TrainingError("Scorecards of different rows cannot be compared", expected=str(first.feature_table))
        found.append(
            compare_by(metric, truth, given, best, against=first.estimator, task=first.task, classes=first.classes)
        )
    comparisons = corrected(found, smallest_difference=smallest_difference)
    better = [place for place, each in enumerate(comparisons) if each.verdict == "better"]
    sign = 1 if greater_is_better(metric) else -1
    ahead = max(better, key=lambda place: sign * comparisons[place].difference.value, default=None)
    winner = first if ahead is None else others[ahead]
    return Ranking(winner.model, winner.trained, digest_of(winner), comparisons)


def predictions_of(card: Scorecard, artifacts: ArtifactStore) -> tuple[list[Any], list[Any]]:
    """Return truth and predictions of a scorecard's test rows, in their order."""
    kept = parse_json(artifacts.get(Digest(card.predictions)))
    return kept["labels"], kept["predictions"] if "predictions" in kept else kept["probabilities"]


def _rows_of(card: Scorecard) -> tuple[Any, ...]:
    return card.model, card.feature_table, card.test_as_of, card.task, card.classes
