"""What differs between two versions: columns, rows, and how the values of each column are spread.

Rows are compared as they are, without the columns that say where they came from, and as often as they come. Files
that both versions list are not read for that: their rows cancel out. Where the contract names a key, a row that went
and a row that came under the same key are one changed row.

    found = diff(before, after, tables=tables, artifacts=artifacts, state=state)
    found.rows.added, found.rows.removed, found.rows.changed
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.contract import Contract
from keelway.core import ArtifactStore, Digest
from keelway.errors import UsageError
from keelway.snapshot.distribution import ColumnShift, column_shifts
from keelway.snapshot.manifest import Snapshot
from keelway.snapshot.ports import TableStore
from keelway.snapshot.read import files_of, read
from keelway.snapshot.rewrite import opened_duckdb
from keelway.snapshot.schema import PROVENANCE, WIDER, identifier, select_rows

if TYPE_CHECKING:
    import duckdb

    from keelway.ledger.ports import StateStore


@dataclass(frozen=True, slots=True)
class RowDiff:
    """How the rows of two versions differ.

    Attributes:
        key: The columns that name a row; empty where the contract has no key, and then no row counts as changed.
        same: Rows that both versions have.
        columns_changed: Column to the number of changed rows in which it differs.
    """

    key: tuple[str, ...]
    added: int
    removed: int
    changed: int
    same: int
    columns_changed: dict[str, int]


@dataclass(frozen=True, slots=True)
class SnapshotDiff:
    """What differs between two versions of a dataset.

    Attributes:
        before: Number of the one version, `after` of the other; their ids follow.
        columns_added: Columns that only the second has, `columns_removed` only the first.
        columns_retyped: Column to its two types.
        columns: Spread of each column that both have, by name.
    """

    dataset: str
    before: int
    after: int
    before_id: Digest
    after_id: Digest
    rows_before: int
    rows_after: int
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_retyped: dict[str, tuple[str, str]]
    rows: RowDiff
    columns: tuple[ColumnShift, ...]


def diff(
    before: Snapshot, after: Snapshot, *, tables: TableStore, artifacts: ArtifactStore, state: StateStore
) -> SnapshotDiff:
    """Compare two versions of a dataset; memory does not grow with their rows.

    Raises:
        UsageError: They are versions of different datasets.
    """
    if before.dataset != after.dataset:
        raise UsageError("These are versions of different datasets", expected=before.dataset, found=after.dataset)
    files = [files_of(each, artifacts) for each in (before, after)]
    paths = [read(each, tables=tables, artifacts=artifacts, state=state) for each in (before, after)]
    both = {file.path for file in files[0]} & {file.path for file in files[1]}
    own = [
        [path for file, path in zip(listed, found, strict=True) if file.path not in both]
        for listed, found in zip(files, paths, strict=True)
    ]
    shared = {name: kind for name, kind in after.columns.items() if name in before.columns and name not in PROVENANCE}
    columns = _common_columns(before.columns, after.columns)
    with tempfile.TemporaryDirectory(prefix="keelway-diff-") as folder:
        with opened_duckdb(Path(folder)) as connection:
            rows = _row_diff(connection, own[0], own[1], columns, key=_key(after, state), rows_after=after.rows)
        with opened_duckdb(Path(folder), threads=1) as connection:  # one thread, so that quantiles repeat
            wide = {name: columns[name] for name in shared}
            shifts = column_shifts(connection, select_rows(paths[0], wide), select_rows(paths[1], wide), wide)
    return SnapshotDiff(
        dataset=after.dataset,
        before=before.number,
        after=after.number,
        before_id=before.snapshot_id,
        after_id=after.snapshot_id,
        rows_before=before.rows,
        rows_after=after.rows,
        columns_added=tuple(name for name in after.columns if name not in before.columns),
        columns_removed=tuple(name for name in before.columns if name not in after.columns),
        columns_retyped={
            name: (before.columns[name], kind) for name, kind in shared.items() if before.columns[name] != kind
        },
        rows=rows,
        columns=shifts,
    )


def _common_columns(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Return the columns that either version has, each in the wider of its types."""
    found = {**before, **after}
    for name in before.keys() & after.keys():
        if (after[name], before[name]) in WIDER:
            found[name] = before[name]
    return {name: kind for name, kind in found.items() if name not in PROVENANCE}


def _key(snapshot: Snapshot, state: StateStore) -> tuple[str, ...]:
    with state.snapshot() as tx:
        return tx.by_digest(Contract, snapshot.contract).key


def _row_diff(
    connection: duckdb.DuckDBPyConnection,
    before: Sequence[Path],
    after: Sequence[Path],
    columns: Mapping[str, str],
    *,
    key: tuple[str, ...],
    rows_after: int,
) -> RowDiff:
    """Count the rows that came, went and changed; `times` says how much more often a row is there after than before."""
    names = ", ".join(identifier(name) for name in columns)
    connection.execute(
        f"CREATE TEMP TABLE moved AS SELECT {names}, sum(once) AS times FROM ("  # noqa: S608 - names are quoted
        f"SELECT *, 1 AS once FROM ({select_rows(after, columns)}) UNION ALL "
        f"SELECT *, -1 AS once FROM ({select_rows(before, columns)})) GROUP BY {names} HAVING times != 0"
    )
    if not key:
        query = (
            "SELECT coalesce(sum(times) FILTER (times > 0), 0), coalesce(-sum(times) FILTER (times < 0), 0) FROM moved"
        )
        added, removed = connection.execute(query).fetchall()[0]
        return RowDiff((), int(added), int(removed), 0, rows_after - int(added), {})
    others = [name for name in columns if name not in key]
    added, removed, changed, *each = connection.execute(_by_key(key, others)).fetchall()[0]
    return RowDiff(
        key=key,
        added=int(added),
        removed=int(removed),
        changed=int(changed),
        same=rows_after - int(added) - int(changed),
        columns_changed={name: int(count) for name, count in zip(others, each, strict=True) if count},
    )


def _by_key(key: Sequence[str], others: Sequence[str]) -> str:
    """Return the SELECT that pairs what came with what went under the same key."""
    names = ", ".join(identifier(name) for name in key)
    differs = "".join(
        f", max({identifier(name)}) FILTER (times > 0) IS DISTINCT FROM max({identifier(name)}) FILTER (times < 0) "
        f"AS d{index}"
        for index, name in enumerate(others)
    )
    counts = "".join(f", count_if(came = 1 AND went = 1 AND d{index})" for index in range(len(others)))
    return (
        "SELECT coalesce(sum(greatest(came - went, 0)), 0), coalesce(sum(greatest(went - came, 0)), 0), "  # noqa: S608
        f"coalesce(sum(least(came, went)), 0){counts} FROM ("
        "SELECT coalesce(sum(times) FILTER (times > 0), 0) AS came, coalesce(-sum(times) FILTER (times < 0), 0) AS went"
        f"{differs} FROM moved GROUP BY {names})"
    )
