"""A clean feed: the orders of a shop, one CSV file an hour, with a contract that a careful owner would write.

Volume follows the hour of the day and the day of the week; order numbers count up without a gap; prices, quantities,
channels and cities keep their distributions. Every hour is made from the seed and its number alone, so any of them
can be made again, whole or spoilt (`keelway.testing.mutations`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random

HEADER = ("order_id", "customer_id", "channel", "city", "quantity", "unit_price", "amount", "ordered_at")
FIRST_HOUR = datetime(2026, 3, 2, tzinfo=UTC)
CUSTOMERS = 5_000
CHANNELS = {"web": 55, "app": 30, "shop": 10, "phone": 5}
CITIES = {"Berlin": 46, "München": 24, "Köln": 16, "Zürich": 14}
QUANTITIES = {"1": 52, "2": 24, "3": 12, "4": 6, "5": 3, "6": 2, "8": 1}
BY_HOUR = (
    190, 180, 180, 180, 190, 210, 260, 330, 400, 450, 480, 500, 520, 500, 480, 470, 480, 520, 560, 580, 520, 420, 310, 230,
)  # fmt: skip
"""Usual number of orders in each hour of a working day."""
WEEKEND = 1.2
"""How much more is ordered on Saturday and Sunday."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One file of the feed, as a table of texts.

    Attributes:
        start: When its hour begins, in UTC.
        rows: The cells below the header, as they stand in the file.
    """

    start: datetime
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def name(self) -> str:
        """The object's name in the store."""
        return f"raw/orders/dt={self.start:%Y-%m-%d}/hour={self.start:%Y-%m-%dT%H}%3A00Z/orders.csv"

    @property
    def written_at(self) -> datetime:
        """When the file appears in the store: when its hour is over."""
        return self.start + timedelta(hours=1)

    def column(self, name: str) -> int:
        """Return the position of a column."""
        return self.header.index(name)

    def with_rows(self, rows: Sequence[Sequence[str]]) -> Feed:
        """Return the same file with other rows."""
        return replace(self, rows=tuple(tuple(row) for row in rows))

    def text(self, *, delimiter: str = ",", quote: str = '"', line_end: str = "\n", quote_all: bool = False) -> str:
        """Return the file's text."""
        stream = io.StringIO(newline="")
        writer = csv.writer(
            stream,
            delimiter=delimiter,
            quotechar=quote,
            lineterminator=line_end,
            quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL,
        )
        writer.writerows([self.header, *self.rows])
        return stream.getvalue()

    def csv(self) -> bytes:
        """Return the file's bytes, as the source writes them."""
        return self.text().encode()


def hour(number: int, *, seed: int = 0) -> Feed:
    """Return the clean file of an hour, counted from the first."""
    random = Random(f"{seed}/{number}")
    start = FIRST_HOUR + timedelta(hours=number)
    count = volume(number, seed=seed)
    first = 1_000_000 + _orders_before(number, seed)
    seconds = sorted(random.randrange(3600) for _ in range(count))
    rows = (_order(first + nth, start + timedelta(seconds=at), random) for nth, at in enumerate(seconds))
    return Feed(start, HEADER, tuple(rows))


def hour_before(feed: Feed, *, seed: int = 0) -> Feed:
    """Return the clean file of the hour before another."""
    return hour(round((feed.start - FIRST_HOUR) / timedelta(hours=1)) - 1, seed=seed)


@lru_cache(maxsize=4096)
def volume(number: int, *, seed: int = 0) -> int:
    """Return how many orders an hour has."""
    start = FIRST_HOUR + timedelta(hours=number)
    usual = BY_HOUR[start.hour] * (WEEKEND if start.weekday() >= 5 else 1)
    return round(Random(f"volume {seed}/{number}").gauss(usual, usual**0.5))


@lru_cache(maxsize=4096)
def _orders_before(number: int, seed: int) -> int:
    return sum(volume(earlier, seed=seed) for earlier in range(number))


def _order(order: int, at: datetime, random: Random) -> tuple[str, ...]:
    quantity = int(_one_of(QUANTITIES, random))
    cents = min(39_999, max(199, round(random.lognormvariate(7.6, 0.7))))
    return (
        f"{order:010d}",
        f"{random.randrange(1, CUSTOMERS + 1):06d}",
        _one_of(CHANNELS, random),
        _one_of(CITIES, random),
        str(quantity),
        f"{cents / 100:.2f}",
        f"{quantity * cents / 100:.2f}",
        f"{at:%Y-%m-%dT%H:%M:%SZ}",
    )


def _one_of(weights: dict[str, int], random: Random) -> str:
    return random.choices(list(weights), list(weights.values()))[0]


def customers() -> Iterator[str]:
    """Yield every customer's number: what the feed refers to."""
    return (f"{number:06d}" for number in range(1, CUSTOMERS + 1))
