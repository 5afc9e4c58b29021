"""Rows that stand there twice, and groups that a fold cuts in two: a model is then tested on what it learnt by heart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from keelway.features.leakage.report import LeakageFinding
from keelway.features.names import AS_OF, LABEL
from keelway.features.records import FeatureColumn

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

TOLERATED = 0.01
"""Share of validation rows with a copy in training that is only noted: coarse columns agree by chance."""


class RowFold(Protocol):
    """Positions of rows to learn from and of rows to try on, with a name for people."""

    @property
    def train(self) -> NDArray[np.intp]:
        """Positions to learn from."""
        ...

    @property
    def validate(self) -> NDArray[np.intp]:
        """Positions to try on."""
        ...

    @property
    def name(self) -> str:
        """What it is called."""
        ...


def copied_rows(
    rows: pa.Table, features: Sequence[FeatureColumn], folds: Sequence[RowFold] = ()
) -> list[LeakageFinding]:
    """Return how many rows are exact copies in all features and the label, altogether and across folds.

    Across a fold that goes forward in time copies are only noted: an entity of which nothing new is known looks the same
    at two cut dates.
    """
    import numpy as np

    if not rows.num_rows:
        return []
    codes = _row_codes(rows, [feature.name for feature in features])
    copies = rows.num_rows - len(np.unique(codes))
    found = []
    if copies:
        text = f"{copies} of {rows.num_rows} rows are exact copies of others. Drop them, or say why they are there."
        found.append(LeakageFinding("copies", "note", "", copies, copies, text))
    for fold in folds:
        known = np.isin(codes[fold.validate], codes[fold.train])
        if not (count := int(known.sum())):
            continue
        share, forward = count / len(fold.validate), _is_forward(rows, fold)
        text = f"{count} of {len(fold.validate)} rows of {fold.name!r} are exact copies of rows it learns from"
        text += ", at earlier cut dates." if forward else ". Drop copies before rows are split."
        severity = "stop" if share > TOLERATED and not forward else "note"
        found.append(LeakageFinding("copies across folds", severity, "", count, count, text))  # type: ignore[arg-type]
    return found


def shared_groups(groups: Sequence[object], folds: Sequence[RowFold]) -> list[LeakageFinding]:
    """Return the folds that learn from a group they are tried on."""
    import numpy as np

    codes = np.unique(np.asarray([str(each) for each in groups], dtype=str), return_inverse=True)[1]
    found = []
    for fold in folds:
        shared = np.intersect1d(codes[fold.train], codes[fold.validate])
        if len(shared):
            held = int(np.isin(codes[fold.validate], shared).sum())
            text = f"{len(shared)} groups are both learnt from and tried on in {fold.name!r} ({held} rows). "
            text += "Split by group: RandomSplit(group=...)."
            found.append(LeakageFinding("groups", "stop", "", len(shared), len(shared), text))
    return found


def _row_codes(rows: pa.Table, names: Sequence[str]) -> NDArray[np.int64]:
    """Return a number for each row, equal where all of these columns and the label are; missing equals missing."""
    import numpy as np

    codes = np.zeros(rows.num_rows, dtype=np.int64)
    for name in (*names, LABEL):
        own = np.unique(
            np.asarray([_text(value) for value in rows[name].to_pylist()], dtype=object).astype(str),
            return_inverse=True,
        )[1]
        codes = np.unique(codes * (int(own.max()) + 1) + own, return_inverse=True)[1].astype(np.int64)
    return codes


def _text(value: object) -> str:
    return repr(value + 0.0) if isinstance(value, float) else repr(value)  # -0.0 is 0.0


def _is_forward(rows: pa.Table, fold: RowFold) -> bool:
    if AS_OF not in rows.column_names or not len(fold.train) or not len(fold.validate):
        return False
    cuts = rows[AS_OF].to_numpy()
    return bool(cuts[fold.train].max() < cuts[fold.validate].min())
