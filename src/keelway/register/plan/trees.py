"""Fitted trees as flat arrays: those of scikit-learn, and those of LightGBM and XGBoost from the text that is stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from keelway.register.booster_trees import trees_of
from keelway.register.plan.records import PlanLink, PlanModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

Node = tuple[int, float, int, int, Sequence[float], float]
"""Column, threshold, the places of both children (-1 at a leaf), what a leaf adds, and how much of the training came by."""


@dataclass(frozen=True, slots=True)
class Grown:
    """Trees with what makes an answer of the sums of their leaves.

    Attributes:
        trees: The output of each tree, and its nodes, a child behind its parent.
        base: What each sum starts from.
        bits: How wide the numbers are that the library sums up.
    """

    trees: Sequence[tuple[int, Sequence[Node]]]
    base: list[float]
    link: PlanLink = "identity"
    slope: float = 1.0
    divisor: float = 1.0
    bits: Literal[32, 64] = 64

    def model(self, arrays: str) -> PlanModel:
        """Return the record of these trees."""
        return PlanModel("trees", arrays, len(self.base), self.link, self.slope, self.divisor)

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return the arrays that the record names."""
        import numpy as np

        nodes = [node for _, tree in self.trees for node in tree]
        told: list[Sequence[Any]] = list(zip(*nodes, strict=True)) or [()] * 6
        kinds = {"feature": "<i4", "threshold": "<f8", "left": "<i4", "right": "<i4"}
        found: dict[str, NDArray[Any]] = {
            name: np.array(values, dtype=kind) for (name, kind), values in zip(kinds.items(), told, strict=False)
        }
        wide = max((len(values) for values in told[4]), default=1)
        none = [0.0] * wide
        found["values"] = np.array([values or none for values in told[4]], dtype="<f8").reshape(len(nodes), wide)
        found["cover"] = np.array(told[5], dtype="<f8")
        found["sizes"] = np.array([len(tree) for _, tree in self.trees], dtype="<i4")
        found["outputs"] = np.array([output for output, _ in self.trees], dtype="<i4")
        found["base"] = np.array(self.base, dtype="<f8")
        return {f"{prefix}{name}": array for name, array in found.items()}


def grown_trees(estimator: Any, *, task: str, margins: bool) -> Grown | None:
    """Return the trees of a fitted estimator, or None where it has none.

    Args:
        margins: Whether the sums are wanted where the estimator has a decision function, and no probabilities.

    Raises:
        NotImplementedError: Its trees do something that a plan cannot say.
    """
    ways = {
        "BoosterClassifier": _booster,
        "BoosterRegressor": _booster,
        "DecisionTreeClassifier": _forest,
        "DecisionTreeRegressor": _forest,
        "ExtraTreesClassifier": _forest,
        "ExtraTreesRegressor": _forest,
        "RandomForestClassifier": _forest,
        "RandomForestRegressor": _forest,
        "GradientBoostingClassifier": _boosting,
        "GradientBoostingRegressor": _boosting,
        "HistGradientBoostingClassifier": _histogram,
        "HistGradientBoostingRegressor": _histogram,
    }
    is_known = type(estimator).__module__.partition(".")[0] in ("sklearn", "keelway")
    way = ways.get(type(estimator).__name__) if is_known else None
    return way(estimator, task, margins) if way is not None else None


def _booster(estimator: Any, task: str, margins: bool) -> Grown:
    try:
        found = trees_of(estimator.library, estimator.text)
    except ValueError as error:
        raise NotImplementedError(str(error)) from error
    trees = [
        (
            tree.output,
            [
                (feature, threshold, left, right, () if left >= 0 else (leaf,), cover)
                for feature, threshold, left, right, leaf, cover in zip(
                    tree.feature,
                    _cuts(tree.threshold, found.split),
                    tree.left,
                    tree.right,
                    tree.leaf,
                    tree.cover or [0.0] * len(tree.feature),
                    strict=True,
                )
            ],
        )
        for tree in found.trees
    ]
    bits: Literal[32, 64] = 32 if estimator.library == "xgboost" else 64
    if margins and task != "regression" and hasattr(estimator, "decision_function"):
        return Grown(trees, list(found.base), bits=bits)
    return Grown(trees, list(found.base), found.link, found.slope, bits=bits)


