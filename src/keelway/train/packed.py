"""The trees of scikit-learn's histogram boosting as a few arrays, which is how a stored pipeline holds them.

`HistGradientBoosting...` keeps three small arrays for each tree and one for each column. Written as they are, every one is
a file of the archive and many entries of its schema: hundreds, which took longer to store than all else that a training
leaves. So arrays of one kind are joined, with their lengths, and the very objects of scikit-learn are made of them again.

scikit-learn follows the numbers in a node without asking where they lead. They are looked at here, when a pipeline is
loaded, so that damaged or forged trees are refused and never followed.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from keelway.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HISTOGRAM_BOOSTING = "sklearn.ensemble._hist_gradient_boosting."
WORDS = 8
"""Numbers of 32 bits that tell a set among 256 categories."""


@dataclass(frozen=True, eq=False)
class PackedArrays:
    """Arrays with elements of one type, one behind the other; plain data.

    Attributes:
        values: All of them, joined along their first axis.
        lengths: How long each one is.
    """

    values: NDArray[Any]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, arrays: Sequence[NDArray[Any]]) -> Self:
        """Return at least one array, all of one type, as one."""
        import numpy as np

        first = arrays[0]
        # Joined as bytes: numpy compares the types of records field by field, for each array anew.
        joined = np.frombuffer(bytearray().join(each.tobytes() for each in arrays), dtype=first.dtype)
        lengths = np.array([len(each) for each in arrays], dtype=np.int64)
        return cls(joined.reshape(-1, *first.shape[1:]), lengths)

    def arrays(self) -> list[NDArray[Any]]:
        """Return every array, as a part of the whole.

        Raises:
            IntegrityError: The lengths do not add up.
        """
        import numpy as np

        values, lengths = np.asarray(self.values), np.asarray(self.lengths)
        known = values.ndim > 0 and lengths.ndim == 1 and lengths.dtype == np.int64
        # No length is above that of the whole, so that the sum cannot overflow.
        sound = known and _within(lengths, 0, len(values) + 1) and lengths.sum() == len(values)
        _require(bool(sound), "lengths that add up", f"{lengths.dtype} lengths of an array {values.shape}")
        return [values[begin:end] for begin, end in pairwise([0, *lengths.cumsum().tolist()])]


@dataclass(frozen=True, eq=False)
class PackedTrees:
    """What scikit-learn keeps of boosted trees, in the order of their growth; plain data.

    Attributes:
        nodes: The nodes of each tree, the root first.
        binned_sets: For each tree the sets of categories that go left, of columns as they were learnt from.
        raw_sets: The same sets of columns as they come.
        at_once: How many trees are grown in one iteration.
    """

    nodes: PackedArrays
    binned_sets: PackedArrays
    raw_sets: PackedArrays
    at_once: int

    @classmethod
    def of(cls, iterations: Sequence[Sequence[Any]]) -> Self:
        """Return the trees of at least one iteration; of every one there are equally many."""
        trees = [tree for iteration in iterations for tree in iteration]
        return cls(
            PackedArrays.of([tree.nodes for tree in trees]),
            PackedArrays.of([tree.binned_left_cat_bitsets for tree in trees]),
            PackedArrays.of([tree.raw_left_cat_bitsets for tree in trees]),
            len(iterations[0]),
        )

    def iterations(self) -> list[list[Any]]:
        """Return scikit-learn's trees, by the iteration that grew them.

        Raises:
            IntegrityError: Lengths do not add up.
        """
        from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

        parts = (self.nodes.arrays(), self.binned_sets.arrays(), self.raw_sets.arrays())
        trees = [TreePredictor(*each) for each in zip(*parts, strict=True)]
        whole = self.at_once > 0 and len(trees) % self.at_once == 0
        _require(whole, "as many trees in each iteration", f"{len(trees)} trees, {self.at_once} at once")
        return [trees[begin : begin + self.at_once] for begin in range(0, len(trees), self.at_once)]


def has_trees(estimator: object) -> bool:
    """Say whether an estimator is scikit-learn's own histogram boosting, fitted."""
    return type(estimator).__module__.startswith(HISTOGRAM_BOOSTING) and bool(getattr(estimator, "_predictors", None))


