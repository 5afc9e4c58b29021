"""Thompson's bandit: traffic goes to an arm as often as it is believed to be the best one.

It earns more while it runs than an equal split does, and tells less: arms that look bad get few rows, their estimates
stay too low, and the intervals of `sequences` still hold only because their clock counts what each arm was told. Take it
where earning matters more than knowing by how much; it is never chosen for anybody.

Thompson, Biometrika 25 (1933); Russo et al., A tutorial on Thompson sampling (2018). Draws come from the seed alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from keelway.deploy.analysis.moments import Moments
from keelway.deploy.analysis.rates import RateCounts
from keelway.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

Arms = Mapping[str, RateCounts] | Mapping[str, Moments]
DRAWS = 20_000
FEWEST_VALUES = 3


def thompson_arm(arms: Arms, *, seed: int, greater_is_better: bool = True) -> str:
    """Return the arm for the next entity: the best one of one draw from what is believed of each."""
    names, drawn = _believed(arms, seed, 1)
    return names[int((drawn if greater_is_better else -drawn)[:, 0].argmax())]


def thompson_shares(
    arms: Arms, *, seed: int, greater_is_better: bool = True, floor: float = 0.0, draws: int = DRAWS
) -> dict[str, float]:
    """Return each arm's share of the traffic: how often it is the best one of many draws.

    Args:
        arms: Tallies of a rate, or moments of values, by arm. A rate's belief starts uniform; an arm with fewer than three
            values gets its part of the traffic whatever the others did.
        seed: Decides the draws.
        greater_is_better: Whether the best arm is the one with the largest figure.
        floor: The least share of any arm, so that nothing is given up for good.
        draws: How many.

    Raises:
        UsageError: There are fewer than two arms, a value is not finite, or the floor leaves nothing to share.
    """
    import numpy as np

    names, drawn = _believed(arms, seed, draws)
    if not 0 <= floor * len(names) <= 1:
        raise UsageError("The floor leaves nothing to share", expected=f"0 to {1 / len(names):g}", found=str(floor))
    best = (drawn if greater_is_better else -drawn).argmax(axis=0)
    shares = np.bincount(best, minlength=len(names)) / draws
    return {name: floor + (1 - floor * len(names)) * float(share) for name, share in zip(names, shares, strict=True)}


def _believed(arms: Arms, seed: int, draws: int) -> tuple[list[str], Numbers]:
    """Return the arms' names, and draws from what is believed of each, (arms, draws)."""
    import numpy as np

    names = sorted(arms)
    if len(names) < 2:
        raise UsageError("A bandit needs arms", expected="two or more", found=str(names))
    generator = np.random.default_rng(seed)
    young = [name for name in names if isinstance(arms[name], Moments) and _is_young(arms[name])]
    if young:  # nothing is believed of them yet: they take turns
        turns = generator.integers(0, len(young), draws)
        chosen = np.array([names.index(name) for name in young])[turns]
        return names, (np.arange(len(names))[:, None] == chosen[None, :]).astype(np.float64)
    return names, np.stack([_draws(arms[name], generator, draws) for name in names])


def _draws(arm: RateCounts | Moments, generator: np.random.Generator, draws: int) -> Numbers:
    """Return draws of a rate (uniform prior: a beta) or of a mean (reference prior: Student's t)."""
    if isinstance(arm, RateCounts):
        return generator.beta(1 + arm.count, 1 + arm.rows - arm.count, draws)
    if not arm.finite:
        raise UsageError("A bandit needs values", expected="finite ones", found=f"mean {arm.mean}")
    spread = (arm.variance / arm.count) ** 0.5
    drawn: Numbers = arm.mean + spread * generator.standard_t(arm.count - 1, draws)
    return drawn


def _is_young(arm: RateCounts | Moments) -> bool:
    return isinstance(arm, Moments) and arm.count < FEWEST_VALUES
