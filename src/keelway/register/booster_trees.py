"""The trees of LightGBM and XGBoost, read from the text that their library wrote, as one plain description of both.

Neither library is needed to read them. What differs between the two, and is kept here:

- LightGBM splits at `x <= threshold` with thresholds of 64 bits, XGBoost at `x < threshold` with thresholds of 32.
- A missing number goes the way that the split learnt. Where LightGBM met none in training, it takes a missing one for 0.
- XGBoost adds its trees to a base score, LightGBM has put it into the leaves of the first tree.

What cannot be written as such trees (splits by sets of categories, linear models in leaves) is refused by a ValueError.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Link = Literal["identity", "sigmoid", "softmax", "exponent"]
Split = Literal["BRANCH_LEQ", "BRANCH_LT"]

LIGHTGBM_LINKS: dict[str, Link] = {
    "binary": "sigmoid",
    "cross_entropy": "sigmoid",
    "multiclass": "softmax",
    "multiclassova": "sigmoid",
    **dict.fromkeys(("regression", "regression_l1", "huber", "fair", "quantile", "mape"), "identity"),
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "exponent"),
}
"""Objective of LightGBM to what turns the sum of leaves into an answer (`ObjectiveFunction::ConvertOutput`)."""

XGBOOST_LINKS: dict[str, Link] = {
    **dict.fromkeys(("binary:logistic", "reg:logistic"), "sigmoid"),
    "multi:softprob": "softmax",
    **dict.fromkeys(
        (
            "reg:squarederror",
            "reg:squaredlogerror",
            "reg:pseudohubererror",
            "reg:absoluteerror",
            "reg:quantileerror",
        ),
        "identity",
    ),
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie"), "exponent"),
}
"""Objective of XGBoost to what turns the margin into an answer (`ObjFunction::PredTransform`)."""

CATEGORICAL, DEFAULT_LEFT, ZERO_MISSING, NAN_MISSING = 1, 2, 4, 8
"""The bits of LightGBM's `decision_type` (include/LightGBM/tree.h)."""


@dataclass(frozen=True, slots=True)
class BoostedTree:
    """One tree; a node is known by its place, and the first one is the root.

    Attributes:
        output: Which output its leaves add to.
        feature: The column that the node splits by.
        threshold: Where it splits.
        left: The node for smaller numbers; -1 at a leaf.
        right: The node for larger ones; -1 at a leaf.
        missing_left: Whether a missing number goes left.
        leaf: What a leaf adds.
        cover: How much of the training reached the node: rows (LightGBM), or the sum of their second derivatives (XGBoost).
            Empty where the library wrote none.
    """

    output: int
    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    missing_left: tuple[bool, ...]
    leaf: tuple[float, ...]
    cover: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class BoostedTrees:
    """Trees whose leaves are summed, and what makes an answer of the sums.

    Attributes:
        split: Which numbers go left: those up to the threshold, or those below it.
        base: What each output starts from.
        link: What turns the sums into answers.
        slope: What a sum is multiplied by before the link.
    """

    split: Split
    trees: tuple[BoostedTree, ...]
    base: tuple[float, ...]
    link: Link
    slope: float = 1.0


def trees_of(library: str, text: str) -> BoostedTrees:
    """Return the trees that a library wrote.

    Raises:
        ValueError: They do something that plain trees cannot, or the text is none of the library's.
    """
    readers: dict[str, Callable[[str], BoostedTrees]] = {"lightgbm": _lightgbm, "xgboost": _xgboost}
    return readers[library](text)


def _lightgbm(text: str) -> BoostedTrees:
    head, *blocks = re.split(r"^Tree=\d+\n", text.partition("end of trees")[0], flags=re.MULTILINE)
    told = _settings(head)
    objective, *words = told.get("objective", "custom").split()
    if objective not in LIGHTGBM_LINKS or "sqrt" in words:
        raise ValueError(f"objective {' '.join([objective, *words])} of LightGBM has no exported form")
    outputs = int(told["num_tree_per_iteration"])
    rounds = len(blocks) // outputs if "average_output" in told else 1  # random forests
    slopes = [float(word.partition(":")[2]) for word in words if word.startswith("sigmoid:")]
    trees = (_lightgbm_tree(_settings(block), place % outputs, rounds) for place, block in enumerate(blocks))
    return BoostedTrees("BRANCH_LEQ", tuple(trees), (0.0,) * outputs, LIGHTGBM_LINKS[objective], *slopes)


