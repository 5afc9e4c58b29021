"""Estimators by import path: made with their parameters, and checked against what is to be predicted."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keelway.errors import MissingExtraError, TrainingError
from keelway.project import Estimator, Task

if TYPE_CHECKING:
    from keelway.train.folds import Fold

EXTRAS = {"lightgbm": "lightgbm", "xgboost": "xgboost"}
"""Package to the extra that installs it."""

TREE_MODULES = ("sklearn.tree.", "sklearn.ensemble.", "lightgbm.", "xgboost.")


def make_estimator(declared: Estimator, seed: int, *, task: Task = "binary", folds: Sequence[Fold] = ()) -> Any:
    """Return a fresh estimator; its `random_state` is the seed unless the declaration gives one.

    Args:
        declared: What the model declares.
        seed: The seed of everything random.
        task: What is predicted.
        folds: Parts of the rows it will be fitted on; needed where probabilities are calibrated.

    Raises:
        TrainingError: The import path names no estimator for the task, or it refuses the parameters.
        MissingExtraError: The estimator's package is not installed.
    """
    import inspect

    from sklearn.base import BaseEstimator

    kind = _imported(declared)
    if not (isinstance(kind, type) and issubclass(kind, BaseEstimator)):
        raise _unsuitable(declared, "a class of scikit-learn estimators", f"{kind!r}")
    parameters: dict[str, Any] = dict(declared.parameters)
    if declared.class_weight is not None:
        parameters["class_weight"] = declared.class_weight
    try:
        made = kind(**parameters)
    except TypeError as error:
        known = ", ".join(inspect.signature(kind).parameters)
        told = f"Take the parameter out of Estimator({declared.name!r}, ...), or correct its name: {known}."
        raise _unsuitable(declared, "parameters that its class knows", str(error), fix=told) from error
    if "random_state" in made.get_params(deep=False) and "random_state" not in parameters:
        made.set_params(random_state=seed)
    _check_task(declared, made, task)
    return made if declared.calibrate is None else _calibrated(declared, made, task, folds)


def is_tree(estimator: object) -> bool:
    """Say whether an estimator, or the one whose probabilities it calibrates, only compares numbers."""
    inner = getattr(estimator, "estimator", estimator)
    return f"{type(inner).__module__}.".startswith(TREE_MODULES)


def _check_task(declared: Estimator, made: Any, task: Task) -> None:
    from sklearn.base import is_classifier, is_regressor

    if task == "regression" and not is_regressor(made):
        raise _unsuitable(declared, "a regressor, because the label is a number", type(made).__name__)
    if task != "regression" and not (is_classifier(made) and hasattr(made, "predict_proba")):
        raise _unsuitable(declared, "a classifier that gives probabilities", type(made).__name__)


def _calibrated(declared: Estimator, made: Any, task: Task, folds: Sequence[Fold]) -> Any:
    """Return an estimator whose probabilities are calibrated on the held-out part of every fold, and averaged."""
    from sklearn.calibration import CalibratedClassifierCV

    if task == "regression":
        raise _unsuitable(
            declared,
            "calibrate=None, because the label is a number",
            f"calibrate={declared.calibrate!r}",
            fix="Leave calibrate out: a number has no probability to calibrate.",
        )
    if not folds:
        fix = "Declare folds in Model(split=...), or leave calibrate out."
        raise _unsuitable(declared, "one or more folds to calibrate on", "none", fix=fix)
    parts = [(each.train, each.validate) for each in folds]
    return CalibratedClassifierCV(made, method=declared.calibrate, cv=parts, ensemble=True)


def _imported(declared: Estimator) -> Any:
    module, _, name = declared.factory.rpartition(".")
    package = module.partition(".")[0]
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name == package and package in EXTRAS:
            raise MissingExtraError(
                f"Estimator {declared.name!r} needs one more package",
                expected=package,
                found="it is not installed",
                fix=f"pip install 'keelway[{EXTRAS[package]}]'",
            ) from error
        raise _unsuitable(declared, "an import path that exists", str(error)) from error
    except (ImportError, AttributeError) as error:
        raise _unsuitable(declared, "an import path that exists", str(error)) from error


ANOTHER = "Name an estimator of scikit-learn for the task, such as sklearn.linear_model.LogisticRegression."


def _unsuitable(declared: Estimator, expected: str, found: str, *, fix: str = ANOTHER) -> TrainingError:
    return TrainingError(
        f"Estimator {declared.name!r} ({declared.factory}) cannot be used",
        expected=expected,
        found=found,
        fix=fix,
    )
