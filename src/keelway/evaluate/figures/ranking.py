"""Figures of ranked lists, cut at the first k: NDCG, precision, recall and average precision.

Rows with equal scores share their mean relevance, so that no figure depends on the order in which rows come. Gains are
linear and discounts logarithmic, as in scikit-learn (Järvelin and Kekäläinen, TOIS 20, 2002). A list without anything
relevant has no NDCG, recall or average precision and is left out of their means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from keelway.evaluate.figures.figure import Ranked
from keelway.evaluate.metrics import RANKING, ranking_cut

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Lists:
    """Rows by list and falling score; `starts` are the first places of the lists, `rank` counts within one from 0."""

    relevance: Numbers
    shared: Numbers
    ideal: Numbers
    rank: NDArray[np.intp]
    starts: NDArray[np.intp]

    def total(self, values: Numbers) -> Numbers:
        import numpy as np

        return np.asarray(np.add.reduceat(values, self.starts))


def list_figures(names: Sequence[str], relevance: Numbers, scores: Numbers, lists: ArrayLike) -> dict[str, Numbers]:
    """Return for each metric its value in every list, in the order of the lists' sorted names; NaN for none.

    Args:
        names: Metrics such as `ndcg_at_10`.
        relevance: How relevant each row is, 0 or more; precision, recall and average precision take above 0 as 1.
        scores: What rows are ranked by.
        lists: The list that each row belongs to.
    """
    import numpy as np

    _, codes = np.unique(np.asarray(lists), return_inverse=True)
    graded, yes = _arranged(relevance, scores, codes), _arranged((relevance > 0).astype(np.float64), scores, codes)
    made = {}
    for name in names:
        kind, cut = ranking_cut(name)
        with np.errstate(invalid="ignore", divide="ignore"):
            made[name] = _PER_LIST[kind](graded if kind == "ndcg" else yes, cut)
    return made


def top_figures(names: Sequence[str], relevance: Numbers, scores: Numbers) -> dict[str, Callable[[], Ranked]]:
    """Return how each metric of one single list is made, for draws of its rows; ties keep the rows' order."""
    return {name: partial(_top, name, relevance, scores) for name in names}


def _arranged(relevance: Numbers, scores: Numbers, codes: NDArray[np.intp]) -> _Lists:
    import numpy as np

    order, best = np.lexsort((-scores, codes)), np.lexsort((-relevance, codes))
    ranked, listed = scores[order], codes[order]
    starts = np.flatnonzero(np.diff(listed, prepend=-1))
    rank = np.arange(len(listed)) - np.repeat(starts, np.diff(starts, append=len(listed)))
    ties = np.cumsum((np.diff(ranked, prepend=np.nan) != 0) | (rank == 0)) - 1
    shared = (np.bincount(ties, weights=relevance[order]) / np.bincount(ties))[ties]
    return _Lists(relevance[order], shared, relevance[best], rank, starts)


def _ndcg(lists: _Lists, cut: int) -> Numbers:
    import numpy as np

    discount = np.where(lists.rank < cut, 1 / np.log2(lists.rank + 2), 0.0)
    best = lists.total(lists.ideal * discount)
    return np.where(best > 0, lists.total(lists.shared * discount) / best, np.nan)


def _precision(lists: _Lists, cut: int) -> Numbers:
    return lists.total(lists.shared * (lists.rank < cut)) / cut


def _recall(lists: _Lists, cut: int) -> Numbers:
    import numpy as np

    there = lists.total(lists.relevance)
    return np.where(there > 0, lists.total(lists.shared * (lists.rank < cut)) / there, np.nan)


def _mean_precision(lists: _Lists, cut: int) -> Numbers:
    import numpy as np

    running = np.cumsum(lists.shared)
    before = np.repeat(running[lists.starts] - lists.shared[lists.starts], np.diff(lists.starts, append=len(running)))
    precision = (running - before) / (lists.rank + 1)
    there = np.minimum(lists.total(lists.relevance), cut)
    return np.where(there > 0, lists.total(lists.shared * precision * (lists.rank < cut)) / there, np.nan)


def _top(name: str, relevance: Numbers, scores: Numbers) -> Ranked:
    """Return a metric of one list whose rows count as often as they were drawn."""
    import numpy as np

    kind, cut = ranking_cut(name)
    order = np.argsort(-scores, kind="stable")
    graded = relevance if kind == "ndcg" else (relevance > 0).astype(np.float64)
    ranked = graded[order]
    whole = {} if kind != "ndcg" else {"best": np.argsort(-ranked, kind="stable")}

    def figure(weights: Numbers) -> Numbers:
        found = np.empty(len(weights))
        for place, drawn in enumerate(weights.astype(np.intp)):
            rows = np.repeat(ranked, drawn)
            best = np.repeat(ranked[whole["best"]], drawn[whole["best"]]) if whole else rows
            found[place] = float(_PER_LIST[kind](_single(rows, best), cut)[0])
        return found

    return Ranked(order, figure)


def _single(rows: Numbers, best: Numbers) -> _Lists:
    import numpy as np

    return _Lists(rows, rows, best, np.arange(len(rows)), np.zeros(1, dtype=np.intp))


_PER_LIST: dict[str, Callable[[_Lists, int], Numbers]] = {
    "ndcg": _ndcg,
    "precision": _precision,
    "recall": _recall,
    "map": _mean_precision,
}
assert tuple(_PER_LIST) == RANKING
