"""A small world for feature tests: a shop's orders as Parquet files, and a snapshot record that stands for them.

shop = OrderBook(tmp_path)
shop.order("ana", "1997-01-05", amount=12.5)
build_features(model, {"orders": shop.snapshot()}, paths_of=shop.paths_of, ...)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from keelway.core import parse_time
from keelway.project import Dataset

ORDERS = Dataset(
    "orders", contract="contracts/orders.odcs.yaml", source="raw/*.csv", event_time="ordered_at", keys=("customer",)
)


@dataclass(frozen=True, slots=True)
class ShopSnapshot:
    """What features need of a snapshot record: an identity and how far it reaches."""

    dataset: str
    number: int
    watermark: datetime
    columns: dict[str, str]


@dataclass(slots=True)
class OrderBook:
    """Orders in memory that become Parquet files when a snapshot is taken."""

    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    taken: int = 0

    def order(self, customer: str, at: str, *, amount: float = 10.0, kind: str = "cd", known: str = "") -> None:
        """Add an order, known a day after it happened unless said otherwise."""
        happened = parse_time(at)
        known_at = parse_time(known) if known else happened + timedelta(days=1)
        self.rows.append(
            {"customer": customer, "ordered_at": happened, "amount": amount, "kind": kind, "_known_at": known_at}
        )

    def snapshot(self, *, watermark: str = "2000-01-01", files: int = 1) -> ShopSnapshot:
        """Write all orders so far into Parquet files and return the record of them."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.taken += 1
        place = self.folder / str(self.taken)
        place.mkdir(parents=True)
        utc = pa.timestamp("us", tz="UTC")
        schema = pa.schema(
            [
                ("customer", pa.string()),
                ("ordered_at", utc),
                ("amount", pa.float64()),
                ("kind", pa.string()),
                ("_known_at", utc),
                ("_file", pa.string()),
                ("_row", pa.int64()),
            ]
        )
        numbered = [{**row, "_file": f"sha256:{'0' * 64}", "_row": number} for number, row in enumerate(self.rows)]
        for number in range(files):
            pq.write_table(pa.Table.from_pylist(numbered[number::files], schema=schema), place / f"{number}.parquet")
        columns = {field.name: str(field.type) for field in schema}
        return ShopSnapshot("orders", self.taken, parse_time(watermark), columns)

    def paths_of(self, snapshot: Any) -> list[Path]:
        """Return the Parquet files of a snapshot."""
        return sorted((self.folder / str(snapshot.number)).glob("*.parquet"))


@dataclass(slots=True)
class StaticTable:
    """Rows without a time, all in one file that became known at one moment.

    PEOPLE = Dataset("people", contract="people.yaml", source="people/*.csv", event_time="")
    table = StaticTable(tmp_path, "people", {"person": ["a", "b"], "age": [30, 40]})
    build_features(model, {"people": table.snapshot()}, paths_of=table.paths_of, ...)
    """

    folder: Path
    name: str
    columns: dict[str, Any]
    known_at: datetime = field(default_factory=lambda: parse_time("2025-01-01"))

    def snapshot(self) -> ShopSnapshot:
        """Write the rows into a Parquet file and return the record of them."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = pa.table(self.columns)
        utc = pa.timestamp("us", tz="UTC")
        rows = rows.append_column("_known_at", pa.array([self.known_at] * rows.num_rows, utc))
        self.folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, self.folder / f"{self.name}.parquet")
        columns = {field.name: str(field.type) for field in rows.schema}
        return ShopSnapshot(self.name, 1, self.known_at, columns)

    def paths_of(self, snapshot: Any) -> list[Path]:
        """Return the Parquet file of a snapshot."""
        return [self.folder / f"{snapshot.dataset}.parquet"]
