"""Versions of a feed that comes every hour: what a take costs, what compaction does to reads, and what a vacuum costs.

Three ways to add the same 1,000 files of 1,000 rows are measured in one run: plain Parquet files (written and synced),
plain `deltalake` appends, and `take`, which also hashes, writes the manifest, the snapshot and the ledger entry. The
batches of `take` are checked beforehand, for checking is measured elsewhere. Every read checks every byte.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from _figures import Figure, report

from keelway.snapshot import Snapshot, SnapshotRows, newest
from keelway.testing.versions import HOUR, Versions, arrow_type

APPENDS, ROWS = 1_000, 1_000
COLUMNS = {
    "customer": "string",
    "at": "timestamp[us, tz=UTC]",
    "product": "int64",
    "quantity": "int64",
    "amount": "double",
    "plan": "string",
}
LAST = 100
"""The appends at the end that are compared with those at the beginning: does a take get slower as the table grows?"""


def hour(number: int, orders: Versions) -> list[dict[str, Any]]:
    """Return the rows of one hour."""
    return [
        {
            "customer": f"c{(number * 7919 + row * 31) % 50_000:06d}",
            "at": orders.now + timedelta(seconds=3 * row),
            "product": (number + row) % 900,
            "quantity": 1 + row % 7,
            "amount": ((number * ROWS + row) % 9_973) / 100,
            "plan": ("free", "gold", "team")[row % 3],
        }
        for row in range(ROWS)
    ]


def seconds(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def plain_files(paths: list[Path], folder: Path) -> None:
    """Write the rows of each file into another file, synced."""
    import pyarrow.parquet as pq

    folder.mkdir()
    for number, path in enumerate(paths):
        with (folder / f"{number:05d}.parquet").open("wb") as stream:
            pq.write_table(pq.read_table(path), stream, compression="zstd")
            stream.flush()
            os.fsync(stream.fileno())


def plain_delta(paths: list[Path], folder: Path) -> list[float]:
    """Append the rows of each file to a Delta table, and return how long each append took."""
    import pyarrow.parquet as pq
    from deltalake import write_deltalake

    return [seconds(lambda path=path: write_deltalake(folder, pq.read_table(path), mode="append")) for path in paths]


def read_sum(orders: Versions, snapshot: Snapshot) -> float:
    """Read a version, all bytes checked, and add up one column."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = SnapshotRows(tuple(orders.read(snapshot)), snapshot.columns)
        return float(connection.execute(f"SELECT sum(amount) FROM ({rows.sql})").fetchall()[0][0])


def read_delta(folder: Path) -> float:
    """Read a Delta table by plain deltalake, and add up one column."""
    import pyarrow.compute as pc
    from deltalake import DeltaTable

    return float(pc.sum(DeltaTable(folder).to_pyarrow_table(columns=["amount"])["amount"]).as_py())


def measure(root: Path, *, appends: int) -> list[Figure]:
    """Return all figures."""
    orders = Versions.open(root / "ours", columns=dict(COLUMNS))
    assert all(arrow_type(kind) for kind in COLUMNS.values())
    batches = []
    for number in range(appends):
        batches.append(orders.checked(hour(number, orders)))
        orders.now += HOUR
    paths = [orders.artifacts.path_of(batch.rows) for batch in batches]
    parquet_s = seconds(lambda: plain_files(paths, root / "plain"))
    delta = plain_delta(paths, root / "delta")
    ours = [seconds(lambda batch=batch: orders.take(batch)) for batch in batches]
    return [
        *append_figures(ours, delta, parquet_s),
        *after_figures(orders, root / "delta"),
    ]


def append_figures(ours: list[float], delta: list[float], parquet_s: float) -> list[Figure]:
    appends = len(ours)
    tail = min(LAST, appends // 2)
    growth, delta_growth = (sum(each[-tail:]) / sum(each[:tail]) for each in (ours, delta))
    return [
        Figure(f"{appends} plain Parquet files", parquet_s, "s"),
        Figure(f"{appends} plain deltalake appends", sum(delta), "s", "plain Parquet", sum(delta) / parquet_s),
        Figure(
            f"{appends} takes (version, manifest, ledger)",
            sum(ours),
            "s",
            "plain deltalake appends",
            sum(ours) / sum(delta),
            "<= 1",
        ),
        Figure("  the same against plain files", sum(ours), "s", "plain Parquet", sum(ours) / parquet_s),
        Figure(
            "one take", 1000 * sum(ours) / appends, "ms", "FACTS: 85 ms a plain commit", sum(ours) / appends / 0.085
        ),
        Figure(f"last {tail} takes", sum(ours[-tail:]), "s", f"first {tail}", growth, "<= 2"),
        Figure(f"last {tail} deltalake appends", sum(delta[-tail:]), "s", f"first {tail}", delta_growth),
    ]


def after_figures(orders: Versions, delta: Path) -> list[Figure]:
    with orders.state.snapshot() as tx:
        last = newest(orders.name, tx)
    assert last is not None
    before_s = min(seconds(lambda: read_sum(orders, last)) for _ in range(3))
    theirs_before_s = min(seconds(lambda: read_delta(delta)) for _ in range(3))
    made: list[Snapshot] = []
    compact_s = seconds(lambda: made.append(orders.compact()))
    assert abs(read_sum(orders, made[0]) - read_sum(orders, last)) < 1e-3
    theirs_s = seconds(lambda: _optimize(delta))
    after_s = min(seconds(lambda: read_sum(orders, made[0])) for _ in range(3))
    theirs_after_s = min(seconds(lambda: read_delta(delta)) for _ in range(3))
    vacuum_s = seconds(orders.vacuum)
    return [
        Figure("read before compaction, bytes checked", before_s, "s", "plain deltalake", before_s / theirs_before_s),
        Figure("compaction", compact_s, "s", "deltalake optimize", compact_s / theirs_s),
        Figure("read after compaction, bytes checked", after_s, "s", "before", after_s / before_s),
        Figure("  the same against plain deltalake", after_s, "s", "plain deltalake", after_s / theirs_after_s),
        Figure("vacuum of all but the newest version", vacuum_s, "s"),
    ]


def _optimize(folder: Path) -> None:
    from deltalake import DeltaTable

    DeltaTable(folder).optimize.compact()


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--appends", type=int, default=APPENDS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report(measure(Path(folder), appends=arguments.appends), arguments.json)


if __name__ == "__main__":
    main()
