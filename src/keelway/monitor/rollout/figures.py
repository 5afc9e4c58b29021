"""Figures of two arms' answers: how they are spread, and how they turned out where the outcome is known by now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.deploy.analysis import Matured
from keelway.monitor.rollout.answers import microseconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from keelway.core import Outcome
    from keelway.monitor.rollout.answers import SealedAnswers

    Numbers = NDArray[np.float64]

EDGE_ROWS = 200
"""The bins are the tenths of so many first answers of the control, which are not counted themselves."""
TENTHS = 10


def histograms(control: SealedAnswers, treatment: SealedAnswers) -> tuple[list[float], list[float]]:
    """Return how the answers of both arms are spread over the same bins; empty while the control has too few.

    Args:
        control: One answer an entity.
        treatment: The same.
    """
    given = control.values[control.at.argsort(kind="stable")]
    if len(given) <= EDGE_ROWS:
        return [], []
    edges = bin_edges(given[:EDGE_ROWS])
    return counts_in(edges, given[EDGE_ROWS:]), counts_in(edges, treatment.values)


def bin_edges(values: Numbers) -> Numbers:
    """Return where bins begin: at the tenths of values; a value that fills a tenth or more has a bin of its own.

    >>> import numpy as np
    >>> bin_edges(np.arange(11.0)).tolist()
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    """
    import numpy as np

    tenths = np.quantile(values, np.arange(1, TENTHS) / TENTHS)
    edges, times = np.unique(tenths, return_counts=True)
    return np.unique(np.concatenate([edges, np.nextafter(edges[times > 1], np.inf)]))


def counts_in(edges: Numbers, values: Numbers) -> list[float]:
    """Return how many values fall below the first edge, from each edge to the next, and from the last one on."""
    import numpy as np

    places = np.searchsorted(edges, values, side="right")
    return [float(count) for count in np.bincount(places, minlength=len(edges) + 1)]


def known_labels(outcomes: Iterable[Outcome], now: datetime) -> dict[tuple[str, int], int]:
    """Return the outcomes known by now, by entity and cut date in microseconds since 1970."""
    return {(one.entity, microseconds(one.as_of)): one.value for one in outcomes if one.known_at <= now}


def matured(answers: SealedAnswers, known: Mapping[tuple[str, int], int]) -> Matured:
    """Return the answers whose outcome is known, with it; those that wait are left out.

    Args:
        answers: One answer an entity.
        known: What became of entities, see `known_labels`.
    """
    import numpy as np

    names = answers.entities.take(answers.entity).to_pylist()
    labels = [known.get(case) for case in zip(names, answers.as_of.tolist(), strict=True)]
    there = np.array([label is not None for label in labels], dtype=bool)
    return Matured(np.array([label for label in labels if label is not None], dtype=np.float64), answers.values[there])
