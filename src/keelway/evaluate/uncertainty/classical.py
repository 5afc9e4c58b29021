"""Classical tests of rates and means, two-sided, with the interval of the difference where there is one.

>>> found = proportions_test([(104, 11037), (189, 11034)])  # aspirin against placebo, heart attacks
>>> round(found.statistic, 4), round(found.difference.low, 4)
(-5.0014, -0.0107)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from keelway.errors import TrainingError
from keelway.evaluate.uncertainty.interval import LEVEL, Interval
from keelway.evaluate.uncertainty.intervals import exact_interval, wald_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

FEW_EXPECTED = 5
"""Below so many expected in a cell of two by two, chi-squared is too rough (Cochran 1954): Fisher's test is exact."""
EXACT_RANKS = 50
Alternative = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True, slots=True)
class Tested:
    """A test of no difference.

    Attributes:
        statistic: Of the test that `method` names.
        p_value: Two-sided.
        method: Which test it is.
        difference: The first minus the second; None where more than two are compared.
        freedom: Degrees of freedom, where the test has any.
    """

    statistic: float
    p_value: float
    method: str
    difference: Interval | None = None
    freedom: float = math.nan


def proportions_test(counts: Sequence[tuple[int, int]]) -> Tested:
    """Return the test that rates, each (successes, trials), are all equal; uncorrected for continuity.

    Two rates: the pooled z-test, or Fisher's exact where a cell expects fewer than five. Several: Pearson's chi-squared.

    Raises:
        TrainingError: There are fewer than two rates, or one without trials.
    """
    table = [[successes, trials - successes] for successes, trials in counts]
    if len(table) < 2 or any(min(row) < 0 or not sum(row) for row in table):
        raise TrainingError(
            "Rates cannot be compared", expected="two or more, each with trials", found=str(list(counts))
        )
    if len(table) > 2:
        return independence_test(table)
    difference = wald_interval(counts[0], counts[1])
    if _fewest_expected(table) < FEW_EXPECTED:
        odds, p_value = fisher_test(table)
        return Tested(odds, p_value, "Fisher exact", difference)
    (a, m), (b, n) = counts
    pooled = (a + b) / (m + n)
    z = difference.value / math.sqrt(pooled * (1 - pooled) * (1 / m + 1 / n))
    return Tested(z, math.erfc(abs(z) / math.sqrt(2)), "pooled z", difference)


def fisher_test(table: Sequence[Sequence[int]], *, alternative: Alternative = "two-sided") -> tuple[float, float]:
    """Return the conditional estimate of the odds ratio of a two by two table, and Fisher's exact p-value.

    Args:
        table: Counts, two rows of two.
        alternative: `two-sided`, `greater` or `less`.
    """
    from scipy.stats import fisher_exact
    from scipy.stats.contingency import odds_ratio

    ratio = float(odds_ratio(table, kind="conditional").statistic)
    return ratio, float(fisher_exact(table, alternative=alternative).pvalue)


def independence_test(table: Sequence[Sequence[int]]) -> Tested:
    """Return Pearson's chi-squared test that the rows of a table of counts have equal shares; empty columns are left out.

    Raises:
        TrainingError: A count is negative, or a row is empty.
    """
    import numpy as np

    counts = np.asarray(table, dtype=np.float64)
    if counts.min() < 0 or not counts.sum(axis=1).all():
        raise TrainingError("Counts cannot be compared", expected="counts of 0 or more, no empty row", found=str(table))
    counts = counts[:, counts.sum(axis=0) > 0]
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return _chi_squared(statistic, (counts.shape[0] - 1) * (counts.shape[1] - 1))


def shares_test(counts: Sequence[int], shares: Sequence[float]) -> Tested:
    """Return Pearson's chi-squared test that counts follow declared shares, which need not sum to 1.

    A split of visitors that was declared half and half, and is not, shows here (a sample ratio mismatch).

    Raises:
        TrainingError: Counts and shares do not fit, or a share is not above 0.
    """
    if len(counts) != len(shares) or len(counts) < 2 or min(shares) <= 0 or min(counts) < 0 or not sum(counts):
        raise TrainingError(
            "Counts and shares do not fit", expected="as many shares above 0 as counts", found=f"{counts}, {shares}"
        )
    total, whole = sum(counts), sum(shares)
    expected = [total * share / whole for share in shares]
    statistic = sum((count - each) ** 2 / each for count, each in zip(counts, expected, strict=True))
    return _chi_squared(statistic, len(counts) - 1)


