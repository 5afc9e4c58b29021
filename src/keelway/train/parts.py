"""The two parts of a feature table's rows, those that train and those that test, by the split that a model declares.

Every estimator of a model is tested on the same rows: which ones is a fact about the table and the declaration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keelway.errors import TrainingError
from keelway.features import FeatureTable
from keelway.project import Model, PredefinedSplit, RandomSplit, TimeSplit
from keelway.train.deal import dealt
from keelway.train.split import Split, forward_split

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Parts:
    """The rows of a feature table by what they are for; a row that is for neither is left out.

    Attributes:
        train: For each row whether a model learns from it.
        test: For each row whether a model is tested on it.
        split: The cuts of these rows.
        warnings: What a reader of the figures must know of the split.
    """

    train: NDArray[np.bool_]
    test: NDArray[np.bool_]
    split: Split
    warnings: tuple[str, ...] = ()


def parts_of(rows: pa.Table, model: Model, table: FeatureTable) -> Parts:
    """Return which rows of a feature table train and which test.

    Raises:
        TrainingError: The split leaves no row to train or to test on.
    """
    if isinstance(model.split, TimeSplit):
        return _by_time(rows, model, table)
    test = _drawn(rows, model, model.split) if isinstance(model.split, RandomSplit) else _named(rows, model.split)
    if test.all() or not test.any():
        raise TrainingError(
            f"The split of {model.name!r} leaves no row to {'train' if test.all() else 'test'} on",
            expected="rows of both parts",
            found=f"{int(test.sum())} of {len(test)} rows test",
            fix="Correct Model(split=...), or the column that it names.",
        )
    cuts = _cuts_of(rows, test)
    return Parts(~test, test, cuts, _warnings(rows, model, test, cuts))


def parts_ask_entities(model: Model, table: FeatureTable) -> bool:
    """Say whether the split of a model looks at who a row is about."""
    if isinstance(model.split, PredefinedSplit):  # an entity has one row at a cut, and so stands in one part
        return model.split.column == "entity" or len(table.as_ofs) > 1
    return isinstance(model.split, RandomSplit)


def training_rows(rows: pa.Table, model: Model, table: FeatureTable) -> pa.Table:
    """Return the rows that a model learns from; where a split in time is clean, only labels known by the test cut."""
    return rows.filter(parts_of(rows, model, table).train)


def held_out_rows(rows: pa.Table, model: Model, table: FeatureTable) -> pa.Table:
    """Return the rows that a model is tested on, in the order of the table."""
    return rows.filter(parts_of(rows, model, table).test)


def class_codes(rows: pa.Table, model: Model) -> NDArray[np.intp]:
    """Return the class of each row as a number from 0; numbers are all of one class."""
    import numpy as np

    if model.task == "regression":
        return np.zeros(rows.num_rows, dtype=np.intp)
    return codes_of(rows, "label")


def codes_of(rows: pa.Table, column: str) -> NDArray[np.intp]:
    """Return the values of a column as numbers from 0; equal values have one number."""
    import numpy as np

    encoded = rows[column].combine_chunks().dictionary_encode(null_encoding="encode")
    _, codes = np.unique(encoded.indices.to_numpy(), return_inverse=True)
    return codes.astype(np.intp)


def group_column(rows: pa.Table, model: Model) -> str:
    """Return the column whose equal values stay together: the group that is declared, or the entity.

    Raises:
        TrainingError: An entity stands in two groups, so that one of both would be cut in two.
    """
    split = model.split
    if not (isinstance(split, RandomSplit) and split.group):
        return "entity"
    pairs = rows.select(["entity", split.group]).group_by(["entity", split.group]).aggregate([])
    entities = rows.group_by("entity").aggregate([]).num_rows
    if pairs.num_rows > entities:
        raise TrainingError(
            f"The groups of {model.name!r} cut entities in two",
            expected=f"one {split.group!r} for each {model.entity}, at every cut",
            found=f"{pairs.num_rows - entities} more pairs than entities",
            fix="Group by a column that does not change, or leave RandomSplit(group=...) out.",
        )
    return split.group


def _by_time(rows: pa.Table, model: Model, table: FeatureTable) -> Parts:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    split = forward_split(table.as_ofs, timedelta(seconds=table.horizon_s), model.overlap)
    kind = rows.schema.field("as_of").type
    train = pc.is_in(rows["as_of"], pa.array(split.train, type=kind))
    if split.overlap_days == 0 and "label_known_at" in rows.column_names:
        moment = pa.scalar(split.test, type=rows.schema.field("label_known_at").type)
        train = pc.and_(train, pc.less_equal(rows["label_known_at"], moment))
    test = pc.equal(rows["as_of"], pa.scalar(split.test, type=kind))
    return Parts(np.asarray(train.to_numpy(), dtype=bool), np.asarray(test.to_numpy(), dtype=bool), split)


def _drawn(rows: pa.Table, model: Model, split: RandomSplit) -> NDArray[np.bool_]:
    groups = codes_of(rows, group_column(rows, model))
    shares = (1 - split.test_share, split.test_share)
    test: NDArray[np.bool_] = dealt(class_codes(rows, model), groups, shares=shares, seed=split.seed) == 1
    return test


def _named(rows: pa.Table, split: PredefinedSplit) -> NDArray[np.bool_]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    found = rows[split.column] if split.column in rows.column_names else None
    if found is None or not pa.types.is_string(found.type):
        raise TrainingError(
            "The column that splits the rows is no text",
            expected=f"{split.column!r} as a text in the feature table",
            found="no such column" if found is None else str(found.type),
            fix="Return it from a feature function, with .cast('string') where it is a number.",
        )
    missing = pc.sum(pc.equal(pc.fill_null(found, ""), "")).as_py()
    if missing:
        raise TrainingError(
            f"Rows belong to no part: {split.column!r} is empty",
            expected=f"{split.test!r} or another name in each row",
            found=f"{missing} of {rows.num_rows} rows without one",
            fix="Mend the column, or filter such rows out in the label's function.",
        )
    test = np.asarray(pc.equal(found, split.test).to_numpy(), dtype=bool)
    if not test.any():
        names = sorted(pc.unique(found).to_pylist())
        raise TrainingError(
            f"No row has {split.test!r} in {split.column!r}",
            expected=repr(split.test),
            found=", ".join(map(repr, names[:SHOWN])),
            fix="Correct PredefinedSplit(test=...).",
        )
    return test


def _cuts_of(rows: pa.Table, test: NDArray[np.bool_]) -> Split:
    """Return the cuts of both parts, and how far training labels reach beyond the newest cut that tests."""
    import pyarrow.compute as pc

    times = rows.select([name for name in ("as_of", "label_known_at") if name in rows.column_names])
    train = times.filter(~test)
    newest = pc.max(times.filter(test)["as_of"]).as_py()
    known = pc.max(train["label_known_at"]).as_py() if "label_known_at" in times.column_names else newest
    overlap_days = max(0, math.ceil((known - newest) / timedelta(days=1)))
    return Split(tuple(sorted(pc.unique(train["as_of"]).to_pylist())), newest, overlap_days)


def _warnings(rows: pa.Table, model: Model, test: NDArray[np.bool_], cuts: Split) -> tuple[str, ...]:
    names = [source.name for source in model.datasets if not source.is_static]
    timed = " and ".join(names) + (" have" if len(names) > 1 else " has")
    found = []
    if isinstance(model.split, RandomSplit):
        why = f"although {timed} an event time" if names else "because the data has no time"
        found.append(
            f"The test rows were drawn at random, {why}: on later data the model may do worse than these figures say."
        )
    elif names and isinstance(model.split, PredefinedSplit):
        found.append(
            f"The test rows are named by {model.split.column!r}, although {timed} an event time: on later data the "
            "model may do worse than these figures say."
        )
    shared = _in_both(rows, test, cuts)
    if shared:
        found.append(f"{shared:,} entities stand among both training and test rows, which flatters the figures.")
    return tuple(found)


def _in_both(rows: pa.Table, test: NDArray[np.bool_], cuts: Split) -> int:
    """Return how many entities stand in both parts."""
    if cuts.train == (cuts.test,):  # an entity has one row at a cut
        return 0
    parts = rows.select(["entity"]).append_column("test", [test.astype("int8")])
    both = parts.group_by(["entity", "test"]).aggregate([]).num_rows
    return int(both - rows.group_by("entity").aggregate([]).num_rows)
