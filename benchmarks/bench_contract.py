"""A contract check with quarantine, against hand-written DuckDB queries and Great Expectations, on the same files.

Ten rules on orders of eight columns, a unique key and a foreign key among them; one row in a hundred is bad. Each
candidate runs in a process of its own, libraries already imported; the best of some rounds counts, and they take
turns. Great Expectations does the rules it has (no foreign key) on a pandas frame, read from the same file within
its time, against the check of the same rules; without it that line says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from _figures import Figure, report

if TYPE_CHECKING:
    from keelway.contract import Contract

HAND, COPY, PEER = "hand-written DuckDB queries", "DuckDB's COPY", "great_expectations"
ALIKE = "check without the foreign key"
CUSTOMERS = 500_000
MEGABYTE = 1024  # ru_maxrss counts KiB
ROW_TESTS = {
    "order_id: missing": "order_id IS NULL",
    "customer_id: missing": "customer_id IS NULL",
    "day: not below 2026-06-01": "day >= DATE '2026-06-01'",
    "amount: below 0": "amount < 0",
    "quantity: below 1": "quantity < 1",
    "quantity: above 20": "quantity > 20",
    "channel: not an allowed value": "channel NOT IN ('web', 'shop', 'phone', 'app')",
    "sku: does not match ^SKU-[0-9]{6}$": "NOT regexp_matches(sku, '^SKU-[0-9]{6}$')",
}
MADE = """SELECT CASE WHEN i % 1000 = 7 THEN i - 1 ELSE i END AS order_id,
    CASE WHEN i % 1000 = 17 THEN {customers} + i % 97 ELSE CAST(hash(i) % {customers} AS BIGINT) END AS customer_id,
    DATE '2026-01-01' + CAST(i % 90 AS INTEGER) AS day,
    TIMESTAMP '2026-01-01' + to_seconds(i) AS moment,
    CASE WHEN i % 1000 IN (27, 37) THEN -1.0 ELSE CAST(hash(i * 7) % 100000 AS DOUBLE) / 100 END AS amount,
    CASE WHEN i % 1000 IN (47, 57) THEN 0 ELSE 1 + CAST(hash(i * 3) % 20 AS BIGINT) END AS quantity,
    CASE WHEN i % 1000 IN (67, 77) THEN 'fax' ELSE ['web', 'shop', 'phone', 'app'][CAST(1 + hash(i * 5) % 4 AS BIGINT)]
        END AS channel,
    CASE WHEN i % 1000 IN (87, 97) THEN 'SKU' ELSE 'SKU-' || lpad(CAST(hash(i * 11) % 5000 AS VARCHAR), 6, '0')
        END AS sku
