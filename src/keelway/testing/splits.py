"""Rows to split: people without a time, or at six cuts, with a model over them that only says how to split.

>>> rows = rows_of_people([0, 1, 0])
>>> rows.column_names, rows.num_rows
(['entity', 'as_of', 'label', 'label_known_at'], 3)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from keelway.core import digest_bytes
from keelway.features import FeatureTable
from keelway.project import Cuts, Dataset, Estimator, FeatureSet, Label, Model, Splitting

if TYPE_CHECKING:
    import pyarrow as pa

PRESENT = datetime(2025, 6, 1, tzinfo=UTC)
CUTS = tuple(datetime(2025, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4, 5, 6))


def rows_seen(table: Any, as_of: Any) -> Any:
    """Stand for a feature's and a label's function; it is never called."""
    return table


def split_model(split: Splitting, *, task: Any = "binary", timed: bool = False, **changes: Any) -> Model:
    """Return a model over a table without a time, or with one and a label known after 40 days."""
    people = Dataset("people", contract="c.yaml", source="*.csv", event_time="at" if timed else "")
    horizon = timedelta(days=40) if timed else None
    return Model(
        "rich",
        features=(FeatureSet("facts", entity="person", sources=(people,), function=rows_seen),),
        label=Label("rich", entity="person", source=people, horizon=horizon, function=rows_seen),
        estimators=(Estimator("logistic", "sklearn.linear_model.LogisticRegression"),),
        cuts=Cuts(CUTS[0]) if timed else None,
        task=task,
        split=split,
        **changes,
    )


def rows_of_people(labels: Sequence[Any], *, kind: Any = None, **columns: Any) -> pa.Table:
    """Return one row a person at the present, with these labels."""
    import pyarrow as pa

    count = len(labels)
    made = {
        "entity": [f"p{number:04}" for number in range(count)],
        "as_of": pa.array([PRESENT] * count, pa.timestamp("us", "UTC")),
        **columns,
        "label": pa.array(labels, kind or pa.int8()),
        "label_known_at": pa.array([PRESENT] * count, pa.timestamp("us", "UTC")),
    }
    return pa.table(made)


def rows_over_time(people: int, horizon: timedelta = timedelta(days=40)) -> pa.Table:
    """Return a row for each person at each of six cuts; every third one is positive."""
    import pyarrow as pa

    moments = [cut for cut in CUTS for _ in range(people)]
    return pa.table(
        {
            "entity": [f"p{number:04}" for _ in CUTS for number in range(people)],
            "as_of": pa.array(moments, pa.timestamp("us", "UTC")),
            "label": pa.array([number % 3 == 0 for _ in CUTS for number in range(people)]).cast(pa.int8()),
            "label_known_at": pa.array([moment + horizon for moment in moments], pa.timestamp("us", "UTC")),
        }
    )


def table_of(rows: pa.Table, *, horizon: timedelta = timedelta(0)) -> FeatureTable:
    """Return the record of a feature table with these rows."""
    digest = digest_bytes(b"table")
    return FeatureTable(
        model="rich", purpose="training", data=digest, profile=digest, entity="person",
        as_ofs=tuple(sorted(set(rows["as_of"].to_pylist()))), features=(), label="rich",
        horizon_s=int(horizon.total_seconds()), rows=rows.num_rows, snapshots={}, definition=digest,
    )  # fmt: skip
