"""Evaluation: what a scorecard looks at besides its metrics, and which difference between models matters.

Evaluation(slices=("region",), sensitive=("sex",), costs=Costs(false_positive=1, false_negative=5))
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

from keelway.errors import ProjectError
from keelway.project.choice import check_choice

Favourable = Literal["positive", "negative"]
MIN_RESAMPLES = 100


@dataclass(frozen=True, slots=True)
class Costs:
    """What decisions cost, in one currency; benefits are what a right decision saves or earns.

    Attributes:
        false_positive: The cost of acting on somebody for whom it was not needed.
        false_negative: The cost of not acting on somebody for whom it was needed.
        true_positive: The benefit of acting where it was needed.
        true_negative: The benefit of not acting where it was not needed.
    """

    false_positive: float = 1.0
    false_negative: float = 1.0
    true_positive: float = 0.0
    true_negative: float = 0.0

    def __post_init__(self) -> None:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        if not all(math.isfinite(value) for value in values.values()):
            raise ProjectError("Wrong costs", expected="finite numbers", found=str(values))
        if not (self.of_acting > 0 and self.of_waiting > 0):
            raise ProjectError(
                "With these costs one decision is always best, whatever a model says",
                expected="errors that cost more than the right decision",
                found=str(values),
            )

    @property
    def of_acting(self) -> float:
        """What acting on a negative loses, against leaving it alone."""
        return self.false_positive + self.true_negative

    @property
    def of_waiting(self) -> float:
        """What leaving a positive alone loses, against acting on it."""
        return self.false_negative + self.true_positive

    @property
    def best_threshold(self) -> float:
        """The probability from which acting pays, where probabilities are calibrated (Elkan 2001, equation 2).

        >>> Costs(false_positive=1, false_negative=4).best_threshold
        0.2
        """
        return self.of_acting / (self.of_acting + self.of_waiting)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a scorecard looks at besides its metrics.

    Attributes:
        slices: Columns of the feature table by whose values the first metric is shown.
        sensitive: Columns by whose values the fairness of decisions is judged; binary models only.
        min_support: A slice or group with fewer rows is reported, and not judged.
        favourable: Which decision is good for the person it is about.
        costs: What decisions cost; None decides at a probability of one half.
        smallest_difference: The difference of the first metric that matters; 0 lets any shown difference matter.
        bootstrap: How many resamples an interval takes, where it takes any.
        importance: How often each feature is shuffled to see what it is worth; 0 leaves that out.
    """

    slices: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    min_support: int = 50
    favourable: Favourable = "positive"
    costs: Costs | None = None
    smallest_difference: float = 0.0
    bootstrap: int = 1000
    importance: int = 0

    def __post_init__(self) -> None:
        for name in ("slices", "sensitive"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_choice(self.favourable, get_args(Favourable), what="favourable decision")
        _check_least("min_support", self.min_support, 2)
        _check_least("bootstrap", self.bootstrap, MIN_RESAMPLES)
        _check_least("importance", self.importance, 0)
        if not 0 <= self.smallest_difference < math.inf:
            raise ProjectError(
                "Wrong smallest_difference", expected="a finite number, 0 or more", found=str(self.smallest_difference)
            )


def _check_least(name: str, value: int, least: int) -> None:
    if not value >= least:
        raise ProjectError(f"Wrong {name}", expected=f"{least} or more", found=str(value))
