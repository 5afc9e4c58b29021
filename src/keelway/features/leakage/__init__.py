"""Looks for columns that know what they must not, before a model is trained on them and looks too good.

    report = leakage(rows, table.features, task="binary", folds=folds)
    report.stops   # findings that nobody should train over

Numbers cannot tell a leak from a gift. What stops is what no honest data set was seen to do (docs/leakage.md has the
figures); all else is a note to look at. A column that was looked into is named in `accept`, and its findings become notes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from keelway.errors import FeatureError
from keelway.features.build import silent
from keelway.features.leakage.alone import SingleScore, alone, single_scores
from keelway.features.leakage.copies import RowFold, copied_rows, shared_groups
from keelway.features.leakage.decisive import decisive
from keelway.features.leakage.report import LeakageFinding, LeakageReport, Severity
from keelway.features.leakage.shapes import identifiers, late_times
from keelway.features.names import LABEL
from keelway.features.records import FeatureColumn
from keelway.project import Task

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LeakageFinding", "LeakageReport", "RowFold", "Severity", "SingleScore", "leakage"]


def leakage(
    rows: pa.Table,
    features: Sequence[FeatureColumn],
    *,
    task: Task,
    groups: Sequence[object] | None = None,
    folds: Iterable[RowFold] | None = None,
    accept: Collection[str] = (),
    seed: int = 0,
    progress: Callable[[str], None] = silent,
) -> LeakageReport:
    """Return what looks like a leak in rows with a label.

    Args:
        rows: `label`, the features, and `as_of` where rows have a cut date, one row an entity and cut date.
        features: The columns to look into; what is `array` is not judged by itself.
        task: What the label is.
        groups: Names a group for each row, such as a household; groups must not be cut in two by a fold.
        folds: Positions that train and positions that validate or test.
        accept: Columns that somebody looked into: their findings are notes.
        seed: Decides which rows are sampled where there are many, and how they are dealt out.
        progress: Called with one line whenever long work moves on.

    Raises:
        FeatureError: There is no label, or a feature is not among the columns.
    """
    for name in (LABEL, *(feature.name for feature in features)):
        if name not in rows.column_names:
            raise FeatureError(f"The rows have no column {name!r}", expected=name, found=", ".join(rows.column_names))
    parts = tuple(folds or ())
    progress(f"each of {len(features)} features alone, over {rows.num_rows} rows")
    scores = single_scores(rows, features, task=task, seed=seed)
    progress("models with and without the two best features")
    lost = decisive(rows, features, scores, task=task, seed=seed)
    progress(f"copies and groups, over {len(parts)} folds")
    found = [
        *alone(scores),
        *lost,
        *identifiers(rows, features),
        *late_times(rows, features),
        *copied_rows(rows, features, parts),
        *(shared_groups(groups, parts) if groups is not None else ()),
    ]
    told = (_noted(finding) if finding.column in set(accept) else finding for finding in found)
    ordered = sorted(told, key=lambda finding: (finding.severity != "stop", finding.check, finding.column))
    return LeakageReport(rows=rows.num_rows, findings=tuple(ordered), scores=tuple(scores))


def _noted(finding: LeakageFinding) -> LeakageFinding:
    return replace(finding, severity="note", text=f"{finding.text} Accepted.")
