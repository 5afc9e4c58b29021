"""Which columns a feature or label function reads, found without running it on any row.

The function is called once on tables without data; the expression it returns is followed from each feature back to
the columns of the datasets. A column that decides which rows are there (a filter, a join, a group) is read by every
feature behind it, and so is the event time, by which rows are cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keelway.features.compute import _UTC, Tables, _called, _columns_of, _literal, _require
from keelway.features.records import FeatureColumn
from keelway.project import Dataset, FeatureSet, Label

if TYPE_CHECKING:
    import ibis.expr.operations as ops

Source = tuple[str, str]
"""A dataset and one of its columns."""
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
    result = _called(features.function, (*_tables(features.sources, schemas), _literal(as_of)), what=what)
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
    trace = _Trace()
    choosing = trace.rows(relation) - trace.column(relation, label.entity)
    return frozenset(name for _, name in trace.column(relation, label.name) | choosing)


def _label_of(label: Label, schemas: Schemas, *, as_of: datetime) -> Any:
    what = f"Label {label.name!r}"
    result = _called(label.function, (*_tables((label.source,), schemas), _literal(as_of)), what=what)
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
    trace = _Trace()
    relation = result.op()
    shared = trace.rows(relation) | trace.column(relation, entity) | always
    return {name: frozenset(trace.column(relation, name) | shared) for name in names}


class _Trace:
    """Follows columns back to the tables without data; each relation is looked at once."""

    def __init__(self) -> None:
        self._columns: dict[tuple[Any, str], set[Source]] = {}
        self._rows: dict[Any, set[Source]] = {}

    def column(self, relation: ops.Relation, name: str) -> set[Source]:
        """Return what one column of a relation is made of."""
        key = (relation, name)
        if key not in self._columns:
            self._columns[key] = self._column(relation, name)
        return self._columns[key]

    def _column(self, relation: Any, name: str) -> set[Source]:
        import ibis.expr.operations as ops

        if isinstance(relation, ops.UnboundTable):
            return {(relation.name, name)}
        if name in relation.values:
            return self._value(relation.values[name])
        parents = [child for child in _children(relation.__args__) if isinstance(child, ops.Relation)]
        return set().union(*(self._same(parent, name) for parent in parents))

    def _same(self, relation: Any, name: str) -> set[Source]:
        """Return what a column of that name is made of, or all columns where the name is another there."""
        if name in relation.schema.names:
            return self.column(relation, name)
        return self._all(relation)

    def _all(self, relation: Any) -> set[Source]:
        return set().union(*(self.column(relation, name) for name in relation.schema.names))

    def _value(self, node: Any) -> set[Source]:
        """Return what a value is made of; a whole table inside it counts with every column, unless rows are counted."""
        import ibis.expr.operations as ops

        if isinstance(node, ops.Field):
            return self.column(node.rel, node.name)
        if isinstance(node, ops.CountStar):
            counted = set() if node.where is None else self._value(node.where)
            return self.rows(node.arg) | counted
        if isinstance(node, ops.Relation):
            return self._all(node) | self.rows(node)
        return set().union(*(self._value(child) for child in _children(node.__args__)))

    def rows(self, relation: Any) -> set[Source]:
        """Return what decides which rows a relation has."""
        if relation not in self._rows:
            self._rows[relation] = self._deciding(relation)
        return self._rows[relation]

    def _deciding(self, relation: Any) -> set[Source]:
        import ibis.expr.operations as ops

        if isinstance(relation, ops.UnboundTable):
            return set()
        found: set[Source] = set()
        if isinstance(relation, (ops.Distinct, ops.DropNull)):
            found |= self._all(relation)
        for name, argument in zip(relation.argnames, relation.args, strict=True):
            if name not in ("values", "metrics"):  # what a column is made of, not which rows there are
                for child in _children((argument,)):
                    found |= self._of_rows(child)
        return found

    def _of_rows(self, node: Any) -> set[Source]:
        import ibis.expr.operations as ops

        if isinstance(node, ops.Relation):
            return self.rows(node)
        if isinstance(node, ops.JoinLink):
            predicates = (self._value(predicate) for predicate in node.predicates)
            return self.rows(node.table).union(*predicates)
        return self._value(node)


def _children(arguments: Any) -> Iterator[Any]:
    """Yield the nodes among arguments, however deep they lie in tuples and mappings."""
    from ibis.common.graph import Node

    for argument in arguments.values() if isinstance(arguments, Mapping) else arguments:
        if isinstance(argument, Node):
            yield argument
        elif isinstance(argument, (tuple, list, Mapping)):
            yield from _children(argument)
