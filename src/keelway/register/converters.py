"""How stages become ONNX nodes where the converter has no answer of its own, or a wrong one.

What is mended, each with a parity test:

- Boosted trees: the converter hands boolean attributes to them, which onnx refuses.
- Target encoding: it knows no multiclass labels.
- Calibration: its isotonic form takes the nearest step instead of the line between two (onnx/sklearn-onnx issue 200, open
  since 2019); here the line is drawn as scikit-learn draws it.
- Missing-number columns, known levels and column selection have no converter at all.
"""

from __future__ import annotations

from typing import Any

from keelway.register.boosted import calibrated_scores, convert_boosted_classifier, convert_boosted_numbers
from keelway.register.networks import convert_network_classifier, convert_network_numbers, network_probabilities
from keelway.register.nodes import FLOAT, class_shapes, column, constant, input_of, label_of, node, two_classes


def own_converters() -> dict[str, Any]:
    """Return the arguments of `convert_sklearn` that replace or add conversions."""
    from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes as regressor_shapes
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.impute import MissingIndicator
    from sklearn.preprocessing import TargetEncoder

    from keelway.train.networks import NetworkClassifier, NetworkRegressor
    from keelway.train.stages import BoosterClassifier, BoosterRegressor, ColumnSelector, KnownLevels, To32Bits

    matrices = {
        ColumnSelector: _convert_selector,
        KnownLevels: _convert_levels,
        MissingIndicator: _convert_indicator,
        TargetEncoder: _convert_target,
        To32Bits: _convert_narrow,
    }
    classifiers = {
        BoosterClassifier: convert_boosted_classifier,
        CalibratedClassifierCV: _convert_calibrated,
        HistGradientBoostingClassifier: _convert_trees,
        NetworkClassifier: convert_network_classifier,
    }
    numbers = {
        BoosterRegressor: convert_boosted_numbers,
        HistGradientBoostingRegressor: _convert_tree_numbers,
        NetworkRegressor: convert_network_numbers,
    }
    shapes = {kind: _text_shape if kind is KnownLevels else _matrix_shape for kind in matrices}
    return {
        "custom_conversion_functions": {**matrices, **classifiers, **numbers},
        "custom_shape_calculators": {
            **shapes,
            **dict.fromkeys(classifiers, class_shapes),
            **dict.fromkeys(numbers, regressor_shapes),
        },
    }


def width_of(stage: Any) -> int:
    """Return how many columns a fitted stage gives."""
    widths = {
        "ColumnSelector": lambda: len(stage.kept_),
        "KnownLevels": lambda: len(stage.levels),
        "TargetEncoder": lambda: len(stage.encodings_),
    }
    return widths[type(stage).__name__]() if type(stage).__name__ in widths else int(stage.n_features_in_)