def packed(estimator: Any) -> Any:
    """Return a copy of a fitted histogram boosting that holds a few arrays instead of many."""
    made, bins = copy.copy(estimator), copy.copy(estimator._bin_mapper)
    bins.bin_thresholds_ = PackedArrays.of(bins.bin_thresholds_)
    made._bin_mapper, made._predictors = bins, PackedTrees.of(made._predictors)
    return made


def unpack(estimator: Any) -> None:
    """Give a loaded histogram boosting its trees and bins back, and look at all trees, however they were stored.

    Raises:
        IntegrityError: Lengths do not add up, or a node leads astray.
    """
    held, bins = estimator._predictors, estimator._bin_mapper
    if isinstance(bins.bin_thresholds_, PackedArrays):
        bins.bin_thresholds_ = bins.bin_thresholds_.arrays()
    if isinstance(held, PackedTrees):
        estimator._predictors = held.iterations()
    else:  # stored before trees were packed
        held = PackedTrees.of(held)
    _check_trees(held, columns=estimator.n_features_in_, categorical=bins.is_categorical_)


def _check_trees(trees: PackedTrees, *, columns: int, categorical: NDArray[np.bool_]) -> None:
    """Refuse trees whose nodes lead anywhere but on to other nodes of their own, or ask for what there is not.

    Args:
        trees: Their lengths add up.
        columns: How many the estimator is given.
        categorical: For each column whether it holds categories.
    """
    import numpy as np
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE, X_BITSET_INNER_DTYPE

    nodes, sizes, sets = trees.nodes.values, trees.nodes.lengths, trees.raw_sets.lengths
    kept = [trees.raw_sets.values, trees.binned_sets.values]
    _require(nodes.dtype == PREDICTOR_RECORD_DTYPE and nodes.ndim == 1, "nodes as scikit-learn has them", nodes.dtype)
    _require(
        all(each.dtype == X_BITSET_INNER_DTYPE and each.shape[1:] == (WORDS,) for each in kept),
        f"sets of {WORDS} numbers of 32 bits",
        [f"{each.dtype} {each.shape}" for each in kept],
    )
    _require(np.array_equal(sets, trees.binned_sets.lengths), "as many sets of both kinds in each tree", "others")
    _require(categorical.shape == (columns,), f"{columns} columns", categorical.shape)
    _check_ways(nodes, sizes)
    inner = nodes[nodes["is_leaf"] == 0]
    _require(_within(inner["feature_idx"], 0, columns), f"columns below {columns}", "others")
    split, there = inner["is_categorical"] != 0, np.repeat(sets, sizes)[nodes["is_leaf"] == 0]
    _require(bool(categorical[inner["feature_idx"][split]].all()), "sets of categories at columns of them", "others")
    _require(bool((inner["bitset_idx"] < there)[split].all()), "sets of categories that are there", "others")


def _check_ways(nodes: NDArray[Any], sizes: NDArray[np.int64]) -> None:
    """Refuse trees in which a way does not end at a leaf: each node but the root has one parent, which stands before it."""
    import numpy as np

    _require(_within(sizes, 1, len(nodes) + 1), "a root in each tree", "an empty tree")
    first = np.repeat(sizes.cumsum() - sizes, sizes)  # for each node where its tree begins
    place = np.arange(len(nodes)) - first
    inner = nodes["is_leaf"] == 0
    children = np.concatenate([nodes[side][inner] for side in ("left", "right")])
    behind, within = (np.tile(each[inner], 2) for each in (place, np.repeat(sizes, sizes)))
    _require(_within(children, behind + 1, within), "children behind their parents, in the same tree", "others")
    parented = np.sort(children + np.tile(first[inner], 2))
    _require(np.array_equal(parented, np.flatnonzero(place)), "one parent of each node but the root", "others")


def _within(numbers: NDArray[Any], least: Any, end: Any) -> bool:
    """Say whether all numbers are at least the one and below the other."""
    return bool(((numbers >= least) & (numbers < end)).all())


def _require(sound: bool, expected: str, found: object) -> None:
    if not sound:
        raise IntegrityError(
            "The trees of a stored pipeline are damaged",
            expected=expected,
            found=str(found),
            fix="Do not use these bytes: training stores no such trees. Train again.",
        )
