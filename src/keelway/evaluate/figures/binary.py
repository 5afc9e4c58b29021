"""Figures of a binary label and its probability; decisions are made at one half."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from keelway.evaluate.figures.figure import Figure, Ranked, Sums, mean_figure
from keelway.evaluate.metrics import BINS, bin_places, log_losses, squared_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

HALF = 0.5


def binary_figures(labels: Numbers, probabilities: Numbers) -> dict[str, Callable[[], Figure]]:
    """Return how each metric of a binary label is made; ROC AUC is not among them, it has DeLong's variance."""
    made: dict[str, Callable[[], Figure]] = {
        "log_loss": lambda: mean_figure(log_losses(labels, probabilities)),
        "brier": lambda: mean_figure(squared_errors(labels, probabilities)),
        "average_precision": lambda: average_precision_figure(labels, probabilities),
        "ece": lambda: calibration_figure(labels, probabilities),
    }
    made |= {name: partial(_decided, labels, probabilities, of_table) for name, of_table in _OF_DECISIONS.items()}
    return made


def calibration_figure(labels: Numbers, probabilities: Numbers, *, bins: int = BINS) -> Sums:
    """Return the expected calibration error over equally wide bins."""
    import numpy as np

    places = bin_places(probabilities, bins)
    columns = np.zeros((len(labels), bins + 1))
    columns[np.arange(len(labels)), places] = probabilities - labels
    columns[:, bins] = 1.0
    return Sums(columns, lambda sums: np.abs(sums[..., :-1]).sum(axis=-1) / sums[..., -1])


def average_precision_figure(labels: Numbers, scores: Numbers) -> Ranked:
    """Return the mean precision over the positives, ranked by score; ties are one step. NaN without a positive."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    if not labels.any():
        return Ranked(order, lambda weights: np.full(len(weights), np.nan))
    ends = _ends(scores[order])
    truth = labels[order]
    hit = np.flatnonzero(truth)
    steps = ends[np.unique(np.searchsorted(ends, hit))]  # the last places of runs that hold a positive
    starts, last = np.concatenate([[0], steps[:-1] + 1]), steps[-1]
    firsts = np.searchsorted(hit, starts)

    def figure(weights: Numbers) -> Numbers:
        seen = np.cumsum(np.add.reduceat(weights[:, : last + 1], starts, axis=1), axis=1)
        gained = np.add.reduceat(weights[:, hit], firsts, axis=1)
        hits = np.cumsum(gained, axis=1)
        precision: Numbers = np.nan_to_num(hits / seen)  # nobody drawn so far: nothing gained either
        return np.asarray((gained * precision).sum(axis=1) / hits[:, -1])

    influence = np.empty(len(labels))
    influence[order] = _precision_influence(truth, ends)
    return Ranked(order, figure, influence)


def _precision_influence(truth: Numbers, ends: NDArray[np.intp]) -> Numbers:
    """Return by how much each row, in ranked order, raises the average precision: the jackknife in one pass."""
    import numpy as np

    seen, hits = (ends + 1).astype(np.float64), np.cumsum(truth)[ends]
    gained, total = np.diff(hits, prepend=0.0), hits[-1]
    group = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        terms, fewer = gained * hits / seen, np.maximum(seen - 1, 1)
        before = np.cumsum(terms) - terms
        after_hits, after_ones = (_after(gained * part / fewer) for part in (hits, np.ones_like(hits)))
        own = (gained[group] - truth) * (hits[group] - truth) / fewer[group]
        left_out = (before[group] + own + after_hits[group] - truth * after_ones[group]) / (total - truth)
        return np.asarray(np.nan_to_num(terms.sum() / total - left_out, posinf=0.0, neginf=0.0))


def _after(terms: Numbers) -> Numbers:
    """Return for each place the sum of all later terms."""
    import numpy as np

    return np.asarray(terms.sum() - np.cumsum(terms))


def _ends(ranked: Numbers) -> NDArray[np.intp]:
    """Return the last place of each run of equal values."""
    import numpy as np

    return np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)


def _decided(labels: Numbers, probabilities: Numbers, of_table: Callable[[Numbers], Numbers]) -> Sums:
    """Return a figure of the four cells: true and false positives, false and true negatives."""
    import numpy as np

    said, true = probabilities >= HALF, labels == 1
    cells = np.column_stack([said & true, said & ~true, ~said & true, ~said & ~true]).astype(np.float64)
    return Sums(cells, of_table)


def _correlation(sums: Numbers) -> Numbers:
    """Return Matthews' correlation, 0 where a row or column of the table is empty."""
    import numpy as np

    tp, fp, fn, tn = np.moveaxis(sums, -1, 0)
    below = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return np.where(below > 0, (tp * tn - fp * fn) / np.where(below > 0, below, 1.0), 0.0)


def _ratio(sums: Numbers, above: tuple[int, ...], below: tuple[int, ...]) -> Numbers:
    """Return a ratio of the four cells, each of which counts so often above and below."""
    import numpy as np

    return np.asarray((sums @ np.array(above, dtype=np.float64)) / (sums @ np.array(below, dtype=np.float64)))


_TRUE_POSITIVE_RATE = ((1, 0, 0, 0), (1, 0, 1, 0))
_TRUE_NEGATIVE_RATE = ((0, 0, 0, 1), (0, 1, 0, 1))
_OF_DECISIONS: dict[str, Callable[[Numbers], Numbers]] = {
    "accuracy": lambda sums: _ratio(sums, (1, 0, 0, 1), (1, 1, 1, 1)),
    "balanced_accuracy": lambda sums: (_ratio(sums, *_TRUE_POSITIVE_RATE) + _ratio(sums, *_TRUE_NEGATIVE_RATE)) / 2,
    "precision": lambda sums: _ratio(sums, (1, 0, 0, 0), (1, 1, 0, 0)),
    "recall": lambda sums: _ratio(sums, *_TRUE_POSITIVE_RATE),
    "f1": lambda sums: _ratio(sums, (2, 0, 0, 0), (2, 1, 1, 0)),
    "mcc": _correlation,
}
"""From the sums of true and false positives, false and true negatives."""
