"""Our tables, as others read them: plain deltalake, pyarrow by way of it, and DuckDB's own delta reader.

DuckDB's reader is an extension that is built for one version of DuckDB. Where an environment has both, name its Python:

    pip install duckdb==1.5.5 duckdb-extension-delta==1.5.5 duckdb-extension-httpfs==1.5.5 pytz
    KEELWAY_DUCKDB_DELTA=/path/to/python pytest tests/engines_delta/test_other_readers.py
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import obstore
import pytest
from deltalake import DeltaTable

from keelway.engines.delta import DeltaTables
from keelway.engines.delta import tables as module
from keelway.engines.obstore import open_store
from keelway.snapshot import Snapshot
from keelway.testing.seaweed import SeaweedServer, seaweed
from keelway.testing.versions import Versions

__all__ = ["seaweed"]  # the fixture

DUCKDB_DELTA = os.environ.get("KEELWAY_DUCKDB_DELTA", "")
READ_BY_DUCKDB = """
import importlib.util, json, pathlib, sys
import duckdb
url, version, secret = json.loads(sys.argv[1])
connection = duckdb.connect()
for name in ("httpfs", "delta"):
    root = pathlib.Path(importlib.util.find_spec(f"duckdb_extension_{name}").origin).parent
    connection.execute(f"LOAD '{next(root.rglob(name + '.duckdb_extension'))}'")
connection.execute("SET TimeZone = 'UTC'")
if secret:
    connection.execute(secret)
found = connection.sql(f"SELECT * FROM delta_scan('{url}', version := {version})")
print(json.dumps([dict(zip(found.columns, row)) for row in found.fetchall()], default=str))
"""


def as_text(rows: list[dict[str, Any]]) -> list[str]:
    """Return rows in an order and a form that every reader's values can be brought to."""
    return sorted(json.dumps({name: plain(value) for name, value in row.items()}, sort_keys=True) for row in rows)


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(sep=" ")  # as Python's `str` has it, which is what DuckDB's answer holds
    return value.isoformat() if isinstance(value, date) else value


def by_deltalake(url: str, snapshot: Snapshot, seaweed: SeaweedServer | None) -> list[dict[str, Any]]:
    options = {**seaweed.options, "allow_http": "true"} if seaweed else None
    return DeltaTable(url, version=snapshot.table_version, storage_options=options).to_pyarrow_table().to_pylist()


def by_a_dataset(url: str, snapshot: Snapshot, seaweed: SeaweedServer | None) -> list[dict[str, Any]]:
    options = {**seaweed.options, "allow_http": "true"} if seaweed else None
    table = DeltaTable(url, version=snapshot.table_version, storage_options=options)
    return [row for batch in table.to_pyarrow_dataset().to_batches() for row in batch.to_pylist()]


def by_duckdb(url: str, snapshot: Snapshot, seaweed: SeaweedServer | None) -> list[dict[str, Any]]:
    if not DUCKDB_DELTA:
        pytest.skip("KEELWAY_DUCKDB_DELTA names no Python that has DuckDB with its delta extension")
    secret = ""
    if seaweed:
        facts = {
            "KEY_ID": seaweed.options["access_key_id"],
            "SECRET": seaweed.options["secret_access_key"],
            "ENDPOINT": f"127.0.0.1:{seaweed.port}",
            "REGION": "us-east-1",
            "URL_STYLE": "path",
        }
        listed = ", ".join(f"{name} '{value}'" for name, value in facts.items())
        secret = f"CREATE SECRET (TYPE S3, USE_SSL false, {listed})"
    asked = json.dumps([url, snapshot.table_version, secret])
    done = subprocess.run([DUCKDB_DELTA, "-c", READ_BY_DUCKDB, asked], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


Reader = Callable[[str, Snapshot, SeaweedServer | None], list[dict[str, Any]]]
READERS = pytest.mark.parametrize(
    "reader", [by_deltalake, by_a_dataset, by_duckdb], ids=["deltalake", "pyarrow dataset", "duckdb"]
)


def history(orders: Versions) -> list[Snapshot]:
    """Versions that add rows, bring columns, widen types and are compacted."""
    day, noon = date(2026, 1, 2), datetime(2026, 1, 3, 12, 30, tzinfo=UTC)
    return [
        orders.add([{"customer": "ä", "n": 1, "day": day}], n="int64", day="date32[day]"),
        orders.add([{"customer": None, "n": 2, "day": None, "amount": 2.5}]),
        orders.add([{"customer": "c3", "n": 3, "day": day, "good": True}], good="bool"),
        orders.add([{"customer": "c4", "n": 4.5, "day": noon}], n="double", day="timestamp[us, tz=UTC]"),
        orders.add([{"customer": "c5", "n": 5.5, "day": noon}]),
        orders.compact(),
        orders.add([{"customer": "c6", "n": 6.5, "day": noon}]),
    ]


def ours(orders: Versions, snapshot: Snapshot) -> list[dict[str, Any]]:
    import duckdb

    from keelway.snapshot import SnapshotRows

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.sql(SnapshotRows(tuple(orders.read(snapshot)), snapshot.columns).sql).to_arrow_table()
    return [dict(row) for row in rows.to_pylist()]


@READERS
def test_every_version_on_this_machine_reads_the_same(tmp_path: Path, reader: Reader) -> None:
    orders = Versions.open(tmp_path)
    for snapshot in history(orders):
        found = reader(str(tmp_path / "tables/orders"), snapshot, None)
        assert as_text(found) == as_text(ours(orders, snapshot)), f"version {snapshot.number}"


@READERS
def test_every_version_on_an_object_store_reads_the_same(
    seaweed: SeaweedServer, tmp_path: Path, reader: Reader
) -> None:
    bucket = seaweed.bucket()
    obstore.put(open_store(f"s3://{bucket}", seaweed.options).client, "ready", b"")
    url = f"s3://{bucket}/tables"
    tables = DeltaTables.at(
        url, open_store(url, seaweed.options).client, options=seaweed.options, cache=tmp_path / "cache"
    )
    orders = Versions.open(tmp_path, tables=tables)
    for snapshot in history(orders):
        found = reader(f"{url}/orders", snapshot, seaweed)
        assert as_text(found) == as_text(ours(orders, snapshot)), f"version {snapshot.number}"


@READERS
def test_a_table_with_checkpoints_reads_the_same(
    tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", 5)
    orders = Versions.open(tmp_path)
    taken = [orders.numbers(number) for number in range(12)]
    assert list((tmp_path / "tables/orders/_delta_log").glob("*.checkpoint.parquet"))
    for snapshot in (taken[4], taken[6], taken[11]):
        found = reader(str(tmp_path / "tables/orders"), snapshot, None)
        assert as_text(found) == as_text(ours(orders, snapshot)), f"version {snapshot.number}"
