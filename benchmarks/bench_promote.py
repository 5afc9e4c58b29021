"""Promotion on SQLite and PostgreSQL: its latency, and that of the plain transaction that writes the same rows.

What is measured is `promote.promote`: signature and bytes checked, evidence gathered, a policy evaluated, then evidence,
admission, pointer and ledger entry written. The floor is the database's own work: the rows that one promotion wrote,
written again under other keys by bare `sqlite3` or psycopg, with one commit on the disk. Both are measured in turn.
"""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import pytest
from _figures import Figure, report

from keelway.promote import environment_pointer, promote
from keelway.register import ModelVersion
from keelway.testing.light import CI, KEY, PROD, RULES, START, LightDoor, make_bytes_up
from keelway.testing.postgres import running_postgres

TABLES = {"records": 6, "log_leaves": 3, "log_nodes": 3}
"""The tables that a promotion adds rows to, and how many columns a row is written with."""
INSERTS = {
    "records": "INSERT INTO records (kind, key, parent, at, digest, body) VALUES",
    "log_leaves": 'INSERT INTO log_leaves ("index", data, digest) VALUES',
    "log_nodes": 'INSERT INTO log_nodes (level, "index", hash) VALUES',
}
MOVE = "UPDATE pointers SET revision = revision + 1"
FAR = 1_000_000_000
"""Added to the places of the floor's rows in the log, far behind the real ones."""


class Plain:
    """The rows of one promotion, written over and over by the driver alone."""

    def __init__(self, url: str) -> None:
        self._sqlite = url.startswith("sqlite:")
        mark = "?" if self._sqlite else "%s"
        self._statements = {
            table: f"{INSERTS[table]} ({', '.join([mark] * columns)})" for table, columns in TABLES.items()
        }
        if self._sqlite:
            self.connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
            for setting in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 30000"):
                self.connection.execute(f"PRAGMA {setting}")
        else:
            import psycopg

            self.connection = psycopg.connect(url, autocommit=True)

    def sizes(self) -> dict[str, int]:
        return {table: self.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}

    def newest(self, grown: dict[str, int]) -> dict[str, list[tuple[Any, ...]]]:
        """Return so many of the last rows of each table."""
        found = {
            "records": "SELECT kind, key, parent, at, digest, body FROM records ORDER BY seq DESC",
            "log_leaves": 'SELECT "index", data, digest FROM log_leaves ORDER BY "index" DESC',
            "log_nodes": 'SELECT level, "index", hash FROM log_nodes ORDER BY "index" DESC, level',
        }
        return {
            table: self.connection.execute(f"{query} LIMIT {grown[table]}").fetchall() for table, query in found.items()
        }

    def write(self, rows: dict[str, list[tuple[Any, ...]]], turn: int) -> None:
        """Write the rows under keys that are free, in one transaction."""
        place = FAR + turn
        fresh = {
            "records": [(row[0], f"floor {turn} {row[1]}", *row[2:]) for row in rows["records"]],
            "log_leaves": [(place, *row[1:]) for row in rows["log_leaves"]],
            "log_nodes": [(100 + number, place, row[2]) for number, row in enumerate(rows["log_nodes"])],
        }
        self.connection.execute("BEGIN IMMEDIATE" if self._sqlite else "BEGIN")
        for table, values in fresh.items():
            for row in values:
                self.connection.execute(self._statements[table], row)
        self.connection.execute(MOVE)
        self.connection.execute("COMMIT")

    def forget(self) -> None:
        """Take the floor's rows out again: the ledger must not end behind them."""
        for table in ("log_leaves", "log_nodes"):
            self.connection.execute(f'DELETE FROM {table} WHERE "index" >= {FAR}')
        self.connection.execute("DELETE FROM records WHERE key LIKE 'floor %'")


def timed(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes, in milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def percentile(times: Sequence[float], share: int) -> float:
    return quantiles(times, n=100, method="inclusive")[share - 1]


def promotions(door: LightDoor) -> Iterator[Callable[[], object]]:
    """Yield one promotion after another: two versions take turns in an environment that asks for no approval."""
    rules = replace(RULES, approvals=0)
    versions = door.versions()
    for turn in itertools.count():
        version, now = versions[turn % 2], START + timedelta(seconds=turn)
        yield lambda version=version, now=now: promote(
            version, environment=rules, principal=CI, state=door.state, artifacts=door.artifacts, engine=door.engine,
            public_key=KEY.public, tracker=door.tracker, now=now,
        )  # fmt: skip


def read_champion(door: LightDoor) -> ModelVersion:
    with door.state.snapshot() as tx:
        pointer = tx.pointer(environment_pointer(PROD, "churn"))
        assert pointer is not None
        return tx.by_digest(ModelVersion, pointer.target)


def figures(name: str, door: LightDoor, plain: Plain, count: int) -> list[Figure]:
    """Measure promotion, floor and read in turn."""
    coming = promotions(door)
    for _ in range(3):
        next(coming)()
    before = plain.sizes()
    next(coming)()
    rows = plain.newest({table: size - before[table] for table, size in plain.sizes().items()})
    lasted, floor, reads, bare = [], [], [], []
    for turn in range(count):
        lasted.append(timed(next(coming)))
        floor.append(timed(lambda: plain.write(rows, turn)))  # noqa: B023 - called at once
        plain.forget()
        reads.append(timed(lambda: read_champion(door)))
        bare.append(timed(lambda: bare_read(plain)))
    written = sum(map(len, rows.values()))
    return [
        Figure(f"{name}: promote, p50", median(lasted), "ms", f"the {written} rows in one plain transaction, p50",
               median(lasted) / median(floor)),
        Figure(f"{name}: promote, p99", percentile(lasted, 99), "ms", "the plain transaction, p99",
               percentile(lasted, 99) / percentile(floor, 99)),
        Figure(f"{name}: the plain transaction, p50", median(floor), "ms"),
        Figure(f"{name}: read the champion, p50", median(reads), "ms", "two bare selects, p50",
               median(reads) / median(bare)),
        Figure(f"{name}: read the champion, p99", percentile(reads, 99), "ms", "two bare selects, p99",
               percentile(reads, 99) / percentile(bare, 99)),
    ]  # fmt: skip


def bare_read(plain: Plain) -> object:
    """Read pointer and record as the driver does, nothing checked."""
    wanted = f"SELECT target FROM pointers WHERE name = '{environment_pointer(PROD, 'churn')}'"
    (target,) = plain.connection.execute(wanted).fetchone()
    return plain.connection.execute(f"SELECT body FROM records WHERE digest = '{target}'").fetchone()


def filled(folder: Path, url: str) -> LightDoor:
    """Return a project with two registered versions."""
    door = LightDoor(folder, url)
    for name in ("one", "two"):
        door.register(name, START)
    return door


def measured(name: str, folder: Path, url: str, count: int) -> list[Figure]:
    with closing(filled(folder / name, url)) as door:
        plain = Plain(url)
        try:
            return figures(name, door, plain, count)
        finally:
            plain.connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--count", type=int, default=300)
    words = parser.parse_args()
    make_bytes_up()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = measured("SQLite", folder, f"sqlite:///{folder / 'state.db'}", words.count)
        try:
            with running_postgres(disk=True) as server:
                found += measured("PostgreSQL", folder, server.database(), words.count)
        except pytest.skip.Exception as reason:
            found.append(Figure("PostgreSQL: promote, p50", None, str(reason)))
    report(found, words.json)


if __name__ == "__main__":
    main()
