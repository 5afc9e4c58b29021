"""Verdicts: what a difference and its uncertainty show, given the smallest difference that matters.

- `equivalent`: the 90 % interval lies within that difference on both sides (two one-sided tests at 5 %, Schuirmann 1987).
- `better`, `worse`: the difference is significant (two-sided, 5 %) and at least that large.
- `no difference shown`: anything else. It is no proof that there is none.
"""

from __future__ import annotations

import math

from keelway.evaluate.records import Comparison, VerdictWord
from keelway.evaluate.uncertainty import SIGNIFICANT, Interval, quantile_of

TWO_ONE_SIDED = 1 - 2 * SIGNIFICANT


def verdict_of(
    difference: Interval, p_value: float, *, greater_is_better: bool, smallest_difference: float = 0.0
) -> VerdictWord:
    """Return what a difference (this one minus the other) shows."""
    if smallest_difference > 0:
        centre, half = (difference.low + difference.high) / 2, (difference.high - difference.low) / 2
        half *= quantile_of(TWO_ONE_SIDED) / quantile_of(difference.level)
        if abs(centre) + half < smallest_difference:
            return "equivalent"
    if not (p_value < SIGNIFICANT and difference.value) or not abs(difference.value) >= smallest_difference:
        return "no difference shown"
    return "better" if (difference.value > 0) == greater_is_better else "worse"


def p_of(difference: float, error: float) -> float:
    """Return the two-sided p-value of a difference with a normal standard error, in any magnitude."""
    if error > 0:
        return math.erfc(abs(difference) / error / math.sqrt(2))
    return 0.0 if difference else 1.0


def in_words(comparison: Comparison) -> str:
    """Return a comparison as a sentence.

    >>> gap = Interval(0.012, 0.004, 0.020, 0.95, "paired DeLong")
    >>> in_words(Comparison("churn:1", gap, 0.003, "better"))
    'better than churn:1: roc_auc differs by +0.0120 (+0.0040 to +0.0200, p = 0.003)'
    """
    found = comparison.difference
    figures = (
        f"{comparison.metric} differs by {found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f}, {_p(comparison)})"
    )
    least = f"{comparison.smallest_difference:g}"
    said = {
        "better": f"better than {comparison.against}",
        "worse": f"worse than {comparison.against}",
        "equivalent": f"equivalent to {comparison.against}, to within {least}",
        "no difference shown": f"no difference from {comparison.against} that matters is shown",
    }
    return f"{said[comparison.verdict]}: {figures}"


def _p(comparison: Comparison) -> str:
    exact = f"p = {comparison.p_value:.3f}" if comparison.p_value >= 0.001 else "p < 0.001"
    return exact if comparison.correction == "none" else f"{exact} after {comparison.correction.title()}"
