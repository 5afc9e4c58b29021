"""A figure: a metric of fixed rows, as a function of how often each of them counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from keelway.evaluate.uncertainty.bootstrap import Draws

    Numbers = NDArray[np.float64]


CELLS_AT_ONCE = 2_000_000  # weights held at a time: 16 MB
LINEAR_FROM = 20_000
"""From so many rows on, a ranked figure is as good as the sum of what each row adds to it (the infinitesimal jackknife)."""


class Figure(Protocol):
    """A metric of rows that can be asked for many weightings of them at once.

    `fast` says that it costs one matrix product, whatever the number of draws.
    """

    @property
    def fast(self) -> bool: ...

    def of(self, weights: Numbers) -> Numbers:
        """Return the figure of each draw: (draws, rows) to (draws,). NaN where it has no value."""
        ...

    def influences(self) -> Numbers:
        """Return what each row adds to the figure, up to a common factor; all 0 where that is not known."""
        ...

    def by(self, draws: Draws) -> Figure:
        """Return the same figure as a function of the weights of the units that are drawn."""
        ...


@dataclass(frozen=True, slots=True)
class Sums:
    """A figure that is a function of sums over rows, such as a mean, a rate or a root of a mean.

    Attributes:
        columns: What is summed, (rows, sums).
        figure: Turns sums, (..., sums), into the figure, (...).
    """

    columns: Numbers
    figure: Callable[[Numbers], Numbers]
    fast: bool = field(default=True, init=False)

    def of(self, weights: Numbers) -> Numbers:
        return self._figure(weights @ self.columns)

    def influences(self) -> Numbers:
        total = self.columns.sum(axis=0)
        return self._figure(total) - self._figure(total - self.columns)

    def by(self, draws: Draws) -> Figure:
        import numpy as np

        if draws.units is None:
            return self
        summed = [np.bincount(draws.units, weights=column, minlength=draws.count) for column in self.columns.T]
        return Sums(np.column_stack(summed), self.figure)

    def _figure(self, sums: Numbers) -> Numbers:
        import numpy as np

        with np.errstate(invalid="ignore", divide="ignore"):
            return self.figure(sums)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A figure of rows in a fixed order, computed from running sums of their weights.

    Attributes:
        order: The rows' places, first to last.
        figure: Turns weights in that order, (draws, rows), into the figure, (draws,).
        influence: What each row adds, in the rows' own order; None where that is not known.
        units: The unit of each row; None where each row is one.
    """

    order: NDArray[np.intp]
    figure: Callable[[Numbers], Numbers]
    influence: Numbers | None = None
    units: NDArray[np.intp] | None = None
    fast: bool = field(default=False, init=False)

    def of(self, weights: Numbers) -> Numbers:
        import numpy as np

        places = self.order if self.units is None else self.units[self.order]
        at_once = max(1, CELLS_AT_ONCE // max(len(places), 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            parts = [
                self.figure(weights[start : start + at_once][:, places]) for start in range(0, len(weights), at_once)
            ]
        return np.concatenate(parts)

    def influences(self) -> Numbers:
        import numpy as np

        if self.influence is None:
            return np.zeros(1)
        if self.units is None:
            return self.influence
        return np.bincount(self.units, weights=self.influence).astype(np.float64)

    def by(self, draws: Draws) -> Figure:
        import numpy as np

        if self.influence is None or len(self.order) < LINEAR_FROM:
            return Ranked(self.order, self.figure, self.influence, draws.units)
        value = float(self.of(np.ones((1, len(self.order))))[0])
        return mean_figure(value + len(self.order) * (self.influence - self.influence.mean())).by(draws)


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure minus another of the same rows."""

    first: Figure
    second: Figure

    @property
    def fast(self) -> bool:
        return self.first.fast and self.second.fast

    def of(self, weights: Numbers) -> Numbers:
        return self.first.of(weights) - self.second.of(weights)

    def influences(self) -> Numbers:
        return self.first.influences() - self.second.influences()

    def by(self, draws: Draws) -> Figure:
        return Difference(self.first.by(draws), self.second.by(draws))


def mean_figure(values: Numbers) -> Sums:
    """Return the mean of a value a row."""
    import numpy as np

    return Sums(np.column_stack([np.ones(len(values)), values]), lambda sums: sums[..., 1] / sums[..., 0])