FROM range({rows}) made(i)"""


def make(folder: Path, rows: int) -> None:
    """Write the orders, as Parquet and as CSV, and the customers they refer to."""
    import duckdb

    query = MADE.format(customers=CUSTOMERS, rows=rows)
    with duckdb.connect(config={"memory_limit": "1GB", "temp_directory": str(folder / "spill")}) as connection:
        connection.execute(f"COPY ({query}) TO '{folder}/orders.parquet' (ROW_GROUP_SIZE 131072)")
        connection.execute(f"COPY (FROM '{folder}/orders.parquet') TO '{folder}/orders.csv' (HEADER)")
        customers = f"SELECT i AS customer_id FROM range({CUSTOMERS}) made(i)"
        connection.execute(f"COPY ({customers}) TO '{folder}/customers.parquet'")


def by_keelway(folder: Path, name: str, *, keep: bool, references: bool = True) -> dict[str, int]:
    """Check one file, and return how many rows break what.

    Args:
        keep: Whether the rows that break nothing are written too.
        references: Whether the foreign key is among the rules.
    """
    from keelway.contract import Against
    from keelway.core import Digest
    from keelway.engines.local.checker import DuckDbChecker
    from keelway.ingest import RawFile

    path = folder / name
    file = RawFile(name, Digest("sha256:" + "0" * 64), path.stat().st_size, datetime(2026, 4, 1, tzinfo=UTC), None)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        found = DuckDbChecker().check(
            [(file, path)],
            contract(references=references),
            event_time="day",
            folder=Path(out),
            against=Against(references={"customers": (folder / "customers.parquet",)}),
            keep=keep,
        )
    return found.reasons


def contract(*, references: bool) -> Contract:
    """Return the contract that asks the same."""
    from keelway.contract import Column, Contract, Rule, RuleKind, UnknownColumns
    from keelway.core import digest_bytes

    kinds = {
        "order_id": "integer", "customer_id": "integer", "day": "date", "moment": "timestamp", "amount": "number",
        "quantity": "integer", "channel": "string", "sku": "string",
    }  # fmt: skip
    rules = (
        Rule(RuleKind.REQUIRED, ("order_id",), "order_id: missing"),
        Rule(RuleKind.REQUIRED, ("customer_id",), "customer_id: missing"),
        Rule(RuleKind.REQUIRED, ("day",), "day: missing"),
        Rule(RuleKind.MAXIMUM, ("day",), "day: not below 2026-06-01", maximum="2026-06-01", exclusive=True),
        Rule(RuleKind.MINIMUM, ("amount",), "amount: below 0", minimum="0"),
        Rule(RuleKind.MINIMUM, ("quantity",), "quantity: below 1", minimum="1"),
        Rule(RuleKind.MAXIMUM, ("quantity",), "quantity: above 20", maximum="20"),
        Rule(RuleKind.ALLOWED, ("channel",), "channel: not an allowed value", allowed=("web", "shop", "phone", "app")),
        Rule(RuleKind.PATTERN, ("sku",), "sku: does not match ^SKU-[0-9]{6}$", text="^SKU-[0-9]{6}$"),
        Rule(RuleKind.UNIQUE, ("order_id",), "order_id: repeats an earlier row"),
        Rule(
            RuleKind.REFERENCE, ("customer_id",), "customer_id: not in customers", dataset="customers",
            references=("customer_id",),
        ),
    )  # fmt: skip
    columns = tuple(
        Column(name, kind, required=name in ("order_id", "customer_id", "day")) for name, kind in kinds.items()
    )
    return Contract(
        dataset="orders", contract_id="orders", version="1.0.0", columns=columns, key=(),
        rules=tuple(rule for rule in rules if references or rule.kind is not RuleKind.REFERENCE),
        unknown_columns=UnknownColumns.IGNORE, stop_at_quarantined_share=1.0, format="", delimiter=",", quote='"',
        encoding="utf-8", final_newline=True, owner="", max_age_s=None, source=digest_bytes(b""), text="",
    )  # fmt: skip


def by_hand(folder: Path) -> dict[str, int]:
    """Count what breaks each rule: one query for the rules on a row, one each for the key and the foreign key."""
    import duckdb

    orders, customers = (f"'{folder}/{name}.parquet'" for name in ("orders", "customers"))
    counts = ", ".join(f"count_if({test})" for test in ROW_TESTS.values())
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT {counts} FROM {orders}").fetchall()[0]
        reasons = dict(zip(ROW_TESTS, found, strict=True))
        repeated = f"SELECT count(order_id) - count(DISTINCT order_id) FROM {orders}"
        reasons["order_id: repeats an earlier row"] = connection.execute(repeated).fetchall()[0][0]
        without = f"SELECT count(*) FROM {orders} WHERE customer_id NOT IN (SELECT customer_id FROM {customers})"
        reasons["customer_id: not in customers"] = connection.execute(without).fetchall()[0][0]
    return {reason: count for reason, count in reasons.items() if count}


def by_copy(folder: Path) -> dict[str, int]:
    """Write the rows that break nothing."""
    import duckdb

    orders, customers = (f"'{folder}/{name}.parquet'" for name in ("orders", "customers"))
    good = " AND ".join(f"NOT ({test})" for test in ROW_TESTS.values())
    query = (
        f"SELECT * FROM {orders} WHERE {good} AND customer_id IN (SELECT customer_id FROM {customers}) "
        f"AND order_id NOT IN (SELECT order_id FROM {orders} GROUP BY order_id HAVING count(*) > 1)"
    )
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{folder}/by_hand.parquet' (COMPRESSION zstd)")
    return {}


def by_copy_of_csv(folder: Path) -> dict[str, int]:
    """Turn the CSV into Parquet, without a look at the rows."""
    import duckdb

    with duckdb.connect() as connection:
        target = f"'{folder}/of_csv.parquet' (COMPRESSION zstd)"
        connection.execute(f"COPY (SELECT * FROM read_csv('{folder}/orders.csv')) TO {target}")
    return {}


def by_great_expectations(folder: Path) -> dict[str, int]:
    """Validate a pandas frame by the rules that Great Expectations has."""
    import great_expectations as gx
    import pandas as pd

    frame = pd.read_parquet(folder / "orders.parquet")
    context = gx.get_context(mode="ephemeral")
    expect = gx.expectations
    suite = gx.ExpectationSuite(name="orders", expectations=[
        expect.ExpectColumnValuesToNotBeNull(column="order_id"),
        expect.ExpectColumnValuesToNotBeNull(column="customer_id"),
        expect.ExpectColumnValuesToBeBetween(
            column="day", max_value=datetime(2026, 6, 1, tzinfo=UTC).date(), strict_max=True
        ),
        expect.ExpectColumnValuesToBeBetween(column="amount", min_value=0),
        expect.ExpectColumnValuesToBeBetween(column="quantity", min_value=1, max_value=20),
        expect.ExpectColumnValuesToBeInSet(column="channel", value_set=["web", "shop", "phone", "app"]),
        expect.ExpectColumnValuesToMatchRegex(column="sku", regex="^SKU-[0-9]{6}$"),
        expect.ExpectColumnValuesToBeUnique(column="order_id"),
    ])  # fmt: skip
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("orders")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(batch_parameters={"dataframe": frame})
    result = batch.validate(suite, result_format="BASIC")
    counts = {found.expectation_config.type: found.result["unexpected_count"] for found in result.results}
    return {name: int(count) for name, count in counts.items() if count}


CANDIDATES: dict[str, Callable[[Path], dict[str, int]]] = {
    "check": lambda folder: by_keelway(folder, "orders.parquet", keep=False),
    ALIKE: lambda folder: by_keelway(folder, "orders.parquet", keep=False, references=False),
    "check and keep": lambda folder: by_keelway(folder, "orders.parquet", keep=True),
    "check and keep CSV": lambda folder: by_keelway(folder, "orders.csv", keep=True),
    HAND: by_hand,
    COPY: by_copy,
    f"{COPY} of CSV": by_copy_of_csv,
    PEER: by_great_expectations,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One candidate's best round."""

    seconds: float
    rss_mb: float
    reasons: dict[str, int]


