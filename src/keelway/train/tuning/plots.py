"""The plots of a search, each one text of SVG: its history, what the parameters are worth, and one parameter against the metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from keelway.core import Axis, Chart, Scalar
from keelway.errors import TrainingError
from keelway.project import Choice, Range
from keelway.train.tuning.record import TuningTrial
from keelway.train.tuning.stopping import best_of

ROW_HEIGHT = 26  # px of a row with a name


def history_plot(trials: Sequence[TuningTrial], *, metric: str, larger_is_better: bool, title: str = "Search") -> str:
    """Return the metric of each complete trial in order, with a line of the best so far.

    Raises:
        TrainingError: No trial is complete.
    """
    complete = _complete(trials)
    best = [
        found.value
        for number in range(len(complete))
        if (found := best_of(complete[: number + 1], larger_is_better=larger_is_better)) and found.value is not None
    ]
    numbers = [float(trial.number) for trial in complete]
    chart = Chart(
        title,
        f"{metric} of {len(complete)} complete trials of {len(trials)}, in order, and the best so far: from "
        f"{best[0]:.5g} to {best[-1]:.5g}.",
        x=Axis("Trial", 0.0, max(1.0, float(trials[-1].number))),
        y=_value_axis(metric, complete),
    )
    chart.points(numbers, [_value(trial) for trial in complete], name="trial")
    chart.line(numbers, best, name="best so far", colour=1)
    return chart.svg()


def parameter_plot(importances: Mapping[str, float], *, title: str = "What the parameters are worth") -> str:
    """Return a bar for each parameter, most important first; the bars are 1 in sum.

    Raises:
        TrainingError: There is no parameter to show.
    """
    if not importances:
        raise TrainingError("There is nothing to show", expected="two complete trials that differ", found="fewer")
    shown = sorted(importances.items(), key=lambda each: (-each[1], each[0]))
    chart = Chart(
        title,
        "Share of the metric's variance that a parameter explains: "
        + "; ".join(f"{name} {share:.3f}" for name, share in shown)
        + ".",
        x=Axis("Share of variance", 0.0, 1.0),
        y=Axis("", names=tuple(name for name, _ in shown)),
        height=130 + ROW_HEIGHT * len(shown),
    )
    for place, (name, share) in enumerate(shown):
        chart.bar((0.0, share), (place - 0.3, place + 0.3), name=name)
    return chart.svg()


def slice_plot(
    trials: Sequence[TuningTrial], name: str, allowed: Range | Choice, *, metric: str, title: str = ""
) -> str:
    """Return the metric of each complete trial over one parameter; over its logarithm where that was searched.

    Raises:
        TrainingError: No trial is complete.
    """
    complete = _complete(trials)
    title = title or f"{metric} by {name}"
    told = f"{metric} of {len(complete)} complete trials over {name}"
    if isinstance(allowed, Choice):
        names = tuple(str(each) for each in allowed.values)
        chart = Chart(
            title,
            f"{told}, one of {', '.join(names)}.",
            x=_value_axis(metric, complete),
            y=Axis("", names=names),
            height=130 + ROW_HEIGHT * len(names),
        )
        places = [float(names.index(str(trial.parameters[name]))) for trial in complete]
        chart.points([_value(trial) for trial in complete], places)
        return chart.svg()
    label = f"log10 of {name}" if allowed.log else name
    low, high = (_place(each, log=allowed.log) for each in (allowed.low, allowed.high))
    chart = Chart(
        title,
        f"{told} from {allowed.low:g} to {allowed.high:g}.",
        x=Axis(label, low, high),
        y=_value_axis(metric, complete),
    )
    chart.points(
        [_place(trial.parameters[name], log=allowed.log) for trial in complete], [_value(trial) for trial in complete]
    )
    return chart.svg()


def _complete(trials: Sequence[TuningTrial]) -> list[TuningTrial]:
    complete = [trial for trial in trials if trial.value is not None]
    if not complete:
        raise TrainingError("There is nothing to show", expected="a complete trial", found=f"0 of {len(trials)}")
    return complete


def _value(trial: TuningTrial) -> float:
    assert trial.value is not None
    return trial.value


def _place(value: Scalar, *, log: bool) -> float:
    assert isinstance(value, (int, float))
    return math.log10(value) if log else float(value)


def _value_axis(metric: str, complete: Sequence[TuningTrial]) -> Axis:
    values = [_value(trial) for trial in complete]
    low, high = min(values), max(values)
    room = (high - low) * 0.05 or abs(low) * 0.05 or 0.05
    return Axis(metric, low - room, high + room)