def _matrix_shape(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType

    stage = operator.raw_operator
    wide = operator.inputs[0].type.shape[1] if type(stage).__name__ == "To32Bits" else width_of(stage)
    operator.outputs[0].type = FloatTensorType([None, wide])


def _text_shape(operator: Any) -> None:
    from skl2onnx.common.data_types import StringTensorType

    operator.outputs[0].type = StringTensorType([None, width_of(operator.raw_operator)])


def _convert_trees(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.operator_converters.random_forest import convert_sklearn_random_forest_classifier

    convert_sklearn_random_forest_classifier(scope, operator, _IntegerAttributes(container), op_version=3)


def _convert_tree_numbers(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.operator_converters.random_forest import convert_sklearn_random_forest_regressor_converter

    convert_sklearn_random_forest_regressor_converter(scope, operator, _IntegerAttributes(container), op_version=3)


def _convert_narrow(scope: Any, operator: Any, container: Any) -> None:
    node(scope, container, "Cast", [input_of(operator)], output=operator.outputs[0].full_name, to=FLOAT)


def _convert_indicator(scope: Any, operator: Any, container: Any) -> None:
    missing = node(scope, container, "IsNaN", [input_of(operator)])
    node(scope, container, "Cast", [missing], output=operator.outputs[0].full_name, to=FLOAT)


def _convert_selector(scope: Any, operator: Any, container: Any) -> None:
    places = constant(scope, container, operator.raw_operator.kept_, whole=True)
    node(scope, container, "Gather", [input_of(operator), places], output=operator.outputs[0].full_name, axis=1)


def _convert_levels(scope: Any, operator: Any, container: Any) -> None:
    """Write the level itself where it is known, and one name for all others."""
    from keelway.train.stages import RARE

    columns = [
        _lookup(scope, container, column(scope, container, input_of(operator), place), levels, levels, RARE)
        for place, levels in enumerate(operator.raw_operator.levels)
    ]
    node(scope, container, "Concat", columns, output=operator.outputs[0].full_name, axis=1)


def _convert_target(scope: Any, operator: Any, container: Any) -> None:
    """Write the mean outcome of the level, for each class where there are several; for an unknown level that of all rows."""
    import numpy as np

    encoder = operator.raw_operator
    means = np.atleast_1d(encoder.target_mean_)
    columns = []
    for place, levels in enumerate(encoder.categories_):
        told = column(scope, container, input_of(operator), place)
        for number, mean in enumerate(means):
            values = [float(value) for value in encoder.encodings_[place * len(means) + number]]
            columns.append(_lookup(scope, container, told, [str(level) for level in levels], values, float(mean)))
    node(scope, container, "Concat", columns, output=operator.outputs[0].full_name, axis=1)


def _convert_calibrated(scope: Any, operator: Any, container: Any) -> None:
    """Write the mean over the folds' classifiers, each with its calibrators."""
    model = operator.raw_operator
    shares = [_calibrated_shares(scope, operator, container, each) for each in model.calibrated_classifiers_]
    total = node(scope, container, "Sum", shares)
    count = constant(scope, container, [float(len(shares))])
    output = operator.outputs[1].full_name
    node(scope, container, "Div", [total, count], output=output)
    label_of(scope, operator, container)


def _calibrated_shares(scope: Any, operator: Any, container: Any, fitted: Any) -> str:
    """Return the name of one fold's probabilities, which sum to 1 in each row."""
    scores = _scores(scope, operator, container, fitted.estimator)
    if len(fitted.classes) == 2:
        positive = _calibrate(scope, container, column(scope, container, scores, 1), fitted.calibrators[0])
        return two_classes(scope, container, positive)
    columns = [
        _calibrate(scope, container, column(scope, container, scores, place), calibrator)
        for place, calibrator in enumerate(fitted.calibrators)
    ]
    matrix = node(scope, container, "Concat", columns, axis=1)
    axes = constant(scope, container, [1], whole=True)
    total = node(scope, container, "ReduceSum", [matrix, axes], keepdims=1)
    nothing = node(scope, container, "Equal", [total, constant(scope, container, [0.0])])
    even = constant(scope, container, [1.0 / len(columns)])
    return node(scope, container, "Where", [nothing, even, node(scope, container, "Div", [matrix, total])])


def _scores(scope: Any, operator: Any, container: Any, base: Any) -> str:
    """Return the name of what is calibrated: the decision function where there is one, else the probabilities."""
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    from keelway.train.networks import NetworkClassifier
    from keelway.train.stages import BoosterClassifier

    if isinstance(base, BoosterClassifier):
        return calibrated_scores(scope, container, base, input_of(operator))
    if isinstance(base, NetworkClassifier):
        return network_probabilities(scope, container, base, input_of(operator))
    inner = scope.declare_local_operator(sklearn_operator_name_map[type(base)], base)
    inner.inputs = operator.inputs
    if hasattr(base, "decision_function"):
        container.add_options(id(base), {"raw_scores": True})
        scope.add_options(id(base), {"raw_scores": True})
    scores = scope.declare_local_variable("scores", FloatTensorType())
    inner.outputs.append(scope.declare_local_variable("label", Int64TensorType()))
    inner.outputs.append(scores)
    return str(scores.full_name)


def _calibrate(scope: Any, container: Any, score: str, calibrator: Any) -> str:
    """Return the name of a calibrated column: a sigmoid, or lines between the thresholds of an isotonic regression."""
    import numpy as np

    if hasattr(calibrator, "a_"):
        slope, shift = (constant(scope, container, [-float(each)]) for each in (calibrator.a_, calibrator.b_))
        line = node(scope, container, "Add", [node(scope, container, "Mul", [score, slope]), shift])
        return node(scope, container, "Sigmoid", [line])
    x, y = (np.asarray(each, dtype=np.float64) for each in (calibrator.X_thresholds_, calibrator.y_thresholds_))
    if len(x) == 1:
        zero = node(scope, container, "Mul", [score, constant(scope, container, [0.0])])
        return node(scope, container, "Add", [zero, constant(scope, container, [float(y[0])])])
    # y = y[0] + the sum over all pieces of (how much of the piece lies below the score) * (its rise)
    lengths, rises = (
        constant(scope, container, np.diff(x)),
        constant(scope, container, np.diff(y), shape=[len(x) - 1, 1]),
    )
    beyond = node(scope, container, "Sub", [score, constant(scope, container, x[:-1])])
    share = node(scope, container, "Div", [beyond, lengths])
    bounded = node(
        scope, container, "Clip", [share, *(constant(scope, container, each, shape=[]) for each in ([0.0], [1.0]))]
    )
    rise = node(scope, container, "MatMul", [bounded, rises])
    return node(scope, container, "Add", [rise, constant(scope, container, [float(y[0])])])


def _lookup(scope: Any, container: Any, column: str, keys: list[str], values: list[Any], default: Any) -> str:
    """Return the name of a column of looked-up values, texts or numbers."""
    kind = "string" if isinstance(default, str) else "float"
    told = {"keys_strings": keys, f"values_{kind}s": values, f"default_{kind}": default}
    return node(scope, container, "LabelEncoder", [column], domain="ai.onnx.ml", version=2, **told)


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