def _cuts(thresholds: Sequence[float], split: str) -> Sequence[float]:
    """Return the largest numbers that go left; below a number of 32 bits is up to the one before it."""
    import numpy as np

    if split != "BRANCH_LT":
        return thresholds
    before: list[float] = np.nextafter(np.array(thresholds, np.float32), np.float32(-np.inf)).tolist()
    return before


def _forest(estimator: Any, task: str, margins: bool) -> Grown:  # noqa: ARG001  (a forest has no decision function)
    single = hasattr(estimator, "tree_")
    trees = [estimator] if single else estimator.estimators_
    outputs = len(estimator.classes_) if task == "multiclass" else 1
    taken = slice(1, 2) if task == "binary" else slice(0, outputs)
    nodes = [(0, _nodes(each.tree_, taken)) for each in trees]
    return Grown(nodes, [0.0] * outputs, divisor=float(len(trees)))


def _boosting(estimator: Any, task: str, margins: bool) -> Grown:
    import numpy as np

    if type(estimator.init_).__name__ not in ("DummyClassifier", "DummyRegressor", "str"):
        raise NotImplementedError("boosted trees that start from another model are answered by ONNX")
    start = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), dtype=np.float32))[0]
    rate = estimator.learning_rate
    trees = [
        (output, _nodes(tree.tree_, slice(0, 1), times=rate))
        for stage in estimator.estimators_
        for output, tree in enumerate(stage)
    ]
    base = np.asarray(start, dtype=np.float64).tolist()
    if task == "regression" or margins:
        return Grown(trees, base)
    slope = 2.0 if estimator.loss == "exponential" else 1.0
    return Grown(trees, base, "softmax" if len(base) > 1 else "sigmoid", slope)


def _histogram(estimator: Any, task: str, margins: bool) -> Grown:
    import numpy as np

    trees = []
    for stage in estimator._predictors:
        for output, predictor in enumerate(stage):
            nodes = predictor.nodes
            if nodes["is_categorical"].any():
                raise NotImplementedError("trees that split by sets of categories are answered by ONNX")
            leaf = nodes["is_leaf"].astype(bool)
            sides = (np.where(leaf, -1, nodes[side].astype(np.int64)).tolist() for side in ("left", "right"))
            told = zip(
                nodes["feature_idx"].tolist(), nodes["num_threshold"].tolist(), *sides, nodes["value"].tolist(),
                nodes["count"].tolist(), strict=True,
            )  # fmt: skip
            trees.append((output, [_bounded(*each) for each in told]))
    base = np.ravel(estimator._baseline_prediction).astype(np.float64).tolist()
    if task == "regression":
        links: dict[str, PlanLink] = {"IdentityLink": "identity", "LogLink": "exponent"}
        link = links.get(type(estimator._loss.link).__name__)
        if link is None:
            raise NotImplementedError("this loss of boosted trees is answered by ONNX")
        return Grown(trees, base, link)
    return Grown(trees, base) if margins else Grown(trees, base, "softmax" if len(base) > 1 else "sigmoid")


def _bounded(feature: int, threshold: float, left: int, right: int, value: float, cover: float) -> Node:
    """Return a node with a finite threshold; an infinite one, which sends all but missing numbers left, is the largest."""
    largest = 3.4028234663852886e38
    finite = min(max(threshold, -largest), largest)
    return (feature, finite, left, right, (), cover) if left >= 0 else (0, 0.0, -1, -1, (value,), cover)


def _nodes(tree: Any, taken: slice, *, times: float = 1.0) -> list[Node]:
    """Return the nodes of a tree of scikit-learn."""
    left, right = tree.children_left.tolist(), tree.children_right.tolist()
    values = (times * tree.value[:, 0, taken]).tolist()
    covers = tree.weighted_n_node_samples.tolist()
    told: Iterable[Any] = zip(tree.feature.tolist(), tree.threshold.tolist(), left, right, values, covers, strict=True)
    return [
        (feature, threshold, low, high, (), cover) if low >= 0 else (0, 0.0, -1, -1, tuple(value), cover)
        for feature, threshold, low, high, value, cover in told
    ]
