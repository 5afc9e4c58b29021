"""Figures of two arms' answers: how they are spread, and how they turned out where the outcome is known by now."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.deploy.analysis import ClassAnswers, Matured, moments_of
from keelway.monitor.rollout.answers import microseconds

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from keelway.core import Outcome
    from keelway.monitor.rollout.answers import SealedAnswers
    from keelway.project import LabelValue

    Numbers = NDArray[np.float64]
    Known = Mapping[tuple[str, int], LabelValue]

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


def class_order(classes: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the classes of all versions in one order.

    >>> class_order({"animals:2": ("cat", "dog", "owl"), "animals:1": ("dog", "cat")})
    ('dog', 'cat', 'owl')
    """
    return tuple(dict.fromkeys(name for version in sorted(classes) for name in classes[version]))


def class_shares(
    answers: SealedAnswers, table: pa.Table, classes: Mapping[str, Sequence[str]], order: Sequence[str]
) -> Numbers | None:
    """Return the probability of each class, (rows, classes); 0 where the version that answered does not have a class.

    Args:
        answers: Places in the table.
        table: As `sealed_columns` returns it.
        classes: Of each version, in the order of its answers.
        order: In which they are wanted.

    Returns:
        None where it is not known what the probabilities of a version are of.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = table.select(["version", "shares"]).take(pa.array(answers.row)).combine_chunks()
    found, versions = rows["shares"].combine_chunks(), rows["version"].combine_chunks()
    of_version = versions.indices.to_numpy(zero_copy_only=False)
    made, place = np.zeros((len(answers), len(order))), {name: number for number, name in enumerate(order)}
    for number, version in enumerate(versions.dictionary.to_pylist()):
        mine = np.flatnonzero(of_version == number)
        if not len(mine):
            continue
        given, names = found.take(pa.array(mine)), classes.get(version, ())
        lengths = pc.fill_null(pc.list_value_length(given), 0).to_numpy(zero_copy_only=False)
        if not names or not (lengths == len(names)).all():
            return None
        columns = np.array([place[name] for name in names])
        made[mine[:, None], columns] = given.flatten().to_numpy().reshape(len(mine), -1)
    return made


def class_answers(shares: Numbers) -> ClassAnswers:
    """Return how answers are spread over classes: how often each is the likeliest, and how probable it is.

    Args:
        shares: Of one answer an entity; see `class_shares`.
    """
    import numpy as np

    likeliest = (
        np.bincount(shares.argmax(axis=1), minlength=shares.shape[1]) if len(shares) else np.zeros(shares.shape[1])
    )
    return ClassAnswers(tuple(map(float, likeliest)), tuple(moments_of(column) for column in shares.T))


def known_labels(outcomes: Iterable[Outcome], now: datetime) -> dict[tuple[str, int], LabelValue]:
    """Return the outcomes known by now, by entity and cut date in microseconds since 1970."""
    return {(one.entity, microseconds(one.as_of)): one.value for one in outcomes if one.known_at <= now}


def matured(answers: SealedAnswers, known: Known) -> Matured:
    """Return the answers whose outcome is known, with it; those that wait are left out.

    Args:
        answers: One answer an entity.
        known: What became of entities, see `known_labels`; what is no number there is NaN, which no figure takes.
    """
    import numpy as np

    labels, there = _joined(answers, known)
    numbers = [math.nan if isinstance(label, str) else float(label) for label in labels]
    return Matured(np.array(numbers, dtype=np.float64), answers.values[there])


def matured_classes(answers: SealedAnswers, shares: Numbers, known: Known, order: Sequence[str]) -> Matured:
    """Return the same of answers with classes; a class that no version has was given no probability.

    Args:
        answers: One answer an entity.
        shares: Of these answers; see `class_shares`.
        known: What became of entities.
        order: Of the classes.
    """
    import numpy as np

    labels, there = _joined(answers, known)
    names = [str(label) for label in labels]
    place = {name: number for number, name in enumerate(dict.fromkeys([*order, *sorted(set(names))]))}
    wide = np.zeros((len(names), len(place)))
    wide[:, : len(order)] = shares[there]
    return Matured(np.array([place[name] for name in names], dtype=np.intp), wide)


def _joined(answers: SealedAnswers, known: Known) -> tuple[list[LabelValue], NDArray[np.bool_]]:
    """Return the outcomes that are known, and of which answers they are."""
    import numpy as np

    names = answers.entities.take(answers.entity).to_pylist()
    labels = [known.get(case) for case in zip(names, answers.as_of.tolist(), strict=True)]
    there = np.array([label is not None for label in labels], dtype=bool)
    return [label for label in labels if label is not None], there