def _settings(block: str) -> dict[str, str]:
    """Return `name=value` lines as a dictionary; a name without a value has an empty one."""
    return {name: value for name, _, value in (line.partition("=") for line in block.splitlines()) if name}


def _lightgbm_tree(told: dict[str, str], output: int, rounds: int) -> BoostedTree:
    """Return one tree: the nodes that split, then the leaves, which LightGBM numbers -1, -2 and so on."""
    if told.get("num_cat", "0") != "0" or told.get("is_linear", "0") != "0":
        raise ValueError("trees of LightGBM that split by categories, or have linear leaves, have no exported form")
    leaves = [float(each) / rounds for each in told["leaf_value"].split()]
    splits = len(leaves) - 1
    thresholds = [float(each) for each in told.get("threshold", "").split()]
    kinds = [int(each) for each in told.get("decision_type", "").split()]
    feature = [int(each) for each in told.get("split_feature", "").split()]
    children = [
        [place if place >= 0 else splits + ~place for place in map(int, told.get(side, "").split())]
        for side in ("left_child", "right_child")
    ]
    lost = [_missing_left(kind, threshold) for kind, threshold in zip(kinds, thresholds, strict=True)]
    none = [0] * len(leaves)
    cover = [float(each) for name in ("internal_count", "leaf_count") for each in told.get(name, "").split()]
    return BoostedTree(
        output=output,
        feature=(*feature, *none),
        threshold=(*thresholds, *none),
        left=(*children[0], *(-1 for _ in leaves)),
        right=(*children[1], *(-1 for _ in leaves)),
        missing_left=(*lost, *(False for _ in leaves)),
        leaf=(*(0.0 for _ in range(splits)), *leaves),
        cover=tuple(cover) if len(cover) == splits + len(leaves) else (),
    )


def _missing_left(kind: int, threshold: float) -> bool:
    """Return which way LightGBM sends a missing number (`Tree::NumericalDecision`)."""
    zero_left, default_left = threshold >= 0, bool(kind & DEFAULT_LEFT)
    if kind & ZERO_MISSING and default_left != zero_left:
        raise ValueError("trees of LightGBM that take 0 for missing have no exported form")
    return default_left if kind & (ZERO_MISSING | NAN_MISSING) else zero_left


def _xgboost(text: str) -> BoostedTrees:
    learner = json.loads(text)["learner"]
    objective, shape = learner["objective"]["name"], learner["learner_model_param"]
    booster = learner["gradient_booster"]
    weights = booster.get("weight_drop")  # DART weighs its trees
    model = booster.get("gbtree", booster).get("model", {})
    if objective not in XGBOOST_LINKS or "trees" not in model or shape.get("num_target", "1") != "1":
        raise ValueError(f"{booster['name']} of XGBoost for {objective} has no exported form")
    link = XGBOOST_LINKS[objective]
    outputs = max(1, int(shape["num_class"]))
    told = json.loads(shape["base_score"])
    scores = [_margin(score, link) for score in (told if isinstance(told, list) else [told])]
    trees = (
        _xgboost_tree(tree, output, 1.0 if weights is None else weights[place])
        for place, (tree, output) in enumerate(zip(model["trees"], model["tree_info"], strict=True))
    )
    return BoostedTrees("BRANCH_LT", tuple(trees), tuple(scores * (outputs // len(scores))), link)


def _margin(score: float, link: Link) -> float:
    """Return a base score as the sum that it stands for (`ObjFunction::ProbToMargin`)."""
    if link == "sigmoid":
        return math.log(score / (1 - score))
    return math.log(score) if link == "exponent" else score


def _xgboost_tree(told: dict[str, Any], output: int, weight: float) -> BoostedTree:
    """Return one tree; the value of a leaf stands among the thresholds."""
    import numpy as np

    if any(told.get("split_type", ())) or told["tree_param"]["size_leaf_vector"] not in ("0", "1"):
        raise ValueError("trees of XGBoost that split by categories, or have several outputs, have no exported form")
    left = tuple(told["left_children"])
    values = np.array(told["split_conditions"], dtype=np.float32).tolist()  # written short: 0.1 is the 32-bit 0.1
    ends = [child == -1 for child in left]
    return BoostedTree(
        output=output,
        feature=tuple(told["split_indices"]),
        threshold=tuple(0.0 if end else value for value, end in zip(values, ends, strict=True)),
        left=left,
        right=tuple(told["right_children"]),
        missing_left=tuple(bool(each) for each in told["default_left"]),
        leaf=tuple(value * weight if end else 0.0 for value, end in zip(values, ends, strict=True)),
        cover=tuple(map(float, told.get("sum_hessian", ()))),
    )
