"""The plots of an evaluation, each one text of SVG: ROC, precision and recall, reliability, gain, lift, residuals, intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from keelway.core import Axis, Chart
from keelway.errors import TrainingError
from keelway.evaluate.aspects import GainStep
from keelway.evaluate.delong import auc_influences
from keelway.evaluate.findings import Calibration, Importance
from keelway.evaluate.metrics import average_precision
from keelway.evaluate.rows import checked_rows
from keelway.evaluate.uncertainty import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

ROW_HEIGHT = 26  # px of a row with a name
MOST_DOTS = 2_000
CHANCE = -1  # the grey of lines that are only there to compare with


def roc_plot(truth: ArrayLike, predictions: Mapping[str, ArrayLike], *, title: str = "ROC curve") -> str:
    """Return the share of positives found against the share of negatives taken for one, a line for each model.

    Raises:
        TrainingError: A class has fewer than two rows, or a prediction is no number.
    """
    areas = {}
    lines = {}
    for name, given in predictions.items():
        labels, scores = checked_rows("binary", truth, given, only_ranked=True)
        areas[name] = auc_influences(labels, scores)[0]
        hits, seen = _steps(labels, scores)
        lines[name] = ((seen - hits) / (seen[-1] - hits[-1]), hits / hits[-1])
    chart = Chart(
        title,
        f"True positive rate over false positive rate. {_told('AUC', areas)} The diagonal is chance.",
        x=Axis("False positive rate"),
        y=Axis("True positive rate"),
    )
    chart.line([0, 1], [0, 1], colour=CHANCE, dashed=True)
    for place, (name, (x, y)) in enumerate(lines.items()):
        chart.line(x.tolist(), y.tolist(), name=f"{name} ({areas[name]:.3f})", colour=place)
    return chart.svg()


def precision_recall_plot(
    truth: ArrayLike, predictions: Mapping[str, ArrayLike], *, title: str = "Precision and recall"
) -> str:
    """Return precision against recall, a line for each model; the dashed line is the share of positives.

    Raises:
        TrainingError: There is no positive, or a prediction is no number.
    """
    import numpy as np

    figures, lines, share = {}, {}, 0.0
    for name, given in predictions.items():
        labels, scores = checked_rows("binary", truth, given, only_ranked=True)
        if not labels.any():
            raise TrainingError("There is no recall to show", expected="a positive row", found="0")
        share = float(labels.mean())
        figures[name] = average_precision(labels, scores)
        hits, seen = _steps(labels, scores)
        precision = hits[1:] / seen[1:]
        lines[name] = (hits / hits[-1], np.concatenate([precision[:1], precision]))
    chart = Chart(
        title,
        f"Precision over recall. {_told('Average precision', figures)} Chance is {share:.3f}.",
        x=Axis("Recall"),
        y=Axis("Precision"),
    )
    chart.line([0, 1], [share, share], colour=CHANCE, dashed=True)
    for place, (name, (x, y)) in enumerate(lines.items()):
        chart.line(x.tolist(), y.tolist(), name=f"{name} ({figures[name]:.3f})", colour=place)
    return chart.svg()


def reliability_plot(found: Calibration, *, title: str = "Reliability") -> str:
    """Return what came true against what was predicted, bin by bin, with intervals; on the diagonal both agree."""
    chart = Chart(
        title,
        f"Observed share over predicted probability in {len(found.bins)} bins. Expected calibration error "
        f"{found.error.value:.4f}, largest gap {found.worst_gap:.4f}. On the diagonal both agree.",
        x=Axis("Predicted probability"),
        y=Axis("Observed share"),
    )
    chart.line([0, 1], [0, 1], colour=CHANCE, dashed=True)
    chart.line([each.predicted for each in found.bins], [each.observed.value for each in found.bins])
    for each in found.bins:
        chart.range((each.predicted, each.predicted), (each.observed.low, each.observed.high))
    chart.points([each.predicted for each in found.bins], [each.observed.value for each in found.bins])
    return chart.svg()


def gain_plot(steps: Sequence[GainStep], *, title: str = "Gain") -> str:
    """Return the share of positives found against the share of rows acted on, highest probability first."""
    chart = Chart(
        title,
        f"Share of positives found over share of rows acted on. The first {steps[0].share:.0%} of rows hold "
        f"{steps[0].gain.value:.1%} of positives. The diagonal is chance.",
        x=Axis("Share of rows"),
        y=Axis("Share of positives"),
    )
    chart.line([0, 1], [0, 1], colour=CHANCE, dashed=True)
    chart.line([0, *(each.share for each in steps)], [0, *(each.gain.value for each in steps)])
    chart.points([each.share for each in steps], [each.gain.value for each in steps])
    return chart.svg()


def lift_plot(steps: Sequence[GainStep], *, title: str = "Lift") -> str:
    """Return how much better than chance the rows acted on are, highest probability first, with intervals."""
    highest = max(1.0, *(each.lift.high for each in steps))
    chart = Chart(
        title,
        f"Lift over share of rows acted on. The first {steps[0].share:.0%} of rows are {steps[0].lift.value:.2f} times as "
        "often positive as all. Chance is 1.",
        x=Axis("Share of rows"),
        y=Axis("Lift", 0, highest * 1.05),
    )
    chart.line([0, 1], [1, 1], colour=CHANCE, dashed=True)
    for each in steps:
        chart.range((each.share, each.share), (each.lift.low, each.lift.high))
    chart.line([each.share for each in steps], [each.lift.value for each in steps])
    chart.points([each.share for each in steps], [each.lift.value for each in steps])
    return chart.svg()


def residual_plot(truth: ArrayLike, predictions: ArrayLike, *, title: str = "Residuals", seed: int = 0) -> str:
    """Return how far truth lies above each prediction; of many rows, some are drawn.

    Raises:
        TrainingError: A truth or a prediction is no number.
    """
    import numpy as np

    rows, given = checked_rows("regression", truth, predictions)
    residuals = rows - given
    order = np.random.default_rng(seed).permutation(len(rows))[:MOST_DOTS]
    low, high = float(min(residuals.min(), 0)), float(max(residuals.max(), 0))
    chart = Chart(
        title,
        f"Truth minus prediction over prediction, {len(order):,} of {len(rows):,} rows. Mean {residuals.mean():.4g}, "
        f"standard deviation {residuals.std():.4g}. Above 0 the prediction was too low.",
        x=Axis("Prediction", float(given.min()), float(given.max())),
        y=Axis("Truth minus prediction", low, high),
    )
    chart.line([float(given.min()), float(given.max())], [0, 0], colour=CHANCE, dashed=True)
    chart.points(given[order].tolist(), residuals[order].tolist())
    return chart.svg()


def forest_plot(
    figures: Mapping[str, Interval], *, label: str, title: str = "Intervals", reference: float | None = None
) -> str:
    """Return one row for each figure with its interval; `reference` is a dashed line, such as 0 for differences.

    Raises:
        TrainingError: There is no figure.
    """
    if not figures:
        raise TrainingError("There is nothing to show", expected="one figure or more")
    ends = [end for each in figures.values() for end in (each.low, each.high)]
    low, high = _with_room([*ends, *([] if reference is None else [reference])])
    said = "; ".join(f"{name} {each.value:.4g} ({each.low:.4g} to {each.high:.4g})" for name, each in figures.items())
    chart = Chart(
        title,
        f"{label}, with intervals: {said}.",
        x=Axis(label, low, high),
        y=Axis("", names=tuple(figures)),
        height=_height(len(figures)),
    )
    if reference is not None:
        chart.line([reference, reference], [-0.5, len(figures) - 0.5], colour=CHANCE, dashed=True)
    for place, each in enumerate(figures.values()):
        chart.range((each.low, each.high), (place, place))
        chart.points([each.value], [place])
    return chart.svg()


def importance_plot(found: Sequence[Importance], *, title: str = "Permutation importance", most: int = 20) -> str:
    """Return a bar for each feature, most important first, with intervals.

    Raises:
        TrainingError: There is no feature.
    """
    if not found:
        raise TrainingError("There is nothing to show", expected="one feature or more")
    shown = sorted(found, key=lambda each: -each.loss.value)[:most]
    low, high = _with_room([0.0, *(end for each in shown for end in (each.loss.low, each.loss.high))])
    chart = Chart(
        title,
        f"How much worse {shown[0].metric} gets when a feature is shuffled: "
        + "; ".join(f"{each.feature} {each.loss.value:.4g}" for each in shown)
        + ".",
        x=Axis(f"Loss of {shown[0].metric}", low, high),
        y=Axis("", names=tuple(each.feature for each in shown)),
        height=_height(len(shown)),
    )
    for place, each in enumerate(shown):
        chart.bar((0.0, each.loss.value), (place - 0.3, place + 0.3), name=each.feature)
        chart.range((each.loss.low, each.loss.high), (place, place), colour=1)
    return chart.svg()


def _steps(labels: Numbers, scores: Numbers) -> tuple[Numbers, Numbers]:
    """Return positives and rows among the first, second ... run of equal scores, highest first, beginning with none."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.concatenate([[0.0], np.cumsum(labels[order])[ends]])
    return hits, np.concatenate([[0.0], ends + 1.0])


def _told(what: str, figures: Mapping[str, float]) -> str:
    return f"{what}: " + "; ".join(f"{name} {value:.4f}" for name, value in figures.items()) + "."


def _with_room(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * 0.05 or abs(low) * 0.05 or 0.05
    return low - room, high + room


def _height(rows: int) -> int:
    return 130 + ROW_HEIGHT * rows
