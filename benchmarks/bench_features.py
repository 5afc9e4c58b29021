"""Features of each customer as of one cut date: ours, hand-written DuckDB SQL and pandas on the same Parquet file.

Ours does more than the others: it cuts by what was known, adds up without loss (so that the same rows give the same bytes on
any number of threads), profiles and stores the table. The SQL is measured up to an Arrow table in memory, on all threads and
on one, and up to a sorted Parquet file. Every way runs in a process of its own, once on a small file before; `--rounds` repeats
all in turn and medians are told. Peak memory is that of the process. The answers are compared before a figure is told.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _figures import Figure, report

from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.features import build_features, rows_of
from keelway.features.blocks import (
    distinct_count,
    mean_gap,
    mean_of,
    over_windows,
    recency,
    tenure,
    total,
    trend,
    window_count,
    window_sum,
)
from keelway.features.compute import feature_rows, opened
from keelway.project import Cuts, Estimator, Label, Model, feature_set
from keelway.snapshot import SnapshotRows
from keelway.testing.features import ORDERS, ShopSnapshot

ROWS, ROWS_A_CUSTOMER = 10_000_000, 20
CUT = datetime(2026, 1, 1, tzinfo=UTC)
BY_HAND = """
SELECT customer AS entity,
  date_diff('second', max(ordered_at), $cut) / 86400.0 AS recency_d,
  date_diff('second', min(ordered_at), $cut) / 86400.0 AS tenure_d,
  date_diff('second', min(ordered_at), max(ordered_at)) / 86400.0 / nullif(count(*) - 1, 0) AS gap_d,
  count(*)::DOUBLE AS frequency, sum(amount) AS spent, avg(amount) AS mean, count(DISTINCT kind)::DOUBLE AS kinds,
  coalesce(count(*) FILTER (ordered_at >= $cut - INTERVAL 7 DAY), 0)::DOUBLE AS orders_7d,
  coalesce(count(*) FILTER (ordered_at >= $cut - INTERVAL 30 DAY), 0)::DOUBLE AS orders_30d,
  coalesce(count(*) FILTER (ordered_at >= $cut - INTERVAL 90 DAY), 0)::DOUBLE AS orders_90d,
  coalesce(sum(amount) FILTER (ordered_at >= $cut - INTERVAL 7 DAY), 0) AS spent_7d,
  coalesce(sum(amount) FILTER (ordered_at >= $cut - INTERVAL 30 DAY), 0) AS spent_30d,
  coalesce(sum(amount) FILTER (ordered_at >= $cut - INTERVAL 90 DAY), 0) AS spent_90d,
  (orders_30d - count(*) FILTER (ordered_at >= $cut - INTERVAL 60 DAY AND ordered_at < $cut - INTERVAL 30 DAY))
    / nullif(count(*) FILTER (ordered_at >= $cut - INTERVAL 60 DAY), 0) AS trend
FROM read_parquet($path) WHERE ordered_at < $cut AND _known_at < $cut GROUP BY customer
"""


@feature_set(entity="customer", sources=[ORDERS])
def activity(orders: Any, as_of: Any) -> Any:
    """Fourteen features of a customer."""
    at = orders.ordered_at
    return orders.group_by("customer").agg(
        recency_d=recency(at, as_of),
        tenure_d=tenure(at, as_of),
        gap_d=mean_gap(at),
        frequency=orders.count(),
        spent=total(orders.amount),
        mean=mean_of(orders.amount),
        kinds=distinct_count(orders.kind),
        **over_windows("orders", window_count, at, as_of=as_of),
        **over_windows("spent", window_sum, orders.amount, at, as_of=as_of),
        trend=trend(at, as_of, days=30),
    )


@Label.define(entity="customer", source=ORDERS, horizon="30d", absent=1)
def churned(orders: Any, as_of: Any) -> Any:
    """Not asked for here; a model needs one."""
    return orders.group_by("customer").agg(churned=0 * orders.count())


MODEL = Model("bench", features=[activity], label=churned, cuts=Cuts(CUT), estimators=[Estimator("one", "x.Y")])


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long a piece of work takes, and its answer."""
    begun = time.perf_counter()
    answer = work()
    return time.perf_counter() - begun, answer


