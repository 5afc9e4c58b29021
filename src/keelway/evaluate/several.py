"""Several comparisons at once: p-values corrected for their number, and models compared with one baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from keelway.errors import TrainingError
from keelway.evaluate.metrics import greater_is_better
from keelway.evaluate.paired import compare_by
from keelway.evaluate.records import Comparison, Correction
from keelway.evaluate.verdict import verdict_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


def compare_all(
    metric: str,
    truth: ArrayLike,
    predictions: Mapping[str, ArrayLike],
    *,
    baseline: str,
    correction: Correction = "holm",
    smallest_difference: float = 0.0,
    **choices: Any,
) -> dict[str, Comparison]:
    """Return each other model's comparison with the baseline, by name, corrected for how many there are.

    Args:
        metric: What is compared.
        truth: What came true, a value a row.
        predictions: Each model's, by name, the baseline's among them.
        baseline: The name of the model that all others are compared with.
        correction: `holm` where no false difference may slip in, `benjamini-hochberg` where a share of them may.
        smallest_difference: The difference that matters.
        **choices: As for `compare_by`.

    Raises:
        TrainingError: The baseline is not among the models, or a comparison cannot be made.
    """
    if baseline not in predictions:
        raise TrainingError("The baseline is not among the models", expected=", ".join(predictions), found=baseline)
    found = {
        name: compare_by(metric, truth, given, predictions[baseline], against=baseline, **choices)
        for name, given in predictions.items()
        if name != baseline
    }
    made = corrected(list(found.values()), correction=correction, smallest_difference=smallest_difference)
    return dict(zip(found, made, strict=True))


def corrected(
    comparisons: Sequence[Comparison], *, correction: Correction = "holm", smallest_difference: float | None = None
) -> tuple[Comparison, ...]:
    """Return comparisons with p-values corrected for their number, and the verdicts that follow."""
    made = []
    for each, p_value in zip(comparisons, adjusted([one.p_value for one in comparisons], correction), strict=True):
        least = each.smallest_difference if smallest_difference is None else smallest_difference
        verdict = verdict_of(
            each.difference, p_value, greater_is_better=greater_is_better(each.metric), smallest_difference=least
        )
        how: Correction = correction if len(comparisons) > 1 else "none"
        made.append(replace(each, p_value=p_value, verdict=verdict, smallest_difference=least, correction=how))
    return tuple(made)


def adjusted(p_values: Sequence[float], correction: Correction = "holm") -> list[float]:
    """Return p-values corrected for their number, in the order given; compare them with the level as it is.

    Bonferroni, Holm (1979), Hochberg (1988) and Hommel (1988) bound the chance of any false rejection,
    Benjamini-Hochberg (1995) and Benjamini-Yekutieli (2001) the share of false ones among the rejections.

    >>> adjusted([0.01, 0.02, 0.03], "bonferroni")
    [0.03, 0.06, 0.09]

    Raises:
        TrainingError: A p-value is not between 0 and 1, or the correction is unknown.
    """
    import numpy as np

    given = np.asarray(list(p_values), dtype=np.float64)
    if not ((given >= 0) & (given <= 1)).all():
        raise TrainingError("A p-value is out of range", expected="0 to 1", found=str(list(p_values)))
    if correction not in get_args(Correction):
        raise TrainingError("Unknown correction", expected=", ".join(get_args(Correction)), found=correction)
    if correction == "none" or len(given) < 2:
        return [float(each) for each in given]
    order = np.argsort(given, kind="stable")
    made = np.empty(len(given))
    made[order] = np.minimum(_sorted_adjusted(given[order], correction), 1.0)
    return [float(each) for each in made]


def _sorted_adjusted(ranked: NDArray[np.float64], correction: Correction) -> NDArray[np.float64]:
    """Return corrected p-values of ascending ones."""
    import numpy as np

    count = len(ranked)
    place = np.arange(1, count + 1)
    if correction == "bonferroni":
        return ranked * count
    if correction == "holm":
        return np.maximum.accumulate(ranked * (count - place + 1))
    if correction == "hommel":
        return _hommel(ranked)
    scale = {
        "hochberg": count - place + 1,
        "benjamini-hochberg": count / place,
        "benjamini-yekutieli": count / place * (1 / place).sum(),
    }[correction]
    falling = np.minimum.accumulate(np.asarray(ranked * scale, dtype=np.float64)[::-1])
    return np.asarray(falling[::-1])


def _hommel(ranked: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Hommel's p-values of ascending ones, by the algorithm of Wright (Biometrics 48, 1992)."""
    import numpy as np

    count = len(ranked)
    smallest = (count * ranked / np.arange(1, count + 1)).min()
    made = np.full(count, smallest)
    for size in range(count - 1, 1, -1):
        last = np.arange(count - size + 1, count)
        bound = (size * ranked[last] / np.arange(2, size + 1)).min()
        current = np.full(count, bound)
        current[: count - size + 1] = np.minimum(size * ranked[: count - size + 1], bound)
        current[last] = current[count - size]
        made = np.maximum(made, current)
    return np.asarray(np.maximum(made, ranked))
