"""Features of entities that a request names without any, from an online store.

    lookup = OnlineLookup(store, "churn", max_age_s=86_400)
    rows = lookup(["00042"], ["recency_d", "plan"], now)

The row's as-of time is the cut date of what was found. Features that are older than the limit are not served, and an
entity that the store does not know is refused, or scored with every value missing where that is declared.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from keelway.core import time_text
from keelway.errors import UnavailableError
from keelway.features import OnlineStore
from keelway.serve.wire.columns import Row
from keelway.serve.wire.refusal import refused

RETRY_AFTER_S = 60.0

Unknown = Literal["refuse", "missing"]


class OnlineLookup:
    """Looks up the features of one model.

    Args:
        max_age_s: How old the cut may be, in seconds; 0 for any age.
        unknown: What becomes of an entity that has no row: it is refused, or every value of it is missing.
    """

    def __init__(self, store: OnlineStore, model: str, *, max_age_s: float = 0.0, unknown: Unknown = "refuse") -> None:
        self._store, self._model = store, model
        self._max_age = timedelta(seconds=max_age_s)
        self._unknown = unknown

    def __call__(self, entities: Sequence[str], names: Sequence[str], now: datetime) -> list[Row]:
        """Return a row for each entity, in their order.

        Raises:
            BadRequestError: An entity has no row.
            UnavailableError: The store holds nothing of the model, something too old, or other features.
        """
        found = self._store.read(self._model, entities)
        as_of = next((row.as_of for row in found.values()), None) or self._cut_date()
        if self._max_age and now - as_of > self._max_age:
            raise _not_now("The online features are too old", f"a cut after {time_text(now - self._max_age)}", as_of)
        rows: list[Row] = []
        for entity in entities:
            row = found.get(entity)
            if row is None and self._unknown == "refuse":
                raise refused(
                    "$.entity", "an entity of the online store", "another", what="No features are known of it"
                )
            values = row.values if row is not None else dict.fromkeys(names)
            if not values.keys() >= set(names):
                raise _not_now("The online store holds other features", ", ".join(names), as_of)
            rows.append((entity, as_of, [values[name] for name in names]))
        return rows

    def _cut_date(self) -> datetime:
        cut = self._store.cut(self._model)
        if cut is None:
            raise _not_now("The online store is empty", f"features of {self._model}", None)
        return cut.as_of


def _not_now(what: str, expected: str, as_of: datetime | None) -> UnavailableError:
    return UnavailableError(
        what,
        expected=expected,
        found="nothing" if as_of is None else f"the cut of {time_text(as_of)}",
        fix="Fill the store: keelway features materialise MODEL; or send the features.",
        retry_after_s=RETRY_AFTER_S,
    )
