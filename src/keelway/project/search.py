"""Search: how long and in which way the parameters of a model's estimators are searched for.

    Model("churn", ..., estimators=(Estimator("logistic", ..., space={"C": Range(0.001, 100, log=True)}),),
          search=Search(trials=50, patience=15))

Every estimator that declares a `space` is searched; the folds of the model's split say how good a try is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from keelway.errors import ProjectError
from keelway.project.choice import check_choice

Sampler = Literal["tpe", "random"]
Pruner = Literal["median", "hyperband", "none"]


@dataclass(frozen=True, slots=True)
class Search:
    """How long and in which way parameters are searched for.

    Attributes:
        trials: At most so many parameter sets are tried.
        timeout_s: No trial starts after so many seconds of trying; None for no limit.
        sampler: `tpe` learns from earlier trials where good values lie (Bergstra et al. 2011); `random` does not.
        pruner: Ends a trial after a fold: `median` where it is worse than half of the earlier ones, `hyperband` by
            brackets of successive halving (Li et al. 2018), `none` never.
        patience: Stop after so many trials without a better one; None never stops early.
        metric: What is made good; empty takes the model's first.
        workers: How many processes try at once. With one worker, the same seed gives the same trials.
    """

    trials: int = 50
    timeout_s: float | None = None
    sampler: Sampler = "tpe"
    pruner: Pruner = "median"
    patience: int | None = None
    metric: str = ""
    workers: int = 1

    def __post_init__(self) -> None:
        check_choice(self.sampler, get_args(Sampler), what="sampler")
        check_choice(self.pruner, get_args(Pruner), what="pruner")
        for name in ("trials", "patience", "workers"):
            value = getattr(self, name)
            if name == "patience" and value is None:
                continue
            if not (isinstance(value, int) and value >= 1):
                raise ProjectError(f"Wrong {name} of a search", expected="a whole number from 1", found=repr(value))
        if self.timeout_s is not None and not 0 < self.timeout_s < math.inf:
            raise ProjectError(
                "Wrong timeout_s of a search", expected="seconds above 0, or None", found=repr(self.timeout_s)
            )
