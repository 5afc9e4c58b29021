"""Several processes at once: each version has one winner, no row comes twice, and no reader sees half."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from keelway.engines.delta import DeltaTables
from keelway.engines.sql import SqlState
from keelway.errors import StorageError
from keelway.snapshot import newest, snapshots
from keelway.testing.processes import exit_codes_of, load_what_waits, read_until, take_the_same
from keelway.testing.versions import Versions

WRITERS, BATCHES = 3, 12


def test_of_many_that_take_one_batch_one_wins(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path)
    orders.numbers(1)
    orders.checked([{"customer": "c2", "amount": 2.0}])
    gate, told = tmp_path / "gate", [tmp_path / f"told {number}" for number in range(4)]
    gate.touch()
    assert exit_codes_of([(take_the_same, tmp_path, gate, each) for each in told]) == [0] * 4
    ends = [each.read_text() for each in told]
    assert ends.count("won") == 1
    assert set(ends) <= {"won", "lost", "late"}
    with orders.state.snapshot() as tx:
        last, every = newest("orders", tx), snapshots("orders", tx)
    assert last is not None
    assert len(every) == 2
    assert [row["amount"] for row in orders.rows(last)] == [1, 2]
    assert len(DeltaTable(tmp_path / "tables/orders").file_uris()) == 2


def test_writers_and_readers_at_once(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path)
    for number in range(1, BATCHES + 1):
        orders.checked([{"customer": f"c{number}", "amount": float(number)}])
    gate, read, told = tmp_path / "gate", tmp_path / "read", [tmp_path / f"told {each}" for each in range(WRITERS)]
    gate.touch()
    writers = [(load_what_waits, tmp_path, gate, each) for each in told]
    assert exit_codes_of([(read_until, tmp_path, BATCHES, read), *writers]) == [0] * (1 + WRITERS)
    with orders.state.snapshot() as tx:
        last, every = newest("orders", tx), snapshots("orders", tx)
    assert last is not None
    assert [each.number for each in every] == list(range(BATCHES, 0, -1))
    assert sum(int(each.read_text()) for each in told) == BATCHES, "each version has one winner"
    wanted = [float(number) for number in range(1, BATCHES + 1)]
    assert [row["amount"] for row in orders.rows(last)] == wanted
    assert sorted(DeltaTable(tmp_path / "tables/orders").to_pyarrow_table()["amount"].to_pylist()) == wanted
    assert int(read.read_text()) > 0


class Watching:
    """A table store that notes whether another writer may write to the state while it works."""

    def __init__(self, root: Path) -> None:
        self.inner: Any = DeltaTables.below(root / "tables")
        self.beside = SqlState(f"sqlite:///{root}/state.db", busy_timeout_ms=1)
        self.free: dict[str, bool] = {}

    def __getattr__(self, name: str) -> Any:
        def watched(*given: Any, **named: Any) -> Any:
            self.free[name] = self._is_free()
            return getattr(self.inner, name)(*given, **named)

        return watched

    def _is_free(self) -> bool:
        try:
            with self.beside.transaction():
                return True
        except StorageError:
            return False


def test_other_writers_wait_for_the_commit_alone(tmp_path: Path) -> None:
    Versions.open(tmp_path).state.close()
    tables = Watching(tmp_path)
    orders = Versions.open(tmp_path, tables=tables)
    orders.numbers(1)
    assert tables.free == {"stage": True, "commit": False, "tidy": True}
    tables.beside.close()
    orders.state.close()
