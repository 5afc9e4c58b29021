"""Sample ratio mismatch: arms got other shares of the entities than were declared, so nothing else can be believed.

A mismatch means that assignment, logging or counting loses entities of one arm, and what is lost is rarely like what is
left (Fabijan et al., KDD 2019). So it is looked at before any other figure, and by a test that may be asked at every look.

Lindon and Malek, Anytime-valid inference for multinomial count data, NeurIPS 2022: the odds of the declared shares
against shares drawn from a Dirichlet distribution around them are a martingale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.deploy.analysis.mixtures import best_rho
from keelway.deploy.analysis.sequences import always_valid_p
from keelway.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

MISMATCH = 0.001
"""A mismatch is told below this p-value: a false one stops an experiment, a true one is usually far below."""
PLANNED = 10_000
"""The number of entities about which the sequential test is best."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A time in which the declared shares stayed the same.

    Attributes:
        shares: What each arm was to get; any positive numbers.
        counts: How many entities each arm got that came for the first time in this phase.
    """

    shares: Mapping[str, float]
    counts: Mapping[str, int]

    def __post_init__(self) -> None:
        fits = self.shares.keys() == self.counts.keys() and len(self.shares) > 1
        if not fits or not all(share > 0 for share in self.shares.values()) or min(self.counts.values()) < 0:
            raise UsageError(
                "Counts and shares of the arms do not fit",
                expected="the same arms, two or more, shares above 0 and counts of 0 or more",
                found=f"{dict(self.shares)}, {dict(self.counts)}",
            )


def log_mismatch(counts: ArrayLike, shares: Sequence[float], *, planned: float = PLANNED) -> NDArray[np.float64]:
    """Return the log e-value against "the arms get their declared shares".

    Args:
        counts: Entities of each arm, (..., arms); looks and simulations may come before the last axis.
        shares: What each arm was to get; any positive numbers.
        planned: The number of entities about which it is best; a choice made before.
    """
    import numpy as np
    from scipy.special import gammaln, xlogy

    seen = np.asarray(counts, dtype=np.float64)
    expected = np.asarray(shares, dtype=np.float64) / sum(shares)
    held = max(planned * best_rho(1.0, alpha=MISMATCH) - 1, 1.0) * expected
    drawn = (gammaln(held + seen) - gammaln(held)).sum(axis=-1)
    drawn -= gammaln((held + seen).sum(axis=-1)) - gammaln(held.sum())
    return np.asarray(drawn - xlogy(seen, expected).sum(axis=-1))


def mismatch_p(phases: Sequence[Phase], *, planned: float = PLANNED) -> float:
    """Return the always-valid p-value that the arms got their declared shares, over all phases.

    >>> mismatch_p([Phase({"a": 1, "b": 1}, {"a": 821_588, "b": 815_482})]) < 0.001
    True
    """
    total = 0.0
    for phase in phases:
        arms = sorted(phase.shares)
        counts, shares = [phase.counts[arm] for arm in arms], [phase.shares[arm] for arm in arms]
        total += float(log_mismatch(counts, shares, planned=planned))
    return always_valid_p(total) if math.isfinite(total) else math.nan
