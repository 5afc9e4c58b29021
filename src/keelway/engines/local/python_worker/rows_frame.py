"""Rows of requests as the frame that a pipeline reads: what `train.frame_of` makes of them, in two blocks instead of column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keelway.features import FeatureColumn
from keelway.train import frame_of, ordered

if TYPE_CHECKING:
    import pandas as pd


class RowsFrame:
    """Makes frames of one list of features."""

    def __init__(self, features: Sequence[FeatureColumn]) -> None:
        self._features = tuple(features)
        self._names = [each.name for each in features]
        places = [self._names.index(each.name) for each in ordered(features)]
        self._numbers = [at for at in places if features[at].kind == "numeric"]
        self._texts = [at for at in places if features[at].kind != "numeric"]
        self._in_blocks = all(each.kind != "array" for each in features)

    def __call__(self, rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
        """Return the frame of rows, at least one, each with a value for every feature in its order.

        Raises:
            TrainingError: A row holds infinity or a number beyond 32 bits, or an array of another length.
        """
        import numpy as np
        import pandas as pd

        columns = list(zip(*rows, strict=True))
        with np.errstate(over="ignore"):
            wide = np.array([columns[at] for at in self._numbers], dtype=np.float64).reshape(-1, len(rows))
            numbers = wide.astype(np.float32)
        if not self._in_blocks or np.isinf(numbers).any():
            return frame_of(dict(zip(self._names, columns, strict=True)), self._features)
        texts = np.empty((len(self._texts), len(rows)), dtype=object)
        for place, at in enumerate(self._texts):
            texts[place] = ["" if item is None else item for item in columns[at]]
        blocks = [
            pd.DataFrame(block.T, columns=[self._names[at] for at in places], dtype=block.dtype, copy=False)
            for block, places in ((numbers, self._numbers), (texts, self._texts))
            if places
        ]
        return pd.concat(blocks, axis=1) if len(blocks) > 1 else blocks[0]
