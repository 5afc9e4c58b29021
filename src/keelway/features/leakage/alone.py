"""How well each column predicts the label by itself, judged on rows that it did not learn from.

A column is cut into at most 32 bins of equal count (a category into its levels), a missing value is a bin of its own, and
each bin answers with the mean label of the other folds' rows in it. So a column of names predicts nothing by remembering
them, a missing value that gives the label away shows, and so does a curve that turns round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keelway.features.leakage.report import LeakageFinding
from keelway.features.names import LABEL
from keelway.features.records import FeatureColumn
from keelway.project import Task

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

NEARLY_PERFECT, SURELY = 0.98, 0.95
"""A score of a column alone that stops, and what the lower end of its interval must reach then."""
STRIKING = 0.90
PARTS, BINS, PRIOR = 5, 32, 10.0
"""Folds, bins, and the rows that the overall mean weighs in each bin."""
NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True)
class SingleScore:
    """What a column predicts alone.

    Attributes:
        score: ROC AUC in [0.5, 1] (of several classes, that of the class told best against the others), or R2 in
            [0, 1] of a regression.
        low: Lower end of the 95 % interval.
        about: The class that is told best, or empty.
    """

    column: str
    score: float
    low: float
    about: str = ""


def single_scores(rows: pa.Table, features: Sequence[FeatureColumn], *, task: Task, seed: int) -> list[SingleScore]:
    """Return what each column predicts alone, best first; arrays, and a label of one value, tell nothing."""
    import numpy as np

    parts = np.random.default_rng(seed).permutation(rows.num_rows) % PARTS
    targets = targets_of(rows, task)
    found = []
    for feature in features:
        if feature.kind == "array" or not targets:
            continue
        bins = bins_of(rows[feature.name], feature)
        scored = [_scored(feature.name, bins, values, parts, about, task) for about, values in targets.items()]
        found.append(max(scored, key=lambda each: (each.low, each.score)))
    return sorted(found, key=lambda each: (-each.score, each.column))


def alone(scores: Sequence[SingleScore]) -> list[LeakageFinding]:
    """Return the columns that predict the label alone better than honest ones do."""
    found = []
    for each in scores:
        if not each.score >= STRIKING:
            continue
        stops = each.score >= NEARLY_PERFECT and each.low >= SURELY
        of = f" class {each.about!r}" if each.about else " the label"
        text = f"{each.column!r} alone predicts{of} with {each.score:.3f} (at least {each.low:.3f}). "
        text += "Nothing honest does: find out when it becomes known." if stops else "Find out when it becomes known."
        found.append(LeakageFinding("alone", "stop" if stops else "note", each.column, each.score, each.low, text))
    return found


def targets_of(rows: pa.Table, task: Task) -> dict[str, NDArray[np.float64]]:
    """Return what is to be predicted, by class where there are several; nothing where all labels are one."""
    import numpy as np

    if task == "multiclass":
        named = np.asarray(rows[LABEL].to_pylist(), dtype=object)
        classes = sorted(set(named))
        return {str(each): (named == each).astype(np.float64) for each in classes} if len(classes) > 1 else {}
    labels = rows[LABEL].to_numpy().astype(np.float64)
    return {"": labels} if len(np.unique(labels)) > 1 else {}


def bins_of(column: pa.ChunkedArray, feature: FeatureColumn) -> NDArray[np.intp]:
    """Return the number of each value's bin; of a text its length is binned."""
    import numpy as np
    import pyarrow.compute as pc

    if feature.kind == "categorical":
        codes: NDArray[np.intp] = np.unique(np.asarray(column.to_pylist(), dtype=str), return_inverse=True)[1]
        return codes
    values = numbers_of(column if feature.kind == "numeric" else pc.utf8_length(column))
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else np.array([])
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="left"))


def numbers_of(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a column as numbers, NaN for null; a moment as microseconds since 1970."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    values: NDArray[np.float64] = pc.fill_null(column.cast(pa.float64(), safe=False), math.nan).to_numpy()
    return values


def auc_of(truth: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve by midranks (Mann and Whitney, 1947); 0.5 where one class is absent."""
    from scipy.stats import rankdata

    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return 0.5
    ranks = float(rankdata(scores)[truth == 1].sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def _scored(
    name: str, bins: NDArray[np.intp], values: NDArray[np.float64], parts: NDArray[np.int64], about: str, task: Task
) -> SingleScore:
    answers = _answers(bins, values, parts)
    if task == "regression":
        r2, low = _r2(values, answers)
        return SingleScore(name, r2, low)
    area = max(auc_of(values, answers), 0.5)  # a fitted mean that ranks worse than chance has found nothing
    rarer = int(min(values.sum(), len(values) - values.sum()))
    return SingleScore(name, area, _wilson_low(area, rarer), about)


def _answers(bins: NDArray[np.intp], values: NDArray[np.float64], parts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each row the mean label of its bin among the other folds' rows, drawn towards the overall mean."""
    import numpy as np

    answers, size = np.empty(len(values)), int(bins.max(initial=0)) + 1
    for part in range(PARTS):
        rest, here = parts != part, parts == part
        counts = np.bincount(bins[rest], minlength=size)
        sums = np.bincount(bins[rest], weights=values[rest], minlength=size)
        overall = values[rest].mean() if rest.any() else 0.0
        answers[here] = ((sums + PRIOR * overall) / (counts + PRIOR))[bins[here]]
    return answers


def _wilson_low(area: float, rarer: int) -> float:
    """Return the lower end of the score interval of an AUC (Wilson, 1927).

    Its variance is at most `A (1 - A) / n` with n the rows of the rarer class (van Dantzig, 1951), which is that of a
    share, so a share's interval is a safe one; it does not shrink to nothing at 1.
    """
    if not rarer:
        return 0.0
    z2 = NORMAL_95**2
    middle = area + z2 / (2 * rarer)
    reach = NORMAL_95 * math.sqrt(area * (1 - area) / rarer + z2 / (4 * rarer**2))
    return (middle - reach) / (1 + z2 / rarer)


def _r2(truth: Any, answers: Any) -> tuple[float, float]:
    """Return R2 and the lower end of its interval, by Fisher's z of the correlation of answer and truth (1921)."""
    import numpy as np

    spread = float(((truth - truth.mean()) ** 2).sum())
    r2 = max(0.0, 1 - float(((truth - answers) ** 2).sum()) / spread)
    if len(truth) < 5 or not np.ptp(answers):
        return r2, 0.0
    correlation = min(float(np.corrcoef(truth, answers)[0, 1]), 1 - 1e-12)
    low = math.tanh(math.atanh(correlation) - NORMAL_95 / math.sqrt(len(truth) - 3))
    return r2, min(r2, max(0.0, low) ** 2)
