"""Which levels of a category are known: those seen often enough in training, and not too many of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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

    codes, levels = codes_of_texts(values if isinstance(values, pd.Series) else np.asarray(values, dtype=object))
    counts = np.bincount(codes, minlength=len(levels)).tolist()
    seen = [(level, count) for level, count in zip(levels, counts, strict=True) if count]
    ranked = sorted(seen, key=lambda item: (-item[1], item[0]))
    frequent = [level for level, count in ranked[:at_most] if count >= rare_level]
    return sorted(frequent or [ranked[0][0]])


def codes_of_texts(values: NDArray[np.object_] | pd.Series[str]) -> tuple[NDArray[Any], pd.Index[str]]:
    """Return the place of each text among distinct ones, and these, of which some may stand in no row.

    Args:
        values: Texts, of which none is missing; a categorical has its codes already.
    """
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.codes.to_numpy(), values.cat.categories
    codes, levels = pd.factorize(values)
    return codes, pd.Index(levels)
