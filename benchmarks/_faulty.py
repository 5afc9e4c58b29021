"""A project whose model is a logistic regression of its own, that goes wrong when it is told to: as a version may once it is in use."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _scoring import declared
from sklearn.linear_model import LogisticRegression

from keelway.project import Estimator, Model, Project
from keelway.train import trust_type

MODEL = "faults"
FAULTS = ("latency", "errors", "nan", "constant", "calibration")
FAILS_ONE_IN, UNDEFINED_ONE_IN, SHIFT = 20, 100, 1.0


class Faulty(LogisticRegression):
    """Answers as its class does until the file `switch` is there; it holds how many seconds a slow answer takes longer.

    A row that fails, or has no number, always does: one in so many, chosen by its first column.
    """

    def __init__(self, fault: str = "", switch: str = "", max_iter: int = 1000) -> None:
        super().__init__(max_iter=max_iter)
        self.fault, self.switch = fault, switch

    def predict_proba(self, matrix: Any) -> np.ndarray:
        found = super().predict_proba(matrix)
        if not self.fault or not Path(self.switch).exists():
            return found
        lots = (np.abs(np.asarray(matrix)[:, 0]) * 1e6).astype(np.int64)
        chance = found[:, 1]
        if self.fault == "latency":
            time.sleep(float(Path(self.switch).read_text()))
        elif self.fault == "errors" and (lots % FAILS_ONE_IN == 0).any():
            raise RuntimeError("This row is one of those that fail")
        elif self.fault == "nan":
            chance = np.where(lots % UNDEFINED_ONE_IN == 0, np.nan, chance)
        elif self.fault == "constant":
            chance = np.full_like(chance, 0.5)
        elif self.fault == "calibration":
            chance = 1 / (1 + np.exp(-SHIFT) * (1 - chance) / chance)
        return np.column_stack([1 - chance, chance])


trust_type(Faulty)


def model(fault: str = "", switch: str = "") -> Model:
    """Return the declaration; versions differ in what may go wrong with them."""
    chosen = Estimator("chosen", "_faulty.Faulty", {"fault": fault, "switch": switch})
    return replace(declared(), name=MODEL, estimators=(chosen,), serve="python", rollouts=())


project = Project("bench", models=(model(),))