def events(path: Path, rows: int) -> None:
    """Write orders of two years, known an hour after they happened; amounts are in cents."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"""
            COPY (
              SELECT *, ordered_at + INTERVAL 1 HOUR AS _known_at FROM (
                SELECT 'c' || (hash(range) % {max(1, rows // ROWS_A_CUSTOMER)}) AS customer,
                  TIMESTAMPTZ '2024-06-01' + to_seconds((hash(range + 1) % 63072000)::BIGINT) AS ordered_at,
                  (hash(range + 2) % 1000000) / 100.0 AS amount,
                  'kind ' || (hash(range + 3) % 12) AS kind
                FROM range({rows}))
            ) TO '{path}' (FORMAT parquet, COMPRESSION zstd)""")


def by_hand(path: Path, *, threads: int | None = None, stored: Path | None = None) -> Any:
    """Return the features by SQL written for DuckDB, as an Arrow table; or store them sorted, as Parquet."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if threads:
            connection.execute(f"SET threads = {threads}")
        if stored is None:
            return connection.sql(BY_HAND, params={"cut": CUT, "path": str(path)}).to_arrow_table()
        query = BY_HAND.replace("$cut", f"TIMESTAMPTZ '{CUT.isoformat()}'").replace("$path", f"'{path}'")
        connection.execute(f"COPY ({query} ORDER BY entity) TO '{stored}' (FORMAT parquet, COMPRESSION zstd)")
        return None


def by_pandas(path: Path) -> Any:
    """Return the features by pandas."""
    import pandas as pd

    rows = pd.read_parquet(path)
    rows = rows[(rows.ordered_at < CUT) & (rows._known_at < CUT)]
    age_d = (CUT - rows.ordered_at).dt.total_seconds() / 86_400
    for days in (7, 30, 60, 90):
        inside = age_d <= days
        rows[f"orders_{days}d"] = inside.astype("float64")
        rows[f"spent_{days}d"] = rows.amount.where(inside, 0.0)
    grouped = rows.assign(age_d=age_d).groupby("customer")
    summed = grouped[[f"{what}_{days}d" for what in ("orders", "spent") for days in (7, 30, 60, 90)]].sum()
    ages = grouped.age_d.agg(["min", "max", "count"])
    amounts = grouped.amount.agg(["sum", "mean"])
    earlier = summed.orders_60d - summed.orders_30d
    return summed.drop(columns=["orders_60d", "spent_60d"]).assign(
        recency_d=ages["min"], tenure_d=ages["max"], frequency=ages["count"].astype("float64"),
        gap_d=(ages["max"] - ages["min"]) / (ages["count"] - 1).where(ages["count"] > 1),
        spent=amounts["sum"], mean=amounts["mean"], kinds=grouped.kind.nunique().astype("float64"),
        trend=(summed.orders_30d - earlier) / (summed.orders_30d + earlier).where(summed.orders_60d > 0),
    )  # fmt: skip


def ours(path: Path, folder: Path) -> Any:
    """Return the features as Keelway builds, profiles and stores them."""
    artifacts = LocalArtifacts(folder / "artifacts")
    state = SqlState(f"sqlite:///{folder / 'state.db'}")
    table = build_features(
        MODEL, {"orders": snapshot()}, as_ofs=(CUT,), purpose="scoring", with_label=False, now=CUT,
        paths_of=lambda _: [path], artifacts=artifacts, state=state,
    )  # fmt: skip
    return rows_of(table, artifacts)


def snapshot() -> ShopSnapshot:
    """Return the record of the file."""
    time_type = "timestamp[us, tz=UTC]"
    columns = {"customer": "string", "ordered_at": time_type, "amount": "double", "kind": "string"}
    return ShopSnapshot("orders", 1, CUT, {**columns, "_known_at": time_type})


def in_parts(path: Path) -> dict[str, float]:
    """Return where our time goes, in seconds: computing, and what is left to do with the rows."""
    with opened([ORDERS], {"orders": SnapshotRows((path,), snapshot().columns)}) as tables:
        return {"compute": seconds(lambda: feature_rows(activity, tables, as_ofs=(CUT,)))[0]}


WAYS: dict[str, Callable[[Path, Path], Any]] = {
    "SQL": lambda path, folder: by_hand(path),
    "SQL on one thread": lambda path, folder: by_hand(path, threads=1),
    "SQL into a Parquet file": lambda path, folder: by_hand(path, stored=folder / "by_hand.parquet"),
    "pandas": lambda path, folder: by_pandas(path).reset_index(names="entity"),
    "build_features": ours,
}


def one_way(name: str, folder: Path) -> None:
    """Go one way in this process; print seconds, seconds of all cores and peak memory, and leave the answer in the folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(dir=folder) as cold, tempfile.TemporaryDirectory(dir=folder) as own:
        WAYS[name](folder / "warm.parquet", Path(cold))
        cpu = time.process_time()
        took, answer = seconds(lambda: WAYS[name](folder / "orders.parquet", Path(own)))
        cpu = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if answer is not None:
        pq.write_table(answer if isinstance(answer, pa.Table) else pa.table(answer), folder / f"{name}.parquet")
    sys.stdout.write(json.dumps({"seconds": took, "cpu": cpu, "peak": peak}))


def gone(name: str, folder: Path) -> dict[str, float]:
    """Go one way in a process of its own."""
    command = [sys.executable, __file__, "--way", name, "--folder", str(folder)]
    told: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return told


def compared(mine: Any, theirs: Any) -> None:
    """Refuse to tell figures of answers that are not the same."""
    import numpy as np

    left, right = (table.to_pandas().set_index("entity") for table in (mine, theirs))
    right = right.reindex(left.index)
    for name in right.columns:
        np.testing.assert_allclose(left[name].astype(float), right[name].astype(float), rtol=1e-9, err_msg=name)


def measure(folder: Path, *, rows: int, rounds: int, with_parts: bool) -> list[Figure]:
    """Return all figures."""
    import pyarrow.parquet as pq

    events(folder / "warm.parquet", 1_000)
    events(folder / "orders.parquet", rows)
    runs = [{name: gone(name, folder) for name in WAYS} for _ in range(rounds)]
    answers = {name: pq.read_table(folder / f"{name}.parquet") for name in ("build_features", "SQL", "pandas")}
    for name in ("SQL", "pandas"):
        compared(answers["build_features"], answers[name])
    figures = []
    for name in WAYS:
        took, peak = (statistics.median(run[name][each] for run in runs) for each in ("seconds", "peak"))
        figures.append(Figure(f"{rows:,} events by {name}", took, "s"))
        figures.append(Figure("  peak memory", peak / 1e6, "MB"))
    for peer, aim in (("SQL", "<= 1.3"), ("SQL on one thread", ""), ("SQL into a Parquet file", ""), ("pandas", "< 1")):
        for each, what in (("seconds", "time"), ("cpu", "seconds of all cores")):
            ratios = [run["build_features"][each] / run[peer][each] for run in runs]
            least, most = min(ratios), max(ratios)
            name = f"build_features, {what}, {rounds} rounds from {least:.2f} to {most:.2f}"
            ours_s = statistics.median(run["build_features"][each] for run in runs)
            figures.append(Figure(name, ours_s, "s", peer, statistics.median(ratios), aim))
    if with_parts:
        figures += [
            Figure(f"  of ours: {name}", took, "s") for name, took in in_parts(folder / "orders.parquet").items()
        ]
    return figures


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        one_way(given.way, given.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        report(measure(Path(folder), rows=given.rows, rounds=given.rounds, with_parts=given.parts), given.json)


if __name__ == "__main__":
    main()
