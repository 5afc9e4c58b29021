"""A fitted LightGBM model as the last step of a peer's pipeline: LightGBM and scikit-learn alone, for peers know nothing of Keelway."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class FittedBooster(ClassifierMixin, BaseEstimator):
    """Answers as `LGBMClassifier` does, by the library's own booster, read from its text once in each process."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.classes_ = np.array([0, 1])

    def fit(self, _matrix: Any, _labels: Any) -> FittedBooster:
        raise NotImplementedError("It is fitted already")

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        return {"text": self.text, "classes_": self.classes_}

    def predict_proba(self, matrix: Any) -> np.ndarray:
        if not hasattr(self, "_booster"):
            self._booster = lightgbm.Booster(model_str=self.text)
        found = np.asarray(self._booster.predict(matrix, num_threads=1))
        return np.column_stack([1 - found, found])

    def predict(self, matrix: Any) -> np.ndarray:
        return self.predict_proba(matrix).argmax(axis=1)
