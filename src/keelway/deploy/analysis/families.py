"""Several figures at once, looked at all the time: which of them show a difference.

Always-valid p-values go through `keelway.evaluate.adjusted` (Holm, Benjamini-Hochberg ...) like any others. E-values have a
procedure of their own that bounds the share of false findings however the figures depend on each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from keelway.errors import UsageError


def e_bh(log_evidence: Sequence[float], *, level: float) -> list[bool]:
    """Return which figures show a difference, so that on average at most `level` of those that do are false.

    Wang and Ramdas, False discovery rate control with e-values, JRSS B 84 (2022): of m e-values the k largest are taken,
    for the largest k with the k-th at least m / (k level).

    >>> e_bh([4.0, 5.0, 0.0], level=0.1)
    [True, True, False]

    Raises:
        UsageError: An e-value is NaN, or the level is not between 0 and 1.
    """
    if any(math.isnan(each) for each in log_evidence) or not 0 < level < 1:
        raise UsageError(
            "Findings cannot be told", expected="e-values, level in (0, 1)", found=f"{log_evidence}, {level}"
        )
    count = len(log_evidence)
    ranked = sorted(log_evidence, reverse=True)
    enough = [rank for rank, each in enumerate(ranked, start=1) if each >= math.log(count / (rank * level))]
    least = ranked[max(enough) - 1] if enough else math.inf
    return [each >= least for each in log_evidence]
