"""Dealing rows out at random, so that each part has the same shares of classes, and no group is cut in two.

Single rows are dealt like cards, class after class: every part then holds every class within one row of its share.
Groups are dealt largest first, each to the part that lacks its classes most, as scikit-learn's StratifiedGroupKFold
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def dealt(
    classes: NDArray[np.intp], groups: NDArray[np.intp], *, shares: Sequence[float], seed: int
) -> NDArray[np.intp]:
    """Return the part that each row belongs to, from 0.

    Args:
        classes: The class of each row, from 0.
        groups: The group of each row, from 0; rows of one group belong to one part.
        shares: The share of rows of each part, in sum 1: equal ones, or two.
        seed: The same seed deals the same rows the same way.
    """
    import numpy as np

    draw = np.random.default_rng(seed)
    sizes = np.bincount(groups)
    if sizes.max(initial=0) > 1:
        return _groups_dealt(classes, groups, np.asarray(shares), draw)
    order = np.lexsort((draw.random(len(classes)), classes))
    parts = np.empty(len(classes), dtype=np.intp)
    parts[order] = _turns(len(classes), shares)
    return parts


def _turns(count: int, shares: Sequence[float]) -> NDArray[np.intp]:
    """Return whose turn it is, so that among any rows in a row each part has its share within one row."""
    import numpy as np

    if len(set(shares)) == 1:
        turns: NDArray[np.intp] = np.arange(count, dtype=np.intp) % len(shares)
        return turns
    reached: NDArray[np.intp] = np.floor(np.arange(count + 1) * shares[1] + 0.5).astype(np.intp)
    return reached[1:] - reached[:-1]


def _groups_dealt(
    classes: NDArray[np.intp], groups: NDArray[np.intp], shares: NDArray[np.float64], draw: np.random.Generator
) -> NDArray[np.intp]:
    import numpy as np

    counts = np.zeros((groups.max() + 1, classes.max() + 1))
    np.add.at(counts, (groups, classes), 1)
    wanted = shares[:, None] * np.maximum(counts.sum(axis=0), 1)
    lacking = wanted.copy()
    shuffled = draw.permutation(len(counts))
    order = shuffled[np.argsort(-counts[shuffled].sum(axis=1), kind="stable")]
    part_of = np.empty(len(counts), dtype=np.intp)
    for group in order:
        part = int(np.argmax((lacking / wanted) @ counts[group]))
        part_of[group] = part
        lacking[part] -= counts[group]
    return part_of[groups]
