"""Which columns a feature or label function reads, found without running it on any row.

The function is called once on tables without data; the expression it returns is followed from each feature back to
the columns of the datasets. A column that decides which rows are there (a filter, a join, a group) is read by every
feature behind it, and so is the event time, by which rows are cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keelway.features.calls import called
from keelway.features.compute import _UTC, Tables, _columns_of, _literal, _require
from keelway.features.records import FeatureColumn
from keelway.features.trace import Source, Trace
from keelway.project import Dataset, FeatureSet, Label

Schemas = Mapping[str, Mapping[str, str]]
"""Dataset to column to type, in the words of a contract (`string`, `integer`, `number`, ...)."""
_TYPES = {"integer": "int64", "number": "float64", "timestamp": _UTC}


@dataclass(frozen=True, slots=True)
class FeatureReads:
    """What one function returns and reads.

    Attributes:
        columns: The features, or the label.
        reads: Feature to the columns it is made of.
    """

    columns: tuple[FeatureColumn, ...]
    reads: Mapping[str, frozenset[Source]]

    def features_of(self, dataset: str, column: str) -> tuple[str, ...]:
        """Return the features that are made of a column."""
        return tuple(name for name, sources in self.reads.items() if (dataset, column) in sources)


def features_read(features: FeatureSet, schemas: Schemas, *, as_of: datetime) -> FeatureReads:
    """Return what a feature set reads of datasets with these columns.

    Raises:
        FeatureError: The function cannot be built on them; the message says why.
    """
    what = f"Feature set {features.name!r}"
    result = called(features.function, (*_tables(features.sources, schemas), _literal(as_of)), what=what)
    columns = _columns_of(features, result)
    times = {(source.name, source.event_time) for source in features.sources if not source.is_static}
    names = [column.name for column in columns]
    return FeatureReads(tuple(columns), _traced(result, names, entity=features.entity, always=times))


def label_reads(label: Label, schemas: Schemas, *, as_of: datetime) -> FeatureReads:
    """Return what a label reads of a dataset with these columns.

    Raises:
        FeatureError: The function cannot be built on them; the message says why.
    """
    result = _label_of(label, schemas, as_of=as_of)
    times = set() if label.source.is_static else {(label.source.name, label.source.event_time)}
    reads = _traced(result, [label.name], entity=label.entity, always=times)
    return FeatureReads((FeatureColumn(label.name, "numeric"),), reads)


def hidden_columns(label: Label, tables: Tables, *, as_of: datetime) -> frozenset[str]:
    """Return the columns of its dataset that a label without a horizon is made of; no feature may read them.

    What only names the entity is not among them.

    Raises:
        FeatureError: The label's function cannot be built on the dataset's columns; the message says why.
    """
    if label.horizon is not None or label.source.name not in tables.by_name:
        return frozenset()
    table = tables.by_name[label.source.name]
    types = {name: str(kind) for name, kind in table.schema().items() if not name.startswith("_")}
    relation = _label_of(label, {label.source.name: types}, as_of=as_of).op()
    trace = Trace()
    choosing = trace.rows(relation) - trace.column(relation, label.entity)
    return frozenset(name for _, name in trace.column(relation, label.name) | choosing)


def _label_of(label: Label, schemas: Schemas, *, as_of: datetime) -> Any:
    what = f"Label {label.name!r}"
    result = called(label.function, (*_tables((label.source,), schemas), _literal(as_of)), what=what)
    _require(result, (label.entity, label.name), what=what)
    return result


def _tables(datasets: Sequence[Dataset], schemas: Schemas) -> Iterator[Any]:
    import ibis

    for dataset in datasets:
        types = {name: _TYPES.get(kind, kind) for name, kind in schemas[dataset.name].items()}
        if dataset.event_time in types:
            types[dataset.event_time] = _UTC
        yield ibis.table(types, name=dataset.name)


def _traced(result: Any, names: Sequence[str], *, entity: str, always: set[Source]) -> dict[str, frozenset[Source]]:
    trace = Trace()
    relation = result.op()
    shared = trace.rows(relation) | trace.column(relation, entity) | always
    return {name: frozenset(trace.column(relation, name) | shared) for name in names}
