"""Fitted linear models as weights and intercepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keelway.register.plan.records import PlanLink, PlanModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASSIFIERS = ("LogisticRegression", "LogisticRegressionCV", "SGDClassifier", "LinearDiscriminantAnalysis")
MARGINS = (
    *CLASSIFIERS,
    "LinearSVC",
    "RidgeClassifier",
    "RidgeClassifierCV",
    "Perceptron",
    "PassiveAggressiveClassifier",
)
"""Classifiers whose decision function is what a calibration reads."""

REGRESSORS: dict[str, PlanLink] = {
    **dict.fromkeys(
        (
            "LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "LassoLars", "Lars", "ElasticNet", "ElasticNetCV",
            "BayesianRidge", "ARDRegression", "HuberRegressor", "QuantileRegressor", "SGDRegressor", "LinearSVR",
        ),
        "identity",
    ),
    **dict.fromkeys(("PoissonRegressor", "GammaRegressor"), "exponent"),
}  # fmt: skip
"""Linear models of scikit-learn to what turns the sum into an answer."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """Weights of shape (outputs, columns), one intercept an output, and the link."""

    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    link: PlanLink

    def model(self, arrays: str) -> PlanModel:
        """Return the record of these weights."""
        return PlanModel("linear", arrays, len(self.intercepts), self.link)

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return the arrays that the record names."""
        return {f"{prefix}weights": self.weights, f"{prefix}intercepts": self.intercepts}


def weighed_columns(estimator: Any, *, task: str, margins: bool) -> Weighed | None:
    """Return the weights of a fitted estimator, or None where it is no linear model that a plan can say.

    Args:
        margins: Whether the sums are wanted, and no probabilities.
    """
    import numpy as np

    kind = type(estimator).__name__
    if type(estimator).__module__.partition(".")[0] != "sklearn":
        return None
    if task == "regression":
        link = REGRESSORS.get(kind)
    elif margins:
        link = "identity" if kind in MARGINS else None
    else:
        link = _link_of(estimator, kind, task)
    if link is None:
        return None
    weights = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64))
    intercepts = np.broadcast_to(np.ravel(np.asarray(estimator.intercept_, dtype=np.float64)), (len(weights),))
    return Weighed(weights, intercepts, link)


def _link_of(estimator: Any, kind: str, task: str) -> PlanLink | None:
    if kind not in CLASSIFIERS or (kind == "SGDClassifier" and (estimator.loss != "log_loss" or task == "multiclass")):
        return None
    return "softmax" if task == "multiclass" else "sigmoid"