def binomial_test(successes: int, trials: int, rate: float) -> tuple[float, Interval]:
    """Return the exact two-sided p-value that a rate is `rate`, and the exact interval of the rate."""
    from scipy.stats import binomtest

    interval = exact_interval(successes, trials)
    return float(binomtest(successes, trials, rate).pvalue), interval


def welch_test(first: ArrayLike, second: ArrayLike) -> Tested:
    """Return Welch's t-test (1947) of two means of different rows, whose variances may differ.

    Raises:
        TrainingError: A side has fewer than two values, or a value is not finite.
    """
    one, two = _numbers(first), _numbers(second)
    variances = [float(each.var(ddof=1)) / len(each) for each in (one, two)]
    error = math.sqrt(sum(variances))
    difference = float(one.mean() - two.mean())
    if not error > 0:
        return _certain(difference, "Welch t")
    freedom = sum(variances) ** 2 / sum(
        each**2 / (len(side) - 1) for each, side in zip(variances, (one, two), strict=True)
    )
    return _t_test(difference, error, freedom, "Welch t")


def paired_test(first: ArrayLike, second: ArrayLike) -> Tested:
    """Return the paired t-test of two values on the same rows.

    Raises:
        TrainingError: There are fewer than two rows, the sides differ in length, or a value is not finite.
    """
    one, two = _numbers(first), _numbers(second)
    if len(one) != len(two):
        raise TrainingError("Pairs do not fit", expected=f"{len(one)} values", found=str(len(two)))
    gaps = one - two
    error = float(gaps.std(ddof=1)) / math.sqrt(len(gaps))
    difference = float(gaps.mean())
    return _t_test(difference, error, len(gaps) - 1, "paired t") if error > 0 else _certain(difference, "paired t")


def signed_rank_test(
    first: ArrayLike, second: ArrayLike, *, alternative: Alternative = "two-sided"
) -> tuple[float, float]:
    """Return Wilcoxon's V (the rank sum of the rows where the first is larger) and its p-value.

    It is exact for up to fifty rows without ties.
    """
    from scipy.stats import wilcoxon

    gaps = _numbers(first) - _numbers(second)
    larger = wilcoxon(gaps, alternative="greater", method="auto")
    return float(larger.statistic), float(wilcoxon(gaps, alternative=alternative, method="auto").pvalue)


def rank_sum_test(
    first: ArrayLike, second: ArrayLike, *, alternative: Alternative = "two-sided"
) -> tuple[float, float]:
    """Return the Mann-Whitney statistic (how often the first is larger, ties half) and its p-value.

    It is exact for up to fifty rows in all without ties.
    """
    import numpy as np
    from scipy.stats import mannwhitneyu

    one, two = _numbers(first), _numbers(second)
    together = np.concatenate([one, two])
    exact = len(together) <= EXACT_RANKS and len(np.unique(together)) == len(together)
    found = mannwhitneyu(one, two, alternative=alternative, method="exact" if exact else "asymptotic")
    return float(found.statistic), float(found.pvalue)


def _numbers(values: ArrayLike) -> Numbers:
    import numpy as np

    found = np.asarray(values, dtype=np.float64)
    if len(found) < 2 or not np.isfinite(found).all():
        raise TrainingError(
            "Means cannot be compared", expected="two or more finite numbers", found=f"{len(found)} values"
        )
    return found


def _t_test(difference: float, error: float, freedom: float, method: str) -> Tested:
    from scipy.stats import t

    half = float(t.ppf(0.5 + LEVEL / 2, freedom)) * error
    interval = Interval(difference, difference - half, difference + half, LEVEL, method)
    statistic = difference / error
    return Tested(statistic, 2 * float(t.sf(abs(statistic), freedom)), method, interval, freedom)


def _certain(difference: float, method: str) -> Tested:
    """Return the answer where nothing varies: equal, or different beyond doubt."""
    statistic = math.copysign(math.inf, difference) if difference else 0.0
    return Tested(
        statistic, 0.0 if difference else 1.0, method, Interval(difference, difference, difference, LEVEL, method)
    )


def _chi_squared(statistic: float, freedom: int) -> Tested:
    from scipy.stats import chi2

    p_value = float(chi2.sf(statistic, freedom)) if freedom else 1.0
    return Tested(statistic, p_value, "chi-squared", None, float(freedom))


def _fewest_expected(table: Sequence[Sequence[int]]) -> float:
    whole = sum(map(sum, table))
    return min(sum(row) * sum(each[place] for each in table) / whole for row in table for place in (0, 1))
