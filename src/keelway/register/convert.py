"""Export a fitted pipeline as ONNX with one tensor of numbers and one of categories, which is the fastest form to call.

Two faults of the converter are mended here: it hands boolean attributes to gradient-boosted trees, which onnx refuses,
and it rounds their thresholds to the nearest 32-bit float, where only rounding down keeps `x <= threshold` the same.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

from keelway.errors import TrainingError
from keelway.features import FeatureColumn
from keelway.register.onnx_model import CATEGORICAL, NUMERIC

OPSET = {"": 18, "ai.onnx.ml": 3}


def to_onnx(pipeline: Any, features: Sequence[FeatureColumn]) -> bytes:
    """Return the ONNX form of a fitted pipeline; the same pipeline gives the same bytes.

    Raises:
        TrainingError: The estimator has no ONNX form.
    """
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    numeric = sum(each.kind == "numeric" for each in features)
    inputs: list[tuple[str, Any]] = []
    if numeric:
        inputs.append((NUMERIC, FloatTensorType([None, numeric])))
    if numeric < len(features):
        inputs.append((CATEGORICAL, StringTensorType([None, len(features) - numeric])))
    exact = _with_exact_thresholds(pipeline)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter's own deprecations
            made = convert_sklearn(
                exact,
                name="keelway",
                initial_types=inputs,
                options={id(exact[-1]): {"zipmap": False}},
                target_opset=OPSET,
                **_own_converters(),
            )
    except (MissingConverter, MissingShapeCalculator, NotImplementedError, RuntimeError, ValueError) as error:
        raise TrainingError(
            f"{type(pipeline[-1]).__name__} cannot be exported to ONNX",
            found=str(error).strip().splitlines()[0][:200],
            fix="Use an estimator that skl2onnx converts, such as LogisticRegression or HistGradientBoostingClassifier.",
        ) from error
    data: bytes = made.SerializeToString(deterministic=True)
    return data


def _with_exact_thresholds(pipeline: Any) -> Any:
    """Return a copy whose boosted trees have 32-bit thresholds that split 32-bit numbers just as the 64-bit ones do."""
    import numpy as np

    exact = copy.deepcopy(pipeline)
    for trees in getattr(exact[-1], "_predictors", ()):
        for tree in trees:
            wide = tree.nodes["num_threshold"]
            with np.errstate(over="ignore"):
                narrow = wide.astype(np.float32)
            above = narrow.astype(np.float64) > wide
            tree.nodes["num_threshold"] = np.where(above, np.nextafter(narrow, np.float32(-np.inf)), narrow)
    return exact


def _own_converters() -> dict[str, Any]:
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
    from skl2onnx.operator_converters.random_forest import convert_sklearn_random_forest_classifier
    from sklearn.ensemble import HistGradientBoostingClassifier

    def convert(scope: Any, operator: Any, container: Any) -> None:
        convert_sklearn_random_forest_classifier(scope, operator, _IntegerAttributes(container), op_version=3)

    return {
        "custom_conversion_functions": {HistGradientBoostingClassifier: convert},
        "custom_shape_calculators": {HistGradientBoostingClassifier: calculate_linear_classifier_output_shapes},
    }


class _IntegerAttributes:
    """A converter's container that turns booleans and numpy integers in node attributes into integers."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, *arguments: Any, **attributes: Any) -> None:
        """Add a node as the container does."""
        self._container.add_node(*arguments, **{name: _integers(value) for name, value in attributes.items()})


def _integers(value: Any) -> Any:
    import numpy as np

    if isinstance(value, list) and all(isinstance(item, (bool, int, np.bool_, np.integer)) for item in value):
        return [int(item) for item in value]
    return value
