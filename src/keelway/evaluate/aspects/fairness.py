"""Fairness: how evenly decisions fall on groups of people.

Demographic parity compares the shares selected, equal opportunity those among people who deserved it, equalised odds also
those among people who did not (Hardt, Price and Srebro 2016). Groups with too few rows are reported and not judged. With
more than two groups the two extremes are picked after the fact, so their intervals are widened by Bonferroni over all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from keelway.evaluate.aspects.levels import levels_of
from keelway.evaluate.aspects.slices import MIN_SUPPORT
from keelway.evaluate.findings import Fairness, GroupRates, Judgement
from keelway.evaluate.rows import checked_rows
from keelway.evaluate.uncertainty import (
    LEVEL,
    Interval,
    newcombe_interval,
    proportions_test,
    ratio_interval,
    wilson_interval,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

FOUR_FIFTHS = 0.8
Count = tuple[int, int]


def fairness_of(
    truth: ArrayLike,
    probabilities: ArrayLike,
    values: Sequence[Any],
    *,
    column: str,
    threshold: float = 0.5,
    favourable: Literal["positive", "negative"] = "positive",
    min_support: int = MIN_SUPPORT,
) -> Fairness:
    """Return how decisions fall on the groups of a sensitive column.

    Args:
        truth: 0 or 1, a value a row.
        probabilities: Of 1, a value a row.
        values: The group of each row; many numbers (ages, say) are cut at their quartiles.
        column: What the column is called.
        threshold: A row at or above it is decided positive.
        favourable: Which decision is good for the person.
        min_support: A group with fewer rows is reported and not judged.
    """
    labels, given = checked_rows("binary", truth, probabilities)
    good = favourable == "positive"
    selected, deserved = (given >= threshold) == good, (labels == 1) == good
    counts = {level: _counts(own, selected, deserved) for level, own in levels_of(values, column=column).items()}
    judged = {level: each for level, each in counts.items() if each["selected"][1] >= min_support}
    parity = _extremes([each["selected"] for each in judged.values()])
    ratio = _ratio(parity, len(judged))
    rates = [_extremes([each[name] for each in judged.values()]) for name in ("true", "false")]
    gaps = [_gap(pair, len(judged)) for pair in rates]
    verdict: Judgement = "not judged"
    if ratio is not None:
        verdict = "passes" if round(ratio.value, 12) >= FOUR_FIFTHS else "fails"  # 0.28 of 0.35, in floats
    return Fairness(
        column=column,
        groups=tuple(_group(level, each, level in judged) for level, each in counts.items()),
        threshold=threshold,
        parity_difference=_gap(parity, len(judged)),
        parity_ratio=ratio,
        equal_opportunity=gaps[0],
        equalised_odds=max((gap for gap in gaps if gap is not None), key=lambda gap: gap.value, default=None),
        p_value=proportions_test([each["selected"] for each in judged.values()]).p_value if len(judged) > 1 else None,
        four_fifths=verdict,
        sure=ratio is not None and (ratio.low >= FOUR_FIFTHS or ratio.high < FOUR_FIFTHS),
    )


def in_plain_words(found: Fairness) -> str:
    """Return what was found as a sentence."""
    small = sum(not each.enough for each in found.groups)
    aside = f"; {small} of {len(found.groups)} groups are too small to judge" if small else ""
    if found.parity_ratio is None or found.parity_difference is None:
        return f"{found.column}: not judged, because there are not two groups with enough rows, some of them selected{aside}"
    ratio = found.parity_ratio
    certain = "" if found.sure else ", though the interval reaches across 0.8"
    return (
        f"{found.column}: {found.four_fifths} the four-fifths rule: the group selected least is selected {ratio.value:.2f} "
        f"times as often as the one selected most ({ratio.low:.2f} to {ratio.high:.2f}){certain}{aside}"
    )


def _counts(own: NDArray[np.bool_], selected: NDArray[np.bool_], deserved: NDArray[np.bool_]) -> dict[str, Count]:
    """Return how many of a group were selected, of all, of the deserving and of the others."""
    sides = {"selected": own, "true": own & deserved, "false": own & ~deserved}
    return {name: (int((selected & side).sum()), int(side.sum())) for name, side in sides.items()}


def _group(level: str, counts: dict[str, Count], enough: bool) -> GroupRates:
    rates = {name: wilson_interval(*each) if each[1] else None for name, each in counts.items()}
    selected = rates["selected"] or Interval(0.0, 0.0, 1.0, LEVEL, "Wilson")
    return GroupRates(level, counts["selected"][1], enough, selected, rates["true"], rates["false"])


def _extremes(counts: Sequence[Count]) -> tuple[Count, Count] | None:
    """Return the groups with the highest and the lowest rate, or None where fewer than two have one."""
    known = sorted((each for each in counts if each[1]), key=lambda each: each[0] / each[1])
    return (known[-1], known[0]) if len(known) > 1 else None


def _gap(pair: tuple[Count, Count] | None, groups: int) -> Interval | None:
    return None if pair is None else newcombe_interval(*pair, level=_widened(groups))


def _ratio(pair: tuple[Count, Count] | None, groups: int) -> Interval | None:
    return None if pair is None or not pair[0][0] else ratio_interval(pair[1], pair[0], level=_widened(groups))


def _widened(groups: int) -> float:
    """Return the level at which an interval of two groups picked among several holds with 95 %."""
    return 1 - (1 - LEVEL) / max(groups * (groups - 1) // 2, 1)