def child(name: str, folder: Path) -> None:
    """Run one candidate and print what it took."""
    for library in ("duckdb", "pyarrow.parquet", "ibis", "pandas") if name != PEER else ("pandas", PEER):
        importlib.import_module(library)
    if name != PEER:
        import ibis

        ibis.to_sql(ibis.table({"n": "int64"}, name="t"), dialect="duckdb")  # imports what it needs at first use
    begun = time.perf_counter()
    reasons = CANDIDATES[name](folder)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
    print(json.dumps({"seconds": seconds, "rss_mb": peak, "reasons": reasons}))


def measured(names: list[str], folder: Path, rounds: int) -> dict[str, Measured]:
    """Run candidates in turn, and return the best round of each."""
    best: dict[str, Measured] = {}
    for _ in range(rounds):
        for name in names:
            command = [sys.executable, __file__, "--child", name, "--folder", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{name} failed: {done.stderr[-2000:]}")
            found = Measured(**json.loads(done.stdout.splitlines()[-1]))
            if name not in best or found.seconds < best[name].seconds:
                best[name] = found
    return best


def figures(best: dict[str, Measured], rows: int) -> list[Figure]:
    """Return what was measured."""
    check, alike, kept, csv = (best[name] for name in ("check", ALIKE, "check and keep", "check and keep CSV"))
    agree = check.reasons == best[HAND].reasons
    shown = [
        Figure(f"check of {rows:,} rows", check.seconds, "s", HAND, check.seconds / best[HAND].seconds, "<= 1.5"),
        Figure("rows that break a rule, by both alike", sum(check.reasons.values()) if agree else None,
               "rows" if agree else f"{check.reasons} and {best[HAND].reasons}"),
        Figure("peak memory of the check", check.rss_mb, "MB", aim="<= 600"),
        Figure("check and write", kept.seconds, "s", COPY, kept.seconds / best[COPY].seconds),
        Figure("peak memory of check and write", kept.rss_mb, "MB", aim="<= 600"),
        Figure("CSV, check and write", csv.seconds, "s", f"{COPY} of CSV", csv.seconds / best[f"{COPY} of CSV"].seconds),
        Figure("peak memory of CSV, check and write", csv.rss_mb, "MB", aim="<= 600"),
    ]  # fmt: skip
    if PEER in best:
        peer = best[PEER]
        shown += [
            Figure(f"{PEER}, without the foreign key", peer.seconds, "s", f"the {ALIKE}", peer.seconds / alike.seconds, ">= 5"),
            Figure(f"peak memory of {PEER}", peer.rss_mb, "MB"),
        ]  # fmt: skip
    else:
        shown.append(Figure(PEER, None, "it is not installed"))
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=list(CANDIDATES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="keeps the generated files here for another run")
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        if not (folder / "customers.parquet").exists():
            make(folder, arguments.rows)
        names = [name for name in CANDIDATES if name != PEER or importlib.util.find_spec(PEER)]
        report(figures(measured(names, folder, arguments.rounds), arguments.rows), arguments.json)


if __name__ == "__main__":
    main()
