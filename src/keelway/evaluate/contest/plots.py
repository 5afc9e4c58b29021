"""The plots of a contest, by name: every model in one where lines can share it, one for each model where they cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keelway.core import Axis, Chart
from keelway.evaluate.aspects import GainStep
from keelway.evaluate.contest.records import Contest
from keelway.evaluate.plots import CHANCE, forest_plot, precision_recall_plot, reliability_plot, residual_plot, roc_plot

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def contest_plots(found: Contest, truth: Sequence[Any], predictions: Mapping[str, ArrayLike]) -> dict[str, str]:
    """Return the plots of a contest as SVG, by a name that says what they show.

    Args:
        found: The contest.
        truth: What came true, a value a row.
        predictions: Each model's, by name.
    """
    made = {f"differences-{metric}": _differences(found, metric) for metric in found.metrics}
    if found.task == "binary":
        made["roc"] = roc_plot(truth, predictions)
        made["precision-recall"] = precision_recall_plot(truth, predictions)
        steps = {each.name: each.gains for each in found.models if each.gains}
        if steps:
            made["gain"], made["lift"] = _gain(steps), _lift(steps)
    for each in found.models:
        if each.calibration is not None:
            made[f"reliability-{each.name}"] = reliability_plot(each.calibration, title=f"Reliability of {each.name}")
        if found.task == "regression":
            title = f"Residuals of {each.name}"
            made[f"residuals-{each.name}"] = residual_plot(truth, predictions[each.name], title=title, seed=found.seed)
    return made


def _differences(found: Contest, metric: str) -> str:
    """Return how far each model is from the baseline by a metric, with intervals."""
    gaps = {each.name: each.comparison.difference for each in found.duels if each.comparison.metric == metric}
    return forest_plot(
        gaps,
        label=f"{metric}, minus that of {found.baseline.name}",
        title=f"Differences of {metric}",
        reference=0.0,
    )


def _gain(steps: Mapping[str, Sequence[GainStep]]) -> str:
    told = "; ".join(f"{name} {each[0].gain.value:.1%}" for name, each in steps.items())
    chart = Chart(
        "Gain",
        f"Share of positives found over share of rows acted on. Positives among the first tenth: {told}. The diagonal is "
        "chance.",
        x=Axis("Share of rows"),
        y=Axis("Share of positives"),
    )
    chart.line([0, 1], [0, 1], colour=CHANCE, dashed=True)
    return _drawn(chart, steps, lambda each: each.gain.value, start=[(0.0, 0.0)])


def _lift(steps: Mapping[str, Sequence[GainStep]]) -> str:
    told = "; ".join(f"{name} {each[0].lift.value:.2f}" for name, each in steps.items())
    highest = max(each.lift.value for some in steps.values() for each in some)
    chart = Chart(
        "Lift",
        f"How much more often rows acted on are positive than all are. Lift of the first tenth: {told}. Chance is 1.",
        x=Axis("Share of rows"),
        y=Axis("Lift", 0, max(1.0, highest) * 1.05),
    )
    chart.line([0, 1], [1, 1], colour=CHANCE, dashed=True)
    return _drawn(chart, steps, lambda each: each.lift.value, start=[])


def _drawn(
    chart: Chart,
    steps: Mapping[str, Sequence[GainStep]],
    value: Callable[[GainStep], float],
    *,
    start: Sequence[tuple[float, float]],
) -> str:
    """Return a chart with a line for each model."""
    for place, (name, some) in enumerate(steps.items()):
        points = [*start, *((each.share, value(each)) for each in some)]
        chart.line([x for x, _ in points], [y for _, y in points], name=name, colour=place)
    return chart.svg()
