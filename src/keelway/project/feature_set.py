"""FeatureSet: a function from tables to one row of features an entity.

    @feature_set(entity="customer_id", sources=[orders])
    def activity(orders, as_of):
        return orders.group_by("customer_id").agg(frequency=orders.count(), spent=orders.amount.sum())

The function is handed Ibis tables that hold only what was known before `as_of`, so it cannot see the future. A column
of text is a category unless it is declared as free text; a column of number lists is declared with its length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
        texts: Those that are free text, such as a message.
        arrays: Those that are lists of numbers, such as the pixels of a small image, to their length.

    Raises:
        ProjectError: The function's arguments and the sources do not match, or a name is wrong.
    """

    name: str
    entity: str = field(kw_only=True)
    sources: tuple[Dataset, ...] = field(kw_only=True)
    function: TableFunction = field(kw_only=True)
    columns: tuple[str, ...] = field(default=(), kw_only=True)
    texts: tuple[str, ...] = field(default=(), kw_only=True)
    arrays: Mapping[str, int] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        checked_name(self.name, what="feature set")
        object.__setattr__(self, "sources", tuple(self.sources))
        for each in ("columns", "texts"):
            object.__setattr__(self, each, tuple(getattr(self, each)))
        object.__setattr__(self, "arrays", dict(self.arrays))
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
        self._check_kinds()

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
                "texts": list(self.texts),
                "arrays": dict(self.arrays),
                "function": source_text(self.function),
            }
        )

    def _check_kinds(self) -> None:
        """Refuse a column that is declared twice, or an array without a length."""
        for name, names in (("columns", self.columns), ("texts and arrays", (*self.texts, *self.arrays))):
            if twice := sorted({each for each in names if names.count(each) > 1}):
                raise ProjectError(
                    f"Feature set {self.name!r} names {twice[0]!r} twice among its {name}", expected="each name once"
                )
        for name, length in self.arrays.items():
            if not isinstance(length, int) or isinstance(length, bool) or length < 1:
                raise ProjectError(
                    f"Array {name!r} of feature set {self.name!r} has no length",
                    expected="how many numbers each row holds, one or more",
                    found=repr(length),
                )


def feature_set(
    *,
    entity: str,
    sources: Sequence[Dataset],
    columns: Sequence[str] | None = None,
    texts: Sequence[str] = (),
    arrays: Mapping[str, int] | None = None,
) -> Callable[[TableFunction], FeatureSet]:
    """Declare a function as a feature set.

    Args:
        entity: The column that names the entity.
        sources: The datasets that the function is handed, in this order; `as_of` comes last.
        columns: The features that must come back; None takes whatever the function returns.
        texts: Those that are free text; other columns of text are categories.
        arrays: Those that are lists of numbers, to their length, such as `{"pixels": 64}`.
    """

    def declare(function: TableFunction) -> FeatureSet:
        return FeatureSet(
            function.__name__,
            entity=entity,
            sources=tuple(sources),
            function=function,
            columns=tuple(columns or ()),
            texts=tuple(texts),
            arrays=dict(arrays or {}),
        )

    return declare
