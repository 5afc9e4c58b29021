"""Label: what became of an entity within a horizon after the cut date, or what a table says of it.

    @Label.define(entity="customer_id", source=orders, horizon="180d", absent=1)
    def churned(orders, as_of):
        return orders.group_by("customer_id").agg(churned=0)

    @Label.define(entity="row_id", source=census)
    def rich(census, as_of):
        return census.select("row_id", rich=census.income == ">50K")

A label without a horizon stands in the rows that features are made of. The columns it is made of are hidden from
feature functions, so that no feature can be the label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from keelway.core import Digest, checked_name, digest_of, parse_duration
from keelway.errors import ProjectError
from keelway.project.dataset import Dataset
from keelway.project.function import TableFunction, check_parameters, source_text

LabelValue = int | float | str
"""0 or 1, the name or number of a class, or any number, by the model's task."""


@dataclass(frozen=True, slots=True)
class Label:
    """What became of an entity.

    Attributes:
        name: The name of the function, and of the column that holds its answer.
        entity: The column that names the entity.
        source: The dataset that tells what became of it.
        horizon: How long after the cut date the outcome is known; None where it is known at the cut date.
        function: Takes the rows with `as_of <= event time < as_of + horizon` (without a horizon: all rows known
            before `as_of`), and `as_of`; returns a table of the entity and a column with the label's name: 0 or 1,
            the name of a class, or a number, by the model's task.
        absent: The value for an entity that has no row in that table; None leaves such an entity out.

    Raises:
        ProjectError: The function's arguments or the horizon are wrong.
    """

    name: str
    entity: str = field(kw_only=True)
    source: Dataset = field(kw_only=True)
    horizon: timedelta | None = field(kw_only=True)
    function: TableFunction = field(kw_only=True)
    absent: LabelValue | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        checked_name(self.name, what="label")
        if not self.entity or self.entity == self.name:
            raise ProjectError(
                f"Label {self.name!r} needs an entity", expected="the name of another column", found=repr(self.entity)
            )
        positive = isinstance(self.horizon, timedelta) and self.horizon > timedelta(0)
        if self.horizon is not None and not positive:
            raise ProjectError(
                f"The horizon of label {self.name!r} is wrong",
                expected="a positive time, or None for a label that stands in the same rows",
                found=repr(self.horizon),
            )
        if self.horizon is not None and self.source.is_static:
            raise ProjectError(
                f"Label {self.name!r} has a horizon, but the rows of {self.source.name!r} carry no time",
                expected="horizon=None, or a dataset with an event_time",
                found=str(self.horizon),
            )
        check_parameters(self.function, (self.source,))

    @classmethod
    def define(
        cls, *, entity: str, source: Dataset, horizon: str | timedelta | None = None, absent: LabelValue | None = None
    ) -> Callable[[TableFunction], Label]:
        """Declare a function as a label; `horizon` is a time, a text such as `180d`, or None for the same rows."""
        length = parse_duration(horizon) if isinstance(horizon, str) else horizon

        def declare(function: TableFunction) -> Label:
            return cls(
                function.__name__, entity=entity, source=source, horizon=length, function=function, absent=absent
            )

        return declare

    def __call__(self, *tables: Any, **named: Any) -> Any:
        """Call the function itself, as in a notebook; nothing is filtered then."""
        return self.function(*tables, **named)

    def definition(self) -> Digest:
        """Return the digest of everything declared here, the text of the function included."""
        return digest_of(
            {
                "name": self.name,
                "entity": self.entity,
                "source": self.source.definition(),
                "horizon_s": None if self.horizon is None else self.horizon.total_seconds(),
                "absent": self.absent,
                "function": source_text(self.function),
            }
        )
