"""FeatureSet: a function from tables to one row of features an entity.

    @feature_set(entity="customer_id", sources=[orders])
    def activity(orders, as_of):
        return orders.group_by("customer_id").agg(frequency=orders.count(), spent=orders.amount.sum())

The function is handed Ibis tables that hold only what was known before `as_of`, so it cannot see the future.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from keelway.core import Digest, checked_name, digest_of
from keelway.errors import ProjectError
from keelway.project.dataset import Dataset
from keelway.project.function import TableFunction, check_parameters, source_text


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Features of one entity, computed from one or several datasets.

    Attributes:
        name: The name of the function.
        entity: The column that names the entity; the function's result has it, each value once.
        sources: The datasets that the function is handed, in this order.
        function: Takes a table for each source and `as_of`; returns a table.
        columns: The features that must come back; empty takes whatever the function returns.

    Raises:
        ProjectError: The function's arguments and the sources do not match, or a name is wrong.
    """

    name: str
    entity: str = field(kw_only=True)
    sources: tuple[Dataset, ...] = field(kw_only=True)
    function: TableFunction = field(kw_only=True)
    columns: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        checked_name(self.name, what="feature set")
        object.__setattr__(self, "sources", tuple(self.sources))
        object.__setattr__(self, "columns", tuple(self.columns))
        if not self.entity:
            raise ProjectError(f"Feature set {self.name!r} names no entity", expected="the name of a column")
        names = [source.name for source in self.sources]
        if not names or len(set(names)) != len(names):
            raise ProjectError(
                f"The sources of feature set {self.name!r} are wrong",
                expected="one dataset or several different ones",
                found=str(names),
            )
        check_parameters(self.function, self.sources)

    def __call__(self, *tables: Any, **named: Any) -> Any:
        """Call the function itself, as in a notebook; nothing is filtered then."""
        return self.function(*tables, **named)

    def definition(self) -> Digest:
        """Return the digest of everything declared here, the text of the function included."""
        return digest_of(
            {
                "name": self.name,
                "entity": self.entity,
                "sources": [source.definition() for source in self.sources],
                "columns": list(self.columns),
                "function": source_text(self.function),
            }
        )


def feature_set(
    *, entity: str, sources: Sequence[Dataset], columns: Sequence[str] | None = None
) -> Callable[[TableFunction], FeatureSet]:
    """Declare a function as a feature set.

    Args:
        entity: The column that names the entity.
        sources: The datasets that the function is handed, in this order; `as_of` comes last.
        columns: The features that must come back; None takes whatever the function returns.
    """

    def declare(function: TableFunction) -> FeatureSet:
        return FeatureSet(
            function.__name__, entity=entity, sources=tuple(sources), function=function, columns=tuple(columns or ())
        )

    return declare
