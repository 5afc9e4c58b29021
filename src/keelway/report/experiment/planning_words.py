"""Says what a plan of an experiment means, in sentences and rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelway.report.experiment.figure_words import number

if TYPE_CHECKING:
    from keelway.report.experiment.planning import PlannedExperiment

NUMBERS = {
    "baseline": "baseline",
    "per_day": "entities a day",
    "deviation": "deviation of one value",
    "share": "share in treatments",
    "treatments": "treatments",
    "correlation": "correlation with what is known before (CUPED)",
    "alpha": "chance of a false alarm (alpha)",
    "power": "chance that the effect shows (power)",
}
EFFECT_HEADS = [
    "effect", "becomes", "control", "each treatment", "days at most", "half by day", "read once: control", "treatment", "days"
]  # fmt: skip


def plan_sentences(found: PlannedExperiment) -> list[str]:
    """Return what a plan says, the duration first."""
    plan, question = found.plan, found.plan.question
    rows = f"{plan.rows[0]:,} entities in the control and {plan.rows[1]:,} in {_each(question.treatments)}"
    once = f"{plan.rows_fixed[0]:,} and {plan.rows_fixed[1]:,}"
    return [
        (
            f"To show that {found.metric} goes from {_level(found, 0)} to {_level(found, found.effect)}: at most "
            f"{_days(plan.days)} ({_weeks(found.weeks)}), {rows}."
        ),
        f"If the effect is real, half of such experiments have shown it by day {plan.days_likely:,}; it may be read at any time.",
        f"A test that is read once, at the end, takes {_days(plan.days_fixed)} ({once}), and must not be read before.",
    ]


def assumption_rows(found: PlannedExperiment) -> list[list[str]]:
    """Return what a plan rests on: name, number, and where it is from."""
    return [
        [NUMBERS[name], number(each.value), f"{each.source}: {each.told}"] for name, each in found.assumptions.items()
    ]


def effect_rows(found: PlannedExperiment) -> list[list[str]]:
    """Return what each effect takes, smallest first, under `EFFECT_HEADS`; the wanted one has a star."""
    return [
        [
            f"{plan.question.effect:+.4g}{' *' if plan == found.plan else ''}",
            _level(found, plan.question.effect),
            f"{plan.rows[0]:,}",
            f"{plan.rows[1]:,}",
            f"{plan.days:,}",
            f"{plan.days_likely:,}",
            f"{plan.rows_fixed[0]:,}",
            f"{plan.rows_fixed[1]:,}",
            f"{plan.days_fixed:,}",
        ]
        for plan in found.others
    ]


def _level(found: PlannedExperiment, effect: float) -> str:
    question = found.plan.question
    level = question.baseline + effect
    return f"{number(level * 100)} %" if question.kind == "rate" else number(level)


def _each(treatments: int) -> str:
    return "the treatment" if treatments == 1 else f"each of {treatments} treatments"


def _days(days: int) -> str:
    return f"{days:,} day{'' if days == 1 else 's'}"


def _weeks(weeks: int) -> str:
    return f"{weeks:,} whole week{'' if weeks == 1 else 's'}"
