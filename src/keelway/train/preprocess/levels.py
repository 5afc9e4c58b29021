"""Which levels of a category are known: those seen often enough in training, and not too many of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

MAX_COLUMNS = 200  # levels that get a column each; rarer ones count as unknown
MAX_LEVELS = 10_000  # levels that share a column


def known_levels(
    values: Sequence[str] | NDArray[np.object_] | pd.Series[str], *, rare_level: int, at_most: int = MAX_COLUMNS
) -> list[str]:
    """Return the levels that a model tells apart, sorted; at least the most frequent one.

    >>> known_levels(["a", "a", "b", "c", "c"], rare_level=2)
    ['a', 'c']
    """
    import numpy as np
    import pandas as pd

    codes, levels = pd.factorize(values if isinstance(values, pd.Series) else np.asarray(values, dtype=object))
    ranked = sorted(zip(levels, np.bincount(codes).tolist(), strict=True), key=lambda item: (-item[1], item[0]))
    frequent = [level for level, count in ranked[:at_most] if count >= rare_level]
    return sorted(frequent or [ranked[0][0]])
