"""Killed at any write, a compaction or a load that widens a type ends, when it is done again, as if nothing happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import DeltaTable

from keelway.testing.crash import EXIT_CODE, stride
from keelway.testing.processes import compact_and_die, exit_code_of, outcome, pending_wide, widen_and_die
from keelway.testing.versions import HOUR, START, Versions


def prepared(root: Path) -> Versions:
    orders = Versions.open(root, columns={"customer": "string", "amount": "int64"})
    for number in range(1, 4):
        orders.add([{"customer": f"c{number}", "amount": number}])
    return orders


def widened(root: Path) -> None:
    orders = Versions.open(root)
    orders.now = START + 10 * HOUR
    orders.take(pending_wide(orders))


def compacted(root: Path) -> None:
    orders = Versions.open(root)
    orders.now = START + 10 * HOUR
    orders.compact()


@pytest.mark.crash
@pytest.mark.parametrize(
    ("dies", "again"), [(compact_and_die, compacted), (widen_and_die, widened)], ids=["compact", "widen"]
)
def test_killed_at_any_write_it_ends_the_same(
    tmp_path: Path, dies: Callable[[Path, int], None], again: Callable[[Path], None]
) -> None:
    expected = None
    at = 0
    while True:
        root = tmp_path / str(at)
        prepared(root).state.close()
        code = exit_code_of(dies, root, at)
        assert code in (0, EXIT_CODE)
        again(root)
        found = outcome(root)
        expected = expected or found
        assert found == expected, f"killed at {at}"
        if at and code == 0:
            break
        at += stride() if at else 1
    assert at > 6


@pytest.mark.crash
def test_a_load_after_a_killed_compaction_mends_the_table(tmp_path: Path) -> None:
    heads = set()
    for at in range(1, 9):
        root = tmp_path / str(at)
        prepared(root).state.close()
        assert exit_code_of(compact_and_die, root, at) == EXIT_CODE
        orders = Versions.open(root)
        heads.add(len(orders.tables.files("orders")))
        taken = orders.add([{"customer": "c9", "amount": 9}])
        assert [row["amount"] for row in orders.rows(taken)] == [1, 2, 3, 9]
        assert sorted(path.name for path in orders.read(taken)) == orders.tables.files("orders")
        table = DeltaTable(root / "tables/orders").to_pyarrow_table()
        assert sorted(table["amount"].to_pylist()) == [1, 2, 3, 9]
        orders.state.close()
    assert heads == {1, 3}, "some died before the table was compacted and some after"
