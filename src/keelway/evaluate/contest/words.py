"""What a comparison comes to, in words that a product owner reads: better, worse, nothing worth having, or undecided.

A sentence names the difference in the direction that is better, its interval, and the margin: what a difference must
reach to be worth having. That something is merely significant is never said by itself.
"""

from __future__ import annotations

from keelway.evaluate.contest.records import ContestWord
from keelway.evaluate.metrics import greater_is_better
from keelway.evaluate.records import Comparison


def word_of(found: Comparison, *, same: bool = False) -> ContestWord:
    """Return what a comparison comes to; `same` where both models predict the same for every row."""
    if same or found.verdict == "equivalent":
        return "no difference worth having"
    if found.verdict == "no difference shown":
        return "undecided"
    return found.verdict


def sentence_of(name: str, found: Comparison, *, same: bool = False) -> str:
    """Return a comparison of a model with another as a sentence.

    >>> from keelway.evaluate.uncertainty import Interval
    >>> gap = Interval(0.012, 0.004, 0.020, 0.95, "paired DeLong")
    >>> sentence_of("churn:2", Comparison("churn:1", gap, 0.003, "better", smallest_difference=0.005))
    'churn:2 is better than churn:1: its roc_auc is higher by 0.012 [0.004, 0.02], which is above the margin 0.005.'
    """
    if same:
        return f"{name} predicts the same as {found.against} for every row."
    word = word_of(found)
    if word in ("better", "worse"):
        return f"{name} is {word} than {found.against}: {_moved(found)}{_reached(found)}."
    if word == "undecided":
        return f"Undecided between {name} and {found.against}: {_doubt(found)}."
    return (
        f"No difference worth having between {name} and {found.against}: {_between(found)}, "
        f"within the margin {found.smallest_difference:g} either way."
    )


def chance_of(found: Comparison) -> str:
    """Return the p-value as it is written, with how it was corrected.

    >>> from keelway.evaluate.uncertainty import Interval
    >>> gap = Interval(0.1, 0.0, 0.2, 0.95, "paired t")
    >>> chance_of(Comparison("a", gap, 0.0002, "better", correction="holm"))
    'p < 0.001 after Holm'
    """
    exact = f"p = {found.p_value:.3f}" if found.p_value >= 0.001 else "p < 0.001"
    names = {"holm": "Holm", "benjamini-hochberg": "Benjamini-Hochberg"}
    return (
        exact
        if found.correction == "none"
        else f"{exact} after {names.get(found.correction, found.correction.title())}"
    )


def _moved(found: Comparison) -> str:
    """Return how far the metric moved, the way it went."""
    up = found.difference.value > 0
    sign = 1 if up else -1
    ends = sorted((sign * found.difference.low, sign * found.difference.high))
    return (
        f"its {found.metric} is {'higher' if up else 'lower'} by {_figure(abs(found.difference.value))} "
        f"[{_figure(ends[0])}, {_figure(ends[1])}]"
    )


def _reached(found: Comparison) -> str:
    """Return where a difference stands beside the margin."""
    least = found.smallest_difference
    above = "above" if abs(found.difference.value) > least else "just"
    return f", which is {above} the margin {least:g}" if least > 0 else ""


def _doubt(found: Comparison) -> str:
    """Return why nothing is decided."""
    least = found.smallest_difference
    clear = found.difference.low > 0 or found.difference.high < 0
    if clear and abs(found.difference.value) < least:
        return f"{_between(found)}, which is below the margin {least:g} but may be above it"
    if clear:
        return f"{_between(found)}, which so many comparisons may show by chance ({chance_of(found)})"
    if least > 0:
        return f"{_between(found)}: it may be worth more than the margin {least:g}, or nothing"
    return f"{_between(found)}: it may be either way"


def _between(found: Comparison) -> str:
    gap = found.difference
    better = "higher" if greater_is_better(found.metric) else "lower"
    return f"{found.metric} differs by {gap.value:+.4g} [{gap.low:+.4g}, {gap.high:+.4g}] ({better} is better)"


def _figure(value: float) -> str:
    return f"{value:.4g}"
