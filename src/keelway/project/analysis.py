"""Analysis: by which figures a rollout is judged, and how sure the judgement has to be.

Analysis(
    guardrails=(Guardrail("error_rate", margin=0.01), Guardrail("latency", "quantile", margin=0.25)),
    metrics=(Metric("conversion", goal="not worse", margin=0.005),),
    planned=20_000,
)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from keelway.core import checked_name
from keelway.errors import ProjectError
from keelway.project.choice import check_choice

FigureKind = Literal[
    "rate", "mean", "quantile", "distribution", "log_loss", "brier", "roc_auc", "accuracy", "mse", "mae"
]
"""`rate`: a share of requests or entities. `mean`: an average of values. `quantile`: of values, as a latency's; its margin
is a part of the control's. `distribution`: of the predictions; its margin is a PSI. The others are of matured labels, those
that the model's task has; see `LABEL_FIGURES`."""
Goal = Literal["better", "not worse"]
FEWEST_ROWS = 30


def _check(name: str, kind: str, margin: float, quantile: float) -> None:
    checked_name(name, what="figure")
    check_choice(kind, get_args(FigureKind), what=f"kind of figure {name!r}")
    if not (math.isfinite(margin) and margin >= 0) or not 0 < quantile < 1:
        raise ProjectError(
            f"Figure {name!r} is out of range",
            expected="a margin of 0 or more, a quantile between 0 and 1",
            found=f"{margin}, {quantile}",
        )
    if kind == "distribution" and not margin > 0:
        raise ProjectError(f"Figure {name!r} needs a margin", expected="a PSI above 0", found=str(margin))


@dataclass(frozen=True, slots=True)
class Guardrail:
    """What must not get worse. Once it is shown to be worse by more than the margin, the rollout fails.

    Attributes:
        name: What the figure is called in the evidence.
        kind: What it is a figure of.
        margin: How much worse than the control is tolerated, in units of the figure; see `FigureKind`. For a rollout to
            succeed it has to be shown to be within it, so 0 asks for an improvement.
        quantile: Which one; of kind `quantile` only.
        higher_is_worse: Which way is worse.
    """

    name: str
    kind: FigureKind = "rate"
    margin: float = field(default=0.01, kw_only=True)
    quantile: float = field(default=0.95, kw_only=True)
    higher_is_worse: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        _check(self.name, self.kind, self.margin, self.quantile)

    @property
    def thresholds(self) -> tuple[float, float]:
        """The harm that it has to be shown below, and the harm above which it fails."""
        return self.margin, self.margin


@dataclass(frozen=True, slots=True)
class Metric:
    """What a rollout is for.

    Attributes:
        name: What the figure is called in the evidence.
        kind: What it is a figure of.
        goal: `better`: it has to be shown to be better by more than the margin, and fails once it is shown to be worse.
            `not worse`: as a guardrail.
        margin: In units of the figure; see `FigureKind`.
        quantile: Which one; of kind `quantile` only.
        higher_is_better: Which way is better.
    """

    name: str
    kind: FigureKind = "rate"
    goal: Goal = field(default="better", kw_only=True)
    margin: float = field(default=0.0, kw_only=True)
    quantile: float = field(default=0.95, kw_only=True)
    higher_is_better: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        _check(self.name, self.kind, self.margin, self.quantile)
        check_choice(self.goal, get_args(Goal), what=f"goal of metric {self.name!r}")
        if self.kind == "distribution":
            raise ProjectError("A distribution is no goal", expected="a guardrail", found=f"metric {self.name!r}")

    @property
    def higher_is_worse(self) -> bool:
        """Which way is worse."""
        return not self.higher_is_better

    @property
    def thresholds(self) -> tuple[float, float]:
        """The harm that it has to be shown below, and the harm above which it fails."""
        return (-self.margin, 0.0) if self.goal == "better" else (self.margin, self.margin)


STANDARD_GUARDRAILS = (
    Guardrail("error_rate", margin=0.01),
    Guardrail("not_a_number", margin=0.001),
    Guardrail("latency", "quantile", margin=0.25),
    Guardrail("predictions", "distribution", margin=0.2),
)
"""What every canary is watched by, unless something else is declared."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """How a rollout is judged against what it replaces.

    Attributes:
        guardrails: What must not get worse; all of them have to hold.
        metrics: What it is for; may be empty.
        decide: Whether `all` metrics have to reach their goals, or `any` of them (then corrected by Holm).
        alpha: The chance that a rollout which is like its control is ever failed, over all figures and looks, and that one
            which is beyond a margin ever succeeds.
        minimum: Requests of each arm before anything is decided, at least 30.
        planned: Requests of the new arm about which the tests are best; see `experiment_plan`.
        mismatch: The p-value below which the arms are told not to have got their shares.
        comparisons: How many arms are each compared with the control; alpha is split between them.
    """

    guardrails: tuple[Guardrail, ...] = STANDARD_GUARDRAILS
    metrics: tuple[Metric, ...] = ()
    decide: Literal["all", "any"] = field(default="all", kw_only=True)
    alpha: float = field(default=0.05, kw_only=True)
    minimum: int = field(default=100, kw_only=True)
    planned: int = field(default=2_000, kw_only=True)
    mismatch: float = field(default=0.001, kw_only=True)
    comparisons: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "guardrails", tuple(self.guardrails))
        object.__setattr__(self, "metrics", tuple(self.metrics))
        check_choice(self.decide, ("all", "any"), what="way to decide")
        names = [each.name for each in self.figures]
        holds = {
            "a guardrail or a metric": bool(names),  # an empty analysis must never mean success
            "names that differ": len(set(names)) == len(names),
            "alpha above 0 and below 1/2": 0 < self.alpha < 0.5,
            "a mismatch above 0 and below 1/2": 0 < self.mismatch < 0.5,
            f"a minimum of {FEWEST_ROWS} or more": self.minimum >= FEWEST_ROWS,
            "as many planned as the minimum, or more": self.planned >= self.minimum,
            "one comparison or more": self.comparisons >= 1,
        }
        wrong = [name for name, held in holds.items() if not held]
        if wrong:
            raise ProjectError("This analysis cannot judge", expected="; ".join(wrong), found=str(names))

    @property
    def figures(self) -> tuple[Guardrail | Metric, ...]:
        """The guardrails, and then the metrics."""
        return (*self.guardrails, *self.metrics)
