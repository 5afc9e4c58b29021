"""The bootstrap: figures of rows drawn again, many draws at a time in bounded memory, with BCa intervals.

A draw is a list of weights: how often each row, or each entity where rows belong together, was drawn. A metric that is
a function of sums is then one matrix product for all draws, and its jackknife needs no second look at the rows.

Beyond `MAX_UNITS` rows, rows are gathered at random into so many blocks, which are drawn whole: the sum of exchangeable
rows is itself one of exchangeable units, so that variance and skewness stay unbiased and ten million rows cost no more
than ten thousand.

Efron, Better Bootstrap Confidence Intervals, JASA 82 (1987).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from keelway.evaluate.figures.figure import CELLS_AT_ONCE
from keelway.evaluate.uncertainty.interval import LEVEL, Interval, quantile_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from keelway.evaluate.figures import Figure

RESAMPLES = 1000
FEWEST_RESAMPLES = 100
MAX_UNITS = 10_000
SLOW_CELLS = 10_000_000  # weights that a figure without sums may look at in all


@dataclass(frozen=True, slots=True)
class Draws:
    """How rows are drawn again.

    Attributes:
        rows: How many rows there are.
        units: The unit that each row belongs to; units are drawn whole. None where each row is one.
        count: How many units there are.
        resamples: How many draws.
        seed: Decides them.
    """

    rows: int
    units: NDArray[np.intp] | None
    count: int
    resamples: int
    seed: int

    def weights(self, resamples: int) -> Iterator[NDArray[np.float64]]:
        """Yield how often each unit was drawn, (draws, units), a bounded number of draws at a time."""
        import numpy as np

        generator = np.random.default_rng(self.seed)
        at_once = max(1, CELLS_AT_ONCE // self.count)
        for start in range(0, resamples, at_once):
            size = min(at_once, resamples - start)
            drawn = generator.integers(0, self.count, (size, self.count))
            drawn += (np.arange(size) * self.count)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=size * self.count)
            yield counts.reshape(size, self.count).astype(np.float64)


def draws_of(
    rows: int, *, seed: int, resamples: int = RESAMPLES, groups: ArrayLike | None = None, max_units: int = MAX_UNITS
) -> Draws:
    """Return how `rows` rows are drawn: singly, by the groups they belong to, or in random blocks where there are many.

    Args:
        rows: How many rows there are.
        seed: Decides blocks and draws.
        resamples: How many draws.
        groups: A value for each row; rows with the same one (an entity, say) stay together.
        max_units: The most units that are drawn.
    """
    import numpy as np

    units, count = None, rows
    if groups is not None:
        found, units = np.unique(np.asarray(groups), return_inverse=True)
        count = len(found)
    if count > max_units:
        blocks = np.random.default_rng(seed).permutation(count) % max_units
        units, count = blocks if units is None else blocks[units], max_units
    return Draws(rows, units, count, resamples, seed)


def intervals_of(figures: Mapping[str, Figure], draws: Draws, *, level: float = LEVEL) -> dict[str, Interval]:
    """Return each figure with its BCa interval, all from the same draws."""
    import numpy as np

    drawn = resampled(figures, draws)
    made = {}
    for name, figure in figures.items():
        value = float(figure.of(np.ones((1, draws.rows)))[0])
        influences = figure.by(draws).influences()
        tails = _corrected(_tails(level), drawn[name], value, skewness(influences))
        method = "bootstrap BCa" if influences.any() else "bootstrap BC"
        made[name] = _between(drawn[name], tails, value, level, f"{method}, {len(drawn[name])}")
    return made


def resampled(figures: Mapping[str, Figure], draws: Draws) -> dict[str, NDArray[np.float64]]:
    """Return what each figure is in each draw; a figure that is no function of sums may take fewer draws."""
    import numpy as np

    grouped = {name: figure.by(draws) for name, figure in figures.items()}
    few = max(FEWEST_RESAMPLES, min(draws.resamples, SLOW_CELLS // max(draws.rows, 1)))
    wanted = {name: draws.resamples if each.fast else min(few, draws.resamples) for name, each in grouped.items()}
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in figures}
    done = 0
    for weights in draws.weights(max(wanted.values(), default=0)):
        for name, figure in grouped.items():
            if (left := wanted[name] - done) > 0:
                found[name].append(figure.of(weights[:left]))
        done += len(weights)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def standard_errors(figures: Mapping[str, Figure], draws: Draws) -> dict[str, float]:
    """Return how far each figure spreads over the draws; draws in which it has no value are left out."""
    import numpy as np

    return {name: float(np.nanstd(drawn, ddof=1)) for name, drawn in resampled(figures, draws).items()}


def bootstrap_interval(
    rows: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], float],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    corrected: bool = True,
) -> Interval:
    """Return any statistic of rows with its bootstrap interval: BCa, or percentile where `corrected` is off.

    It calls `statistic` once a draw, and once a row for the correction, so it is for small tables and odd statistics.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    count = len(rows)
    drawn = np.array([statistic(rows[generator.integers(0, count, count)]) for _ in range(resamples)])
    value = float(statistic(rows))
    tails = _tails(level)
    if corrected:
        left_out = np.array([statistic(np.delete(rows, place, axis=0)) for place in range(count)])
        tails = _corrected(tails, drawn, value, skewness(-left_out))
    method = "bootstrap BCa" if corrected else "bootstrap percentile"
    return _between(drawn, tails, value, level, f"{method}, {resamples}")


def mean_interval(
    values: NDArray[np.float64],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    groups: ArrayLike | None = None,
) -> Interval:
    """Return a mean with its BCa interval; the jackknife of a mean is known, so large tables stay fast."""
    from keelway.evaluate.figures import mean_figure

    draws = draws_of(len(values), seed=seed, resamples=resamples, groups=groups)
    return intervals_of({"mean": mean_figure(values)}, draws, level=level)["mean"]


def normal_interval(value: float, error: float, *, method: str, level: float = LEVEL) -> Interval:
    """Return a figure with the interval of its standard error."""
    half = quantile_of(level) * error
    return Interval(value, value - half, value + half, level, method)


def skewness(influences: NDArray[np.float64]) -> float:
    """Return the acceleration of BCa from what each unit adds to a figure (Efron 1987, equation 6.6)."""
    import numpy as np

    away = np.nan_to_num(influences - np.nanmean(influences)) if np.isfinite(influences).any() else np.zeros(1)
    spread = float((away**2).sum())
    return float((away**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0


def _tails(level: float) -> list[float]:
    return [(1 - level) / 2, (1 + level) / 2]


def _corrected(tails: list[float], drawn: NDArray[Any], value: float, acceleration: float) -> list[float]:
    """Return the quantiles of BCa."""
    normal = NormalDist()
    below = float((drawn < value).mean() + (drawn == value).mean() / 2)
    if not 0 < below < 1:
        return tails
    bias = normal.inv_cdf(below)
    shifted = [bias + normal.inv_cdf(tail) for tail in tails]
    return [normal.cdf(bias + each / (1 - acceleration * each)) for each in shifted]


def _between(drawn: NDArray[Any], tails: list[float], value: float, level: float, method: str) -> Interval:
    """Return the interval between two quantiles of the draws, widened to hold the figure itself."""
    import numpy as np

    low, high = np.nanquantile(drawn, tails) if np.isfinite(drawn).any() else (value, value)
    if not (math.isfinite(low) and math.isfinite(high)):
        low = high = value
    return Interval(value, min(float(low), value), max(float(high), value), level, method)
