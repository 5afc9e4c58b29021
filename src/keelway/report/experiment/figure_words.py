"""Says what one figure of an experiment tells, in words that a product owner reads.

>>> number(0.01234), number(1234567.0), difference_in("rate", 0.0112), difference_in("quantile", -0.25)
('0.0123', '1,234,567', '1.1 percentage points', '25 %')
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from keelway.core import in_utc
from keelway.project import LABEL_KINDS

if TYPE_CHECKING:
    from keelway.core import VersionName
    from keelway.project import Guardrail, Metric
    from keelway.report.experiment.records import FigureStory, Word

TITLES = {
    "error_rate": "Requests that failed",
    "not_a_number": "Answers that are no number",
    "latency": "Time to answer",
    "predictions": "Spread of the predictions",
    "brier": "Error of the predictions (Brier score)",
    "log_loss": "Error of the predictions (log loss)",
    "roc_auc": "Ranking by the predictions (AUC)",
    "accuracy": "Predictions that name the right class (accuracy)",
    "mse": "Squared error of the predictions (MSE)",
    "mae": "Error of the predictions (mean absolute error)",
}
NOT_ASKED = "no figure was read at the newest look"
SHARES = ("rate", "accuracy")
"""Kinds of figures that are a share of rows."""
DIRECTIONS = {"latency": ("longer", "shorter")}
WITHOUT_A_WAY: Word = "near is better"
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
LEVEL_DIGITS, DIFFERENCE_DIGITS = 3, 2
SMALLEST_WRITTEN, LARGEST_WRITTEN = 1e-4, 1e9  # beyond them a number is written with its power of ten
LARGEST_TOLD = 1e15
MILLISECONDS = 1000


def moment(at: datetime) -> str:
    """Return a time as people write it.

    >>> moment(datetime.fromisoformat("2026-03-02T08:00:00Z"))
    '2 March 2026, 08:00 UTC'
    """
    time = in_utc(at)
    return f"{time.day} {MONTHS[time.month - 1]} {time.year}, {time:%H:%M} UTC"


def title_of(figure: Guardrail | Metric) -> str:
    """Return the name of a figure in plain words."""
    return TITLES.get(figure.name) or figure.name.replace("_", " ").capitalize()


def word_of(figure: Guardrail | Metric) -> Word:
    """Return which way of a figure is good."""
    if figure.kind == "distribution":
        return WITHOUT_A_WAY
    if figure.kind in LABEL_KINDS:
        return "higher is better" if figure.kind in ("roc_auc", "accuracy") else "lower is better"
    return "lower is better" if figure.higher_is_worse else "higher is better"


def difference_of(figure: Guardrail | Metric, harm: float | None) -> float | None:
    """Return the treatment less the control, from the harm that is judged; a part of the control's for quantiles."""
    known = told_figure(harm)
    if known is None or word_of(figure) != "higher is better":
        return known
    if figure.kind == "quantile":
        return told_figure(1 / (1 + known) - 1) if known > -1 else None
    return -known + 0.0


def told_figure(value: float | None) -> float | None:
    """Return a figure that can be told; None for one that is no number, or larger than any figure is."""
    return value if value is not None and abs(value) <= LARGEST_TOLD else None  # NaN is not


def number(value: float, *, digits: int = LEVEL_DIGITS) -> str:
    """Return a number with so many digits that count, without a power of ten where people would not write one."""
    size = abs(value)
    if not size:
        return "0"
    if not SMALLEST_WRITTEN <= size < LARGEST_WRITTEN:
        return f"{value:.{digits}g}"
    text = f"{value:,.{max(0, digits - 1 - math.floor(math.log10(size)))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _points(value: float) -> str:
    """Return the size of a difference of rates."""
    text = number(abs(value) * 100, digits=DIFFERENCE_DIGITS)
    return f"{text} percentage point{'' if text == '1' else 's'}"


def difference_in(kind: str, value: float) -> str:
    """Return the size of a difference, with its unit and without its sign."""
    if kind in SHARES:
        return _points(value)
    size = abs(value) * 100 if kind == "quantile" else abs(value)
    return number(size, digits=DIFFERENCE_DIGITS) + (" %" if kind == "quantile" else "")


def level_in(kind: str, value: float, name: str) -> str:
    """Return a figure of one arm with its unit; of squared errors with the root, which is in units of the label.

    >>> level_in("mse", 6.25, "mse"), level_in("accuracy", 0.875, "accuracy")
    ('6.25 (RMSE 2.5)', '87.5 %')
    """
    if kind in SHARES:
        return f"{number(value * 100)} %"
    if kind == "mse":
        return f"{number(value)} (RMSE {number(math.sqrt(value))})"
    return f"{number(value * MILLISECONDS)} ms" if name == "latency" else number(value)


