"""Which columns of its tables an expression is made of, found without running it.

A column that decides which rows are there (a filter, a join, a group) is read by everything behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis.expr.operations as ops

Source = tuple[str, str]
"""A table and one of its columns."""


class Trace:
    """Follows columns back to the tables it rests on; each relation is looked at once."""

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

        if isinstance(relation, ops.PhysicalTable):
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

        if isinstance(relation, ops.PhysicalTable):
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
