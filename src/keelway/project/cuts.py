"""Cuts: the dates a model learns from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from keelway.core import in_utc
from keelway.errors import ProjectError


@dataclass(frozen=True, slots=True)
class Cuts:
    """The cut dates a model learns from: a first one, a step, and perhaps a last one.

    >>> cuts = Cuts(datetime(1997, 4, 1, tzinfo=UTC), every="month")
    >>> [cut.month for cut in cuts.until(datetime(1997, 9, 1, tzinfo=UTC), horizon=timedelta(days=60))]
    [4, 5, 6, 7]
    """

    first: datetime
    every: Literal["month"] | timedelta = "month"
    last: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "first", in_utc(self.first))
        if self.last is not None:
            object.__setattr__(self, "last", in_utc(self.last))
        if self.every != "month" and not (isinstance(self.every, timedelta) and self.every > timedelta(0)):
            raise ProjectError(
                "Wrong step between cut dates", expected="'month' or a positive time", found=repr(self.every)
            )
        if self.every == "month" and self.first.day > 28:
            raise ProjectError(
                "Monthly cuts need a day that every month has", expected="day 1 to 28", found=str(self.first)
            )

    def until(self, now: datetime, horizon: timedelta) -> tuple[datetime, ...]:
        """Return the cut dates whose horizon has ended by `now`, so that their labels have matured."""
        end = in_utc(now) - horizon
        if self.last is not None:
            end = min(end, self.last)
        cuts: list[datetime] = []
        while (cut := self._cut(len(cuts))) <= end:
            cuts.append(cut)
        return tuple(cuts)

    def declared(self) -> dict[str, object]:
        """Return what is declared here as plain values."""
        every = self.every if isinstance(self.every, str) else self.every.total_seconds()
        return {"first": self.first, "last": self.last, "every": every}

    def _cut(self, number: int) -> datetime:
        if isinstance(self.every, timedelta):
            return self.first + number * self.every
        months = self.first.month - 1 + number
        return self.first.replace(year=self.first.year + months // 12, month=months % 12 + 1, tzinfo=UTC)
