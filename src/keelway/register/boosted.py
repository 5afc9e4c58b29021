"""Boosted trees of LightGBM and XGBoost as one ONNX node that compares and adds in 64 bits, and what makes answers of its sums."""

from __future__ import annotations

from typing import Any

from keelway.register.booster_trees import BoostedTrees, trees_of
from keelway.register.nodes import constant, input_of, label_of, node, two_classes

DOUBLE = 11  # onnx.TensorProto.DOUBLE


def convert_boosted_classifier(scope: Any, operator: Any, container: Any) -> None:
    """Write a stored booster's probabilities, and the most probable class."""
    stored, output = operator.raw_operator, operator.outputs[1].full_name
    probabilities(scope, container, stored, input_of(operator), output=output)
    label_of(scope, operator, container)


def convert_boosted_numbers(scope: Any, operator: Any, container: Any) -> None:
    """Write a stored booster's numbers."""
    stored, output = operator.raw_operator, operator.outputs[0].full_name
    trees = trees_of(stored.library, stored.text)
    _answers(scope, container, trees, input_of(operator), output=output)


def probabilities(scope: Any, container: Any, stored: Any, matrix: str, *, output: str = "") -> str:
    """Return the name of a stored booster's probabilities, one column a class."""
    trees = trees_of(stored.library, stored.text)
    if len(trees.base) > 1:
        return _answers(scope, container, trees, matrix, output=output)
    return two_classes(scope, container, _answers(scope, container, trees, matrix), output=output)


def calibrated_scores(scope: Any, container: Any, stored: Any, matrix: str) -> str:
    """Return the name of what a calibration reads, one column a class; of two classes only the second column counts."""
    if not stored.margins:
        return probabilities(scope, container, stored, matrix)
    trees = trees_of(stored.library, stored.text)
    sums = _sums(scope, container, trees, matrix)
    return sums if len(trees.base) > 1 else node(scope, container, "Concat", [sums, sums], axis=1)


def _answers(scope: Any, container: Any, trees: BoostedTrees, matrix: str, *, output: str = "") -> str:
    """Return the name of the answers: one column, or one a class."""
    if trees.link == "identity":
        return _sums(scope, container, trees, matrix, output=output)
    sums = _sums(scope, container, trees, matrix)
    if trees.slope != 1:
        sums = node(scope, container, "Mul", [sums, constant(scope, container, [trees.slope])])
    if trees.link == "softmax":
        return node(scope, container, "Softmax", [sums], output=output, axis=1)
    return node(scope, container, {"sigmoid": "Sigmoid", "exponent": "Exp"}[trees.link], [sums], output=output)


def _sums(scope: Any, container: Any, trees: BoostedTrees, matrix: str, *, output: str = "") -> str:
    """Return the name of the sums of the leaves, one column an output."""
    wide = node(scope, container, "Cast", [matrix], to=DOUBLE)
    told = {"domain": "ai.onnx.ml", "version": 3, **_attributes(trees)}
    return node(scope, container, "TreeEnsembleRegressor", [wide], output=output, **told)


def _attributes(trees: BoostedTrees) -> dict[str, Any]:
    """Return the trees as the attributes of a TreeEnsembleRegressor (ai.onnx.ml, version 3)."""
    import numpy as np
    from onnx.numpy_helper import from_array

    def doubles(name: str, values: list[float]) -> Any:
        return from_array(np.array(values, dtype=np.float64), name)

    nodes = [(number, place) for number, tree in enumerate(trees.trees) for place in range(len(tree.left))]
    ends = [(number, place) for number, place in nodes if trees.trees[number].left[place] < 0]
    every = {name: [each for tree in trees.trees for each in getattr(tree, name)] for name in _PARTS}
    return {
        "n_targets": len(trees.base),
        "post_transform": "NONE",
        "aggregate_function": "SUM",
        "base_values_as_tensor": doubles("base_values_as_tensor", list(trees.base)),
        "nodes_treeids": [number for number, _ in nodes],
        "nodes_nodeids": [place for _, place in nodes],
        "nodes_featureids": every["feature"],
        "nodes_modes": [trees.split if left >= 0 else "LEAF" for left in every["left"]],
        "nodes_values_as_tensor": doubles("nodes_values_as_tensor", every["threshold"]),
        "nodes_truenodeids": [max(0, each) for each in every["left"]],
        "nodes_falsenodeids": [max(0, each) for each in every["right"]],
        "nodes_missing_value_tracks_true": [int(each) for each in every["missing_left"]],
        "target_treeids": [number for number, _ in ends],
        "target_nodeids": [place for _, place in ends],
        "target_ids": [trees.trees[number].output for number, _ in ends],
        "target_weights_as_tensor": doubles(
            "target_weights_as_tensor", [trees.trees[number].leaf[place] for number, place in ends]
        ),
    }


_PARTS = ("feature", "threshold", "left", "right", "missing_left")
