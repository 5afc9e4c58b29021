"""How much use each column of a matrix is, by one of four ways; a column of no use scores 0 or less.

The ways are those of the field: variance, mutual information (Kraskov et al. 2004 for numbers, by scikit-learn), the weights
of a linear model with an L1 penalty (Tibshirani 1996), and what a model loses when a column is shuffled (Breiman 2001).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

L1_STRENGTH = 0.1  # inverse of the penalty on a classifier's weights
LASSO_PENALTY = 0.01  # for labels of deviation 1
FEW_VALUES = 20  # a column with no more distinct values counts as a category
HELD_OUT = 0.3  # share of rows that shuffling is measured on
REPEATS = 5


def column_scores(
    matrix: NDArray[np.floating[Any]], labels: Any, *, method: str, seed: int, task: str
) -> NDArray[np.float64]:
    """Return one score per column; only those above zero are of use."""
    import numpy as np

    ways = {
        "variance": _variances,
        "mutual_information": _information,
        "l1": _linear_weights,
        "permutation": _losses_by_shuffling,
    }
    scores = np.asarray(ways[method](np.asarray(matrix, dtype=np.float64), labels, seed, task), dtype=np.float64)
    return np.where(np.isnan(scores), 0.0, scores)


def _variances(matrix: NDArray[np.float64], labels: Any, seed: int, task: str) -> Any:  # noqa: ARG001
    import numpy as np

    return np.where(np.ptp(matrix, axis=0) > 0, matrix.var(axis=0), 0.0)  # rounding gives a constant a variance


def _information(matrix: NDArray[np.float64], labels: Any, seed: int, task: str) -> Any:
    import numpy as np
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    measure = mutual_info_regression if task == "regression" else mutual_info_classif
    ready, distinct = matrix.copy(), np.zeros(matrix.shape[1])
    for place in range(matrix.shape[1]):
        values, codes = np.unique(matrix[:, place], return_inverse=True)
        distinct[place] = len(values)
        if len(values) <= FEW_VALUES:
            ready[:, place] = codes
    found = measure(ready, labels, discrete_features=distinct <= FEW_VALUES, random_state=seed)
    return np.where(distinct > 1, found, 0.0)  # the estimate of a constant against a number is noise


def _linear_weights(matrix: NDArray[np.float64], labels: Any, seed: int, task: str) -> Any:
    import numpy as np
    from sklearn.linear_model import Lasso, LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import StandardScaler

    ready = StandardScaler().fit_transform(matrix)
    if task == "regression":
        spread = np.std(labels) or 1.0
        return np.abs(Lasso(alpha=LASSO_PENALTY, random_state=seed).fit(ready, labels / spread).coef_)
    sparse = LogisticRegression(l1_ratio=1.0, solver="liblinear", C=L1_STRENGTH, random_state=seed, max_iter=1000)
    fitted = OneVsRestClassifier(sparse).fit(ready, labels)
    return np.abs([each.coef_[0] for each in fitted.estimators_]).sum(axis=0)


def _losses_by_shuffling(matrix: NDArray[np.float64], labels: Any, seed: int, task: str) -> Any:
    """Return what a quick model loses on rows it has not seen, less one deviation between repeats."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import train_test_split

    labels = np.asarray(labels)
    kind = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    several = task != "regression" and np.unique(labels, return_counts=True)[1].min() > 1
    learn, held_out, known, truth = train_test_split(
        matrix, labels, test_size=HELD_OUT, random_state=seed, stratify=labels if several else None
    )
    model = kind(max_iter=50, early_stopping=False, random_state=seed).fit(learn, known)
    found = permutation_importance(
        model,
        held_out,
        truth,
        scoring=_likelihood if task != "regression" else "r2",
        n_repeats=REPEATS,
        random_state=seed,
    )
    return found.importances_mean - found.importances_std


def _likelihood(model: Any, matrix: Any, labels: Any) -> float:
    """Return the mean logarithm of the probability of what was true."""
    import numpy as np

    places = np.searchsorted(model.classes_, labels)
    chances = model.predict_proba(matrix)[np.arange(len(labels)), places]
    return float(np.log(np.maximum(chances, 1e-15)).mean())
