"""How long an experiment takes, before it begins: rows for each arm, and days at the traffic there is.

A test that is read once, at the end, takes the textbook's number of rows. One that may be read at any time takes about
1.7 times as many in the worst case, and mostly ends earlier, because it stops as soon as the effect shows.

>>> plan = experiment_plan(ExperimentQuestion(effect=0.05, baseline=0.20, per_day=1000))
>>> plan.rows_fixed, plan.rows, plan.days_fixed, plan.days
((1094, 1094), (1859, 1859), 3, 4)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal, get_args

from keelway.deploy.analysis.looks import crossing_chances, drift_for
from keelway.deploy.analysis.sequences import reach
from keelway.errors import UsageError
from keelway.evaluate import rows_for_means, rows_for_rates

MetricKind = Literal["rate", "mean"]
LOOKS = 50
LIKELY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentQuestion:
    """What an experiment is to show.

    Attributes:
        effect: The smallest difference that is worth knowing, in units of the figure.
        baseline: The figure of the control.
        per_day: New entities a day, of all arms.
        kind: `rate` for a share of entities, `mean` for an average over them.
        deviation: The standard deviation of one entity's value; needed for a mean.
        correlation: Of the figure with what is known of the entity before; CUPED takes its square out of the variance.
        share: Of all entities that get any of the treatments, 0 to 1.
        treatments: How many there are; with several, alpha is split between them (Bonferroni).
        alpha: The chance of any false alarm, two-sided, at all looks together.
        power: The chance that one treatment's effect shows.
    """

    effect: float
    baseline: float
    per_day: float
    kind: MetricKind = "rate"
    deviation: float | None = None
    correlation: float = 0.0
    share: float = 0.5
    treatments: int = 1
    alpha: float = 0.05
    power: float = 0.8

    def __post_init__(self) -> None:
        holds = {  # NaN is out of every range
            "effect": math.isfinite(self.effect) and self.effect != 0,
            "per_day": self.per_day > 0 and math.isfinite(self.per_day),
            "kind": self.kind in get_args(MetricKind),
            "deviation": self.kind == "rate" or (self.deviation or 0.0) > 0,
            "correlation": -1 < self.correlation < 1,
            "share": 0 < self.share < 1,
            "treatments": self.treatments >= 1,
            "alpha": 0 < self.alpha < 0.5,
            "power": self.alpha < self.power < 1,
        }
        wrong = [f"{name} {getattr(self, name)}" for name, held in holds.items() if not held]
        if wrong:
            raise UsageError("This cannot be planned", expected="figures within their ranges", found=", ".join(wrong))


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """How much an experiment takes to show an effect.

    Attributes:
        question: What it is to show.
        rows_fixed: Entities of the control and of each treatment for a test that is read once, at the end.
        rows: The same for one that may be read at any time; what `planned` of an analysis is.
        days_fixed: How long the first takes.
        days: How long the second takes at most.
        days_likely: By when it has stopped in half of the cases, if the effect is real.
    """

    question: ExperimentQuestion
    rows_fixed: tuple[int, int]
    rows: tuple[int, int]
    days_fixed: int
    days: int
    days_likely: int


def experiment_plan(question: ExperimentQuestion) -> ExperimentPlan:
    """Return how many rows and days an experiment takes, every treatment against one control.

    Raises:
        TrainingError: No number of rows shows the effect.
    """
    alpha, power, share = question.alpha / question.treatments, question.power, question.share
    if question.kind == "rate":
        equal = rows_for_rates(question.baseline, question.baseline + question.effect, power=power, level=alpha)
    else:
        equal = rows_for_means(question.effect / (question.deviation or 1.0), power=power, level=alpha)
    equal *= 1 - question.correlation**2
    one = share / question.treatments
    total = equal * (1 / one + 1 / (1 - share)) / 2  # the error of a difference is that of two equal arms
    fixed = total * (1 - share), total * one
    days = (fixed[0] + question.treatments * fixed[1]) / question.per_day
    times, likely = _stretched(alpha, power)
    return ExperimentPlan(
        question,
        rows_fixed=(math.ceil(fixed[0]), math.ceil(fixed[1])),
        rows=(math.ceil(fixed[0] * times), math.ceil(fixed[1] * times)),
        days_fixed=math.ceil(days),
        days=math.ceil(days * times),
        days_likely=math.ceil(days * times * likely),
    )


@lru_cache(maxsize=64)
def _stretched(alpha: float, power: float) -> tuple[float, float]:
    """Return how many times the rows a test at all looks takes, and after which part of them it stops in half of the cases."""
    reaches = [float(reach(number / LOOKS, alpha=alpha)) for number in range(1, LOOKS + 1)]
    drift = drift_for(reaches, power=power)
    normal = NormalDist()
    once = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)
    stopped = crossing_chances(reaches, drift=drift)
    middle = next(number for number, chance in enumerate(stopped, start=1) if chance >= min(LIKELY, power))
    return (drift / once) ** 2, middle / LOOKS
