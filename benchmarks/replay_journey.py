"""Replays a year of a retailer hour by hour through ingest, as if each hour's file had just been written.

Complete Journey, 8,003 hours with sales: each becomes a file whose time of writing is the end of its hour; after each,
everything new is pulled, checked against the contract and taken into a new snapshot. At the end the counts must be
those of the data set. `--hours N` replays the first N hours one by one; `--at-once N` uploads all hours and takes them
in N pulls instead; `--format parquet` writes Parquet files.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.contract import load_contract
from keelway.engines.delta import DeltaTables
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.project import Dataset
from keelway.snapshot import Snapshot, read
from keelway.testing.intake import Intake

if TYPE_CHECKING:
    import pyarrow as pa

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("KEELWAY_DATA", ROOT.parent / "shared" / "data"))
CONTRACT = Path(__file__).with_name("journey.odcs.yaml")
SALES = Dataset("sales", contract="sales.yaml", source="raw/sales/**/*", event_time="transaction_timestamp")
TOLD_EVERY = 500
LINES, HOUSEHOLDS, BASKETS, HOURS = 1_469_307, 2_469, 155_848, 8_003


@dataclass(frozen=True, slots=True)
class Counts:
    """What a dataset holds: lines, and how many households and baskets they are of."""

    lines: int
    households: int
    baskets: int


WHOLE_YEAR = Counts(LINES, HOUSEHOLDS, BASKETS)


def journey(folder: Path) -> pa.Table:
    """Return all lines of the data set, in the order of their time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    halves = [pq.read_table(folder / f"B_completejourney_transactions_h{half}.parquet") for half in (1, 2)]
    lines = pa.concat_tables(halves).replace_schema_metadata(None).sort_by("transaction_timestamp")
    at = lines.schema.get_field_index("transaction_timestamp")
    return lines.set_column(at, "transaction_timestamp", lines["transaction_timestamp"].cast(pa.timestamp("us")))


def hours_of(lines: pa.Table) -> Iterator[tuple[datetime, pa.Table]]:
    """Yield each hour with sales, and its lines."""
    import numpy as np

    hour = lines["transaction_timestamp"].to_numpy().astype("datetime64[h]")
    starts = [0, *(np.flatnonzero(hour[1:] != hour[:-1]) + 1).tolist(), len(hour)]
    for begin, end in pairwise(starts):
        yield hour[begin].astype(datetime).replace(tzinfo=UTC), lines.slice(begin, end - begin)


def write(hour: datetime, lines: pa.Table, intake: Intake, *, form: str = "csv") -> datetime:
    """Write the file of an hour and return its time of writing."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    sink = pa.BufferOutputStream()
    if form == "parquet":
        pyarrow.parquet.write_table(lines, sink)
    else:
        pyarrow.csv.write_csv(lines, sink)
    written_at = hour + timedelta(hours=1)
    intake.upload(f"raw/sales/dt={hour:%Y-%m-%d}/hour={hour:%H}.{form}", sink.getvalue().to_pybytes(), written_at)
    return written_at


def open_intake(root: Path) -> Intake:
    """Return an empty dataset on the engines of this machine."""
    return Intake(
        dataset=SALES,
        contract=load_contract(CONTRACT, SALES.name),
        objects=root / "objects",
        state=SqlState(f"sqlite:///{root}/state.db"),
        artifacts=LocalArtifacts(root / "artifacts"),
        tables=DeltaTables.below(root / "tables"),
    )


def counted(snapshot: Snapshot, intake: Intake) -> Counts:
    """Return what a snapshot holds, read back from its files."""
    import duckdb

    files = [str(path) for path in read(snapshot, tables=intake.tables, artifacts=intake.artifacts)]
    query = "SELECT count(*), count(DISTINCT household_id), count(DISTINCT basket_id) FROM read_parquet(?)"
    with duckdb.connect() as connection:
        return Counts(*connection.execute(query, [files]).fetchall()[0])


def replay(intake: Intake, hours: Iterator[tuple[datetime, pa.Table]], *, form: str = "csv") -> Snapshot:
    """Write and take in hour after hour, and return the last snapshot."""
    taken, begun = None, time.perf_counter()
    for number, (hour, lines) in enumerate(hours):
        if number and not number % TOLD_EVERY:
            print(f"{number} hours, {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
        snapshot = intake.ingest(write(hour, lines, intake, form=form))
        assert snapshot is not None
        assert snapshot.rows_added == lines.num_rows
        taken = snapshot
    assert taken is not None
    return taken


def at_once(intake: Intake, hours: Sequence[tuple[datetime, pa.Table]], pulls: int, *, form: str = "csv") -> Snapshot:
    """Write all hours in a few portions, take each in whole, and return the last snapshot."""
    taken = None
    size = -(-len(hours) // pulls)
    for begin in range(0, len(hours), size):
        written_at = [write(hour, lines, intake, form=form) for hour, lines in hours[begin : begin + size]]
        taken = intake.ingest(max(written_at))
    assert taken is not None
    return taken


def main() -> None:
    from _figures import Figure, report

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=HOURS)
    parser.add_argument("--at-once", type=int, default=0, metavar="PULLS")
    parser.add_argument("--format", choices=["csv", "parquet"], default="csv")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    hours = list(hours_of(journey(DATA)))[: wanted.hours]
    with tempfile.TemporaryDirectory() as folder:
        intake = open_intake(Path(folder))
        begun = time.perf_counter()
        if wanted.at_once:
            last = at_once(intake, hours, wanted.at_once, form=wanted.format)
        else:
            last = replay(intake, iter(hours), form=wanted.format)
        seconds = time.perf_counter() - begun
        found = counted(last, intake)
    lines = sum(table.num_rows for _, table in hours)
    assert found.lines == lines, f"{found.lines} lines instead of {lines}"
    assert len(hours) < HOURS or found == WHOLE_YEAR, f"{found} instead of {WHOLE_YEAR}"
    figures = [
        Figure("hours", len(hours), "files"),
        Figure("lines", found.lines, "rows, each once"),
        Figure("replayed in", seconds, "s"),
        Figure("an hour on its way in", 1000 * seconds / len(hours), "ms"),
    ]
    report(figures, wanted.json)


if __name__ == "__main__":
    main()
