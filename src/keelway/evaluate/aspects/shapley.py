"""Shapley values of single predictions, where the package `shap` is installed: linear models and trees."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

LINEAR = ("sklearn.linear_model.",)
TREES = ("sklearn.tree.", "sklearn.ensemble.", "lightgbm.", "xgboost.")


def shapley_values(estimator: Any, rows: ArrayLike, background: ArrayLike) -> NDArray[np.float64]:
    """Return what each column adds to each prediction against the mean one (Lundberg and Lee 2017).

    Args:
        estimator: A fitted linear model or tree ensemble: the last stage of a pipeline.
        rows: (rows, columns) as the estimator sees them, after preprocessing.
        background: (rows, columns) that stand for what is usual; a linear model needs it.

    Returns:
        (rows, columns), or (rows, columns, classes) for several classes; in log-odds where the model adds up those.

    Raises:
        NotImplementedError: `shap` is not installed, or the estimator is neither linear nor made of trees.
    """
    import numpy as np

    home = f"{type(estimator).__module__}."
    kind = "Linear" if home.startswith(LINEAR) else "Tree" if home.startswith(TREES) else ""
    if not kind:
        raise NotImplementedError(
            f"Shapley values of {type(estimator).__name__} are not built: only of linear models and trees. "
            "Use permutation_importance."
        )
    try:
        shap = importlib.import_module("shap")
    except ImportError as error:
        raise NotImplementedError("Shapley values need one more package: pip install shap") from error
    given = np.asarray(rows, dtype=np.float64)
    if kind == "Linear":
        explainer = shap.LinearExplainer(estimator, np.asarray(background, dtype=np.float64))
    else:
        explainer = shap.TreeExplainer(estimator)
    return np.asarray(explainer.shap_values(given), dtype=np.float64)
