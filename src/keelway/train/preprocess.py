"""Assemble the pipeline that turns features into a probability, from the feature schema and what the model declares.

Rules kept here, so that the exported model answers as the trained one does:

- Numbers are 32-bit floats on both sides, so a threshold splits the same rows in Python and in ONNX.
- Trees see unscaled numbers: they only compare, and scaling could move a value across a threshold by rounding.
- A category seen less than `rare_level` times, or never, has no column of its own: it is "none of the known".
"""

from __future__ import annotations

import importlib
import inspect
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keelway.errors import TrainingError
from keelway.features import FeatureColumn
from keelway.project import Estimator, Preprocessing

if TYPE_CHECKING:
    import pandas as pd

MAX_LEVELS = 200  # columns that one category may take; rarer levels count as rare
TREE_MODULES = ("sklearn.tree.", "sklearn.ensemble.")
L1_STRENGTH = 0.1


def make_estimator(declared: Estimator, seed: int) -> Any:
    """Return a fresh estimator; its `random_state` is the seed unless the declaration gives one.

    Raises:
        TrainingError: The import path names no scikit-learn classifier with probabilities, or it refuses the parameters.
    """
    from sklearn.base import BaseEstimator, is_classifier

    kind = _imported(declared)
    if not (isinstance(kind, type) and issubclass(kind, BaseEstimator)):
        raise _unsuitable(declared, "a class of scikit-learn estimators", f"{kind!r}")
    parameters: dict[str, Any] = dict(declared.parameters)
    if "random_state" in inspect.signature(kind).parameters:
        parameters.setdefault("random_state", seed)
    try:
        made = kind(**parameters)
    except TypeError as error:
        raise _unsuitable(declared, "parameters that its class knows", str(error)) from error
    if not is_classifier(made) or not hasattr(made, "predict_proba"):
        raise _unsuitable(declared, "a classifier that gives probabilities", kind.__name__)
    return made


def make_preprocessor(
    features: Sequence[FeatureColumn], frame: pd.DataFrame, *, chosen: Preprocessing, scale: bool
) -> Any:
    """Return the unfitted first stage: numbers first, then one column per known category level.

    Columns are named by position, because the exported model reads two tensors and knows no names.
    """
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric = [each.name for each in features if each.kind == "numeric"]
    categorical = [each.name for each in features if each.kind == "categorical"]
    parts: list[tuple[str, Any, list[int]]] = []
    if numeric:
        strategy: dict[str, Any] = {"strategy": chosen.impute}
        if chosen.impute == "zero":
            strategy = {"strategy": "constant", "fill_value": 0.0}
        stages: list[tuple[str, Any]] = [("impute", SimpleImputer(**strategy))]
        if scale:
            stages.append(("scale", StandardScaler()))
        parts.append(("numbers", Pipeline(stages), list(range(len(numeric)))))
    if categorical:
        levels = [known_levels(frame[name].tolist(), rare_level=chosen.rare_level) for name in categorical]
        encoder = OneHotEncoder(categories=levels, handle_unknown="ignore", sparse_output=False, dtype=np.float32)
        places = list(range(len(numeric), len(numeric) + len(categorical)))
        parts.append(("categories", encoder, places))
    return ColumnTransformer(parts, sparse_threshold=0)


def make_selector(chosen: Preprocessing, seed: int) -> Any | None:
    """Return the stage that drops useless columns, or None where nothing is dropped."""
    from sklearn.feature_selection import SelectFromModel, VarianceThreshold
    from sklearn.linear_model import LogisticRegression

    if chosen.select == "variance":
        return VarianceThreshold()
    if chosen.select == "l1":
        sparse = LogisticRegression(l1_ratio=1.0, solver="liblinear", C=L1_STRENGTH, random_state=seed)
        return SelectFromModel(sparse)
    return None


def known_levels(values: Sequence[str], *, rare_level: int) -> list[str]:
    """Return the levels that get a column of their own, sorted; at least the most frequent one.

    >>> known_levels(["a", "a", "b", "c", "c"], rare_level=2)
    ['a', 'c']
    """
    ranked = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    frequent = [level for level, count in ranked[:MAX_LEVELS] if count >= rare_level]
    return sorted(frequent or [ranked[0][0]])


def needs_scale(estimator: object, chosen: Preprocessing) -> bool:
    """Say whether numbers are scaled for this estimator."""
    return chosen.scale and not f"{type(estimator).__module__}.".startswith(TREE_MODULES)


def _imported(declared: Estimator) -> Any:
    module, _, name = declared.factory.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise _unsuitable(declared, "an import path that exists", str(error)) from error


def _unsuitable(declared: Estimator, expected: str, found: str) -> TrainingError:
    return TrainingError(
        f"Estimator {declared.name!r} ({declared.factory}) cannot be used",
        expected=expected,
        found=found,
        fix="Name a scikit-learn classifier, such as sklearn.linear_model.LogisticRegression.",
    )
