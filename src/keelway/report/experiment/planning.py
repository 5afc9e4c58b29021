"""Plans an experiment from what is given and what was measured, and says of each number which of both it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from keelway.deploy.analysis import ExperimentPlan, ExperimentQuestion, MetricKind, experiment_plan
from keelway.errors import TrainingError, UsageError
from keelway.report.experiment.figure_words import number

Source = Literal["given", "measured", "declared", "usual"]
OTHER_EFFECTS = (0.5, 0.75, 1.0, 1.5, 2.0)
"""Times the effect that is asked for."""
DAYS_OF_A_WEEK = 7
FEW = 200
USUAL = {"share": 0.5, "treatments": 1.0, "alpha": 0.05, "power": 0.8, "correlation": 0.0}
TOLD_USUAL = "nothing else was said"
FIXES = {
    "baseline": "Give it: --baseline 0.10 (with --metric-kind mean also --deviation), or record outcomes: keelway outcomes",
    "per_day": "Give it: --traffic-per-day 5000, or serve requests first: their figures are kept",
    "deviation": "Give it: --deviation 12.5, the standard deviation of one entity's value",
}
NAMES = {"per_day": "traffic a day", "baseline": "baseline", "deviation": "standard deviation of one value"}


@dataclass(frozen=True, slots=True)
class Assumption:
    """A number that a plan rests on, and where it comes from.

    Attributes:
        told: The same in words: over what it was measured, or that nobody said otherwise.
    """

    value: float
    source: Source
    told: str


@dataclass(frozen=True, slots=True)
class PlanWish:
    """What somebody wants to know.

    Attributes:
        metric: The name of the figure.
        kind: What it is a figure of; None takes what was measured, and a rate where nothing was.
        effect: The smallest difference worth knowing, as it was written: `0.02` in units of the figure, `10%` of the baseline.
        given: Numbers that stand whatever was measured, by name: `baseline`, `per_day`, `deviation`, `correlation`, `share`,
            `treatments`, `alpha`, `power`.
    """

    metric: str
    effect: str
    kind: MetricKind | None = None
    given: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedExperiment:
    """How long an experiment takes, for the effect that is wanted and for others.

    Attributes:
        metric: The name of the figure.
        effect: In units of the figure.
        weeks: Whole weeks that hold the days of the plan.
        assumptions: By name.
        plan: For the effect that is wanted.
        others: For smaller and larger effects, smallest first; the wanted one among them. Effects that cannot be are left out.
        warnings: What a reader must know.
    """

    metric: str
    effect: float
    weeks: int
    assumptions: dict[str, Assumption]
    plan: ExperimentPlan
    others: tuple[ExperimentPlan, ...]
    warnings: tuple[str, ...]


def planned_experiment(
    wish: PlanWish,
    measured: Mapping[str, Assumption],
    *,
    kind: MetricKind | None = None,
    warnings: tuple[str, ...] = (),
) -> PlannedExperiment:
    """Return how long an experiment takes.

    Args:
        wish: What is asked; what it gives stands before what was measured.
        measured: What was measured or declared, by name.
        kind: Of the figure that was measured.
        warnings: What a reader must know of the measurements.

    Raises:
        UsageError: A number is neither given nor measured, or out of range.
        TrainingError: No number of rows shows the effect.
    """
    chosen = wish.kind or kind or "rate"
    assumptions = dict(_assumptions(wish, measured, chosen))
    numbers = {name: each.value for name, each in assumptions.items()}
    effect = effect_of(wish.effect, numbers["baseline"])
    _must_be_possible(wish.metric, numbers["baseline"], effect, chosen)
    question = ExperimentQuestion(
        effect=effect,
        baseline=numbers["baseline"],
        per_day=numbers["per_day"],
        kind=chosen,
        deviation=numbers.get("deviation"),
        correlation=numbers["correlation"],
        share=numbers["share"],
        treatments=round(numbers["treatments"]),
        alpha=numbers["alpha"],
        power=numbers["power"],
    )
    plan = experiment_plan(question)
    weeks = -(-plan.days // DAYS_OF_A_WEEK)
    return PlannedExperiment(
        wish.metric, effect, weeks, assumptions, plan, tuple(_others(question)), (*warnings, *_warnings(plan))
    )


def effect_of(text: str, baseline: float) -> float:
    """Return an effect in units of the figure.

    >>> effect_of("0.02", 0.1), effect_of("-10%", 0.5)
    (0.02, -0.05)

    Raises:
        UsageError: It is no number.
    """
    part = text.strip().endswith("%")
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        raise UsageError("This is no effect", expected="0.02, or 10% of the baseline", found=repr(text)) from None
    return value / 100 * baseline if part else value


def _must_be_possible(metric: str, baseline: float, effect: float, kind: MetricKind) -> None:
    """Refuse a rate that is none."""
    ends = {"baseline": baseline, "with the effect": baseline + effect}
    wrong = [f"{name} {number(value)}" for name, value in ends.items() if not 0 < value < 1]
    if kind == "rate" and wrong:
        raise UsageError(
            f"{metric} is no rate there",
            expected="a baseline between 0 and 1, also with the effect added",
            found=", ".join(wrong),
            fix="Write a rate as a part of 1 (0.1 is 10 %), or say that it is an average: --metric-kind mean --deviation ...",
        )


def _assumptions(
    wish: PlanWish, measured: Mapping[str, Assumption], kind: MetricKind
) -> Iterator[tuple[str, Assumption]]:
    """Yield what the plan rests on: what is given, else what was measured or declared, else what is usual."""
    needed = ["baseline", "per_day", *(["deviation"] if kind == "mean" else []), *USUAL]
    for name in needed:
        if name in wish.given:
            yield name, Assumption(wish.given[name], "given", "as you said")
        elif name in measured:
            yield name, measured[name]
        elif name in USUAL:
            yield name, Assumption(USUAL[name], "usual", TOLD_USUAL)
        else:
            raise UsageError(
                f"The {NAMES[name]} of {wish.metric} is not known",
                expected="a number that is given, or was measured",
                found="neither",
                fix=FIXES[name],
            )


def _others(question: ExperimentQuestion) -> Iterator[ExperimentPlan]:
    for times in OTHER_EFFECTS:
        effect = question.effect * times
        if question.kind == "rate" and not 0 < question.baseline + effect < 1:
            continue
        try:
            yield experiment_plan(replace(question, effect=effect))
        except TrainingError:  # so many rows that no number tells them
            continue


def _warnings(plan: ExperimentPlan) -> Iterator[str]:
    if plan.days < DAYS_OF_A_WEEK:
        yield "It sees less than a week: run whole weeks where people behave by the weekday."
    if min(plan.rows) < FEW:
        yield f"An arm of fewer than {FEW} entities tells nothing of what is rare: let it run longer."
