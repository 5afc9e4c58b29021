"""The rows of a model at some cut dates: of all its feature sets, with labels, in the order in which they are stored.

They come a part at a time, however many there are. What the functions promise is looked at on the way, so a caller keeps what was
made of the rows only when the last part has come.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from keelway.errors import FeatureError
from keelway.features.compute import Tables, check_one_row_each, executed, feature_query, label_rows, told_as
from keelway.features.finish import Finisher
from keelway.features.label_values import absent_label, label_type
from keelway.features.names import AS_OF, ENTITY, LABEL, LABEL_KNOWN_AT, RESERVED
from keelway.features.reads import hidden_columns
from keelway.features.records import FeatureColumn
from keelway.project import Model, split_columns

if TYPE_CHECKING:
    import pyarrow as pa

_KEYS = (AS_OF, ENTITY)


@dataclass(frozen=True, slots=True)
class ModelRows:
    """Rows as they are stored.

    Attributes:
        features: Those of the model; the columns that only split the rows are not among them.
        parts: Rows by cut date and entity; the first part has none, and tells the columns. Whoever does not
            take all closes it: until then nothing else can be asked.
    """

    features: tuple[FeatureColumn, ...]
    parts: Generator[pa.Table, None, None]


def model_rows(
    model: Model, tables: Tables, *, as_ofs: Sequence[datetime], with_label: bool = False, now: datetime
) -> ModelRows:
    """Return the rows of a model; an entity that one feature set knows has one at each cut date.

    With a label, an entity without an outcome has the label's `absent` value; where that is None, it has no row.

    Args:
        as_ofs: The cut dates.
        now: What is later than this has not happened yet.

    Raises:
        FeatureError: A function broke its promise; of what is in the rows, while they come.
    """
    hidden = hidden_columns(model.label, tables, as_of=as_ofs[0])
    shown = replace(tables, hidden={model.label.source.name: hidden})
    queries, columns = _queries(model, shown, as_ofs)
    labels = label_rows(model.label, tables, task=model.task, as_ofs=as_ofs, now=now) if with_label else None
    splitting = split_columns(model.split)
    features = [column for column in columns if column.name not in splitting]
    kept = splitting if with_label else ()
    _check_splitting(kept, columns, features, model=model)
    finisher = Finisher(features, splitting=kept, model=model.name)
    return ModelRows(tuple(features), _parts(model, shown, queries, labels, finisher))


def _parts(
    model: Model, tables: Tables, queries: Mapping[str, Any], labels: pa.Table | None, finisher: Finisher
) -> Generator[pa.Table, None, None]:
    import pyarrow as pa

    assert tables.engine is not None
    last = None
    with closing(tables.engine.sorted_rows(queries, _KEYS, beside=labels)) as given:
        for part in given:
            keys = part.select(_KEYS)
            keys = keys if last is None else pa.concat_tables([last, keys])
            if not _are_one_each(keys):
                break
            last = keys.slice(max(keys.num_rows - 1, 0))
            yield finisher.finished(part if labels is None else _labelled(part, model))
        else:
            finisher.check()
            return
    for what, query in queries.items():  # one of them is not as it promised
        check_one_row_each(executed(query.select(*_KEYS), tables, what=what), what=what)


def _queries(model: Model, tables: Tables, as_ofs: Sequence[datetime]) -> tuple[dict[str, Any], list[FeatureColumn]]:
    queries: dict[str, Any] = {}
    columns: list[FeatureColumn] = []
    for each in model.features:
        query, found = feature_query(each, tables, as_ofs=as_ofs)
        for name in sorted({column.name for column in columns} & {column.name for column in found}):
            raise FeatureError(
                f"Two feature sets of {model.name!r} return {name!r}",
                expected="each feature once",
                found=f"{name!r} again in {each.name!r}",
                fix="Rename it in one of the two functions, or leave it out there.",
            )
        columns += found
        queries[told_as(each)] = query.relocate(*_KEYS)
    return queries, columns


def _check_splitting(
    splitting: Sequence[str], columns: Sequence[FeatureColumn], features: Sequence[FeatureColumn], *, model: Model
) -> None:
    """Refuse a split by a column that is not there."""
    for name in splitting:
        if name not in (*RESERVED, *(column.name for column in columns)):
            raise FeatureError(
                f"The split of {model.name!r} names a column that no feature set returns",
                expected=name,
                found=", ".join(column.name for column in features),
                fix="Return the column from a feature function; it is not used as a feature.",
            )


def _are_one_each(keys: pa.Table) -> bool:
    """Say whether each row has an entity, and none the cut date and entity of the one before it."""
    import pyarrow.compute as pc

    here, then = keys.slice(0, max(keys.num_rows - 1, 0)), keys.slice(1)
    same = pc.and_(*(pc.equal(here[name], then[name]) for name in _KEYS))
    return not keys[ENTITY].null_count and not pc.any(same).as_py()


def _labelled(part: pa.Table, model: Model) -> pa.Table:
    """Return the rows with `label` and `label_known_at`, entities without an outcome filled in or left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    absent = model.label.absent
    if absent is None:
        part = part.filter(pc.is_valid(part[LABEL]))
    else:
        value = pa.scalar(absent_label(absent, model.task), label_type(model.task))
        part = part.set_column(part.column_names.index(LABEL), LABEL, pc.fill_null(part[LABEL], value))
    horizon = model.label.horizon or timedelta(0)  # without one, a label is known at the cut
    return part.append_column(LABEL_KNOWN_AT, pc.add(part[AS_OF], pa.scalar(horizon, pa.duration("us"))))
