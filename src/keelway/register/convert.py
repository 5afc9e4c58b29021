"""Export a fitted pipeline, or an ensemble of them, as one ONNX graph, which is the fastest form to call.

The graph reads at most four tensors: numbers, categories, the columns that texts became, and arrays. How texts become columns
stands in its metadata. Trees have their thresholds rounded down to 32-bit numbers, where only rounding down keeps
`x <= threshold` the same.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

from keelway.core import canonical_json
from keelway.errors import TrainingError
from keelway.features import FeatureColumn
from keelway.register.combine import combined_graph
from keelway.register.converters import own_converters
from keelway.register.onnx_model import ARRAYS, CATEGORICAL, NUMERIC, TEXTS
from keelway.train import vectors_told

OPSET = {"": 18, "ai.onnx.ml": 3}


def to_onnx(pipeline: Any, features: Sequence[FeatureColumn]) -> bytes:
    """Return the ONNX form of a fitted pipeline or ensemble; the same pipeline gives the same bytes.

    Raises:
        TrainingError: The estimator has no ONNX form.
    """
    if hasattr(pipeline, "manifest"):
        graph = combined_graph(pipeline.manifest, [_graph(each, features) for each in pipeline.members])
    else:
        graph = _graph(pipeline, features)
    data: bytes = graph.SerializeToString(deterministic=True)
    return data


def _graph(pipeline: Any, features: Sequence[FeatureColumn]) -> Any:
    """Return the ONNX model of one fitted pipeline."""
    from onnx.helper import set_model_props
    from skl2onnx import convert_sklearn
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    exact = _with_exact_thresholds(pipeline)
    texts = _read_by_column(exact, features)
    last = exact[-1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter's own deprecations
            made = convert_sklearn(
                exact,
                name="keelway",
                initial_types=_inputs(features, sum(each["columns"] for each in texts)),
                options=_options(last),
                target_opset=OPSET,
                **own_converters(),
            )
    except (MissingConverter, MissingShapeCalculator, NotImplementedError, RuntimeError, ValueError, KeyError) as error:
        raise TrainingError(
            f"{type(pipeline[-1]).__name__} cannot be exported to ONNX",
            found=(str(error).strip() or repr(error)).splitlines()[0][:200],
            fix="Use an estimator that skl2onnx converts, such as LogisticRegression or HistGradientBoostingClassifier, or declare "
            'serve="python" in the model.',
        ) from error
    if texts:
        set_model_props(made, {TEXTS: canonical_json(texts).decode()})
    return made


def _options(last: Any) -> dict[int, dict[str, Any]] | None:
    """Return what lets a classifier answer with a matrix; those of our own converters do so by themselves."""
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from sklearn.base import is_classifier

    return {id(last): {"zipmap": False}} if is_classifier(last) and type(last) in sklearn_operator_name_map else None


def _inputs(features: Sequence[FeatureColumn], text_columns: int) -> list[tuple[str, Any]]:
    """Return the tensors that the graph reads, in the order of a frame's columns."""
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    numeric = sum(each.kind == "numeric" for each in features)
    categorical = sum(each.kind == "categorical" for each in features)
    arrays = sum(each.length for each in features if each.kind == "array")
    tensors = [
        (NUMERIC, FloatTensorType, numeric),
        (CATEGORICAL, StringTensorType, categorical),
        (TEXTS, FloatTensorType, text_columns),
        (ARRAYS, FloatTensorType, arrays),
    ]
    return [(name, kind([None, width])) for name, kind, width in tensors if width]


def _read_by_column(pipeline: Any, features: Sequence[FeatureColumn]) -> list[dict[str, Any]]:
    """Let a pipeline read the columns that texts became, and return how each text becomes them.

    A text stands in one column of a frame, and in several of the graph's tensor, so the arrays behind move.
    """
    from sklearn.preprocessing import FunctionTransformer

    prepare = pipeline[0]
    start = sum(each.kind in ("numeric", "categorical") for each in features)
    names = [each.name for each in features if each.kind == "text"]
    told, place, moved = [], start, []
    for name, stage, columns in prepare.transformers_:
        if hasattr(stage, "vectors"):
            vectors = stage.vectors()
            told.append({"feature": names[columns[0] - start], **vectors_told(vectors)})
            moved.append((name, FunctionTransformer(), list(range(place, place + vectors.columns))))
            place += vectors.columns
        else:
            moved.append((name, stage, columns))
    shift = place - start - len(names)
    if told:
        prepare.transformers_ = [
            (name, stage, columns if name.startswith("text_") else _shifted(columns, start + len(names), shift))
            for name, stage, columns in moved
        ]
    return told


def _shifted(columns: Any, behind: int, shift: int) -> Any:
    """Return positions of columns, those behind the texts moved."""
    return [each + shift if each >= behind else each for each in columns]


def _with_exact_thresholds(pipeline: Any) -> Any:
    """Return a copy whose boosted trees have 32-bit thresholds that split 32-bit numbers just as the 64-bit ones do."""
    import numpy as np

    exact = copy.deepcopy(pipeline)
    fitted = [each.estimator for each in getattr(exact[-1], "calibrated_classifiers_", ())] or [exact[-1]]
    for trees in (trees for each in fitted for trees in getattr(each, "_predictors", ())):
        for tree in trees:
            wide = tree.nodes["num_threshold"]
            with np.errstate(over="ignore"):
                narrow = wide.astype(np.float32)
            above = narrow.astype(np.float64) > wide
            tree.nodes["num_threshold"] = np.where(above, np.nextafter(narrow, np.float32(-np.inf)), narrow)
    return exact