def told(story: FigureStory, control: VersionName, reason: str) -> str:
    """Return what a figure says, in a few sentences.

    Args:
        story: The figure; its sentence is not read.
        control: What the treatment is compared with.
        reason: What the judgement said of it, for a figure that could not be read or is too early.
    """
    if reason == NOT_ASKED:
        return "It was not read at the newest look, where no figure can be believed; what was seen before stands below."
    if story.status == "unknown":
        return f"It could not be read: {reason}."
    if story.difference is None:
        return f"It is too early to tell: {reason}."
    return " ".join(part for part in (_now(story, control), _truth(story), _judged(story)) if part)


def difference_told(story: FigureStory, value: float) -> str:
    """Return a difference with its unit and its way: `1.1 percentage points higher`."""
    return f"{difference_in(story.kind, value)} {_way(story, 1 if value >= 0 else -1)}" if value else "no different"


def span(story: FigureStory, low: float | None, high: float | None) -> str:
    """Return where the truth lies, between two ends of a difference; empty where nothing bounds it."""
    if low is None and high is None:
        return ""
    if low is None or high is None:
        return _one_sided(story, low, high)
    if low < 0 < high:
        return f"between {_bare(story, low)} {_way(story, -1)} and {difference_told(story, high)}"
    near, far = sorted((low, high), key=abs)
    return f"between {_bare(story, near)} and {difference_told(story, far)}"


def asked(story: FigureStory) -> str:
    """Return what the difference has to be, for the figure to hold."""
    if _is_distance(story):
        return f"a distance below {number(story.wanted)}"
    good: Literal[1, -1] = 1 if story.word == "higher is better" else -1
    if not story.wanted:
        return _way(story, good)
    if story.wanted * good > 0:
        return f"more than {difference_told(story, story.wanted)}"
    return f"at most {difference_told(story, story.wanted)}"


def limit_of(story: FigureStory) -> str:
    """Return the difference that it may not reach."""
    if _is_distance(story):
        return f"a distance of {number(story.limit)}"
    if not story.limit:
        return f"not {_way(story, -1 if story.word == 'higher is better' else 1)}"
    return f"at most {difference_told(story, story.limit)}"


def _now(story: FigureStory, control: VersionName) -> str:
    """Return what was measured."""
    difference = story.difference or 0.0
    if _is_distance(story):
        return f"The predictions of {story.version} and {control} lie {number(difference)} apart (PSI; 0 is alike)."
    if story.control is None or story.treatment is None:
        return f"With {story.version} it is {difference_told(story, difference)} than with {control}."
    one, other = (level_in(story.kind, each, story.name) for each in (story.treatment, story.control))
    adjusted = " once what was known before is taken out" if story.cuped else ""
    return f"{one} with {story.version}, {other} with {control}: {difference_told(story, difference)}{adjusted}."


def _truth(story: FigureStory) -> str:
    if _is_distance(story):
        return ""
    where = span(story, story.low, story.high)
    return f"Chance considered, the truth is {where}." if where else "How far chance reaches is not known yet."


def _judged(story: FigureStory) -> str:
    if story.status == "violated":
        return f"That breaks its limit ({limit_of(story)})."
    held = story.status == "held"
    if story.role == "goal":
        goal = f"the goal (to be {asked(story)})"
        return f"{goal[0].upper()}{goal[1:]} is reached." if held else f"Whether {goal} is reached is not settled yet."
    limit = f"its limit (to be {asked(story)})" if not _is_distance(story) else f"its limit ({asked(story)})"
    return f"It keeps {limit}." if held else f"Whether it keeps {limit} is not settled yet."


def _one_sided(story: FigureStory, low: float | None, high: float | None) -> str:
    end = low if low is not None else high
    assert end is not None
    outward = end >= 0 if low is not None else end <= 0
    return f"{'at least' if outward else 'at most'} {difference_told(story, end)}"


def _bare(story: FigureStory, value: float) -> str:
    """Return the size of a difference without its unit, which is told after the other end."""
    return difference_in(story.kind, value).partition(" ")[0]


def _is_distance(story: FigureStory) -> bool:
    return story.word == WITHOUT_A_WAY


def _way(story: FigureStory, sign: int) -> str:
    up, down = DIRECTIONS.get(story.name, ("higher", "lower"))
    return up if sign > 0 else down
