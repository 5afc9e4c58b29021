"""Snapshots name their bytes, and every read checks them."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable

from keelway.contract import load_contract
from keelway.core import digest_of
from keelway.errors import ConflictError, ContractError, IntegrityError
from keelway.snapshot import Snapshot, newest, read, snapshots
from keelway.testing.shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop.open(tmp_path)


def day(shop: Shop, number: int) -> Snapshot:
    shop.upload(f"1997-01-0{number}", f"{number},1997-01-0{number},1,2.5\n")
    snapshot = shop.ingest()
    assert snapshot is not None
    return snapshot


def test_each_batch_makes_one_version_that_names_the_one_before(shop: Shop) -> None:
    first, second = day(shop, 1), day(shop, 2)
    assert (second.number, second.rows, second.rows_added) == (2, 2, 1)
    assert second.parent == digest_of(first)
    assert second.watermark > first.watermark
    with shop.state.snapshot() as tx:
        assert newest("orders", tx) == second
        assert snapshots("orders", tx) == [second, first]


def test_an_older_version_reads_unchanged(shop: Shop) -> None:
    first = day(shop, 1)
    before = [path.read_bytes() for path in read(first, tables=shop.tables, artifacts=shop.artifacts)]
    day(shop, 2)
    assert [path.read_bytes() for path in read(first, tables=shop.tables, artifacts=shop.artifacts)] == before


def test_plain_deltalake_reads_the_table(shop: Shop, tmp_path: Path) -> None:
    day(shop, 1)
    last = day(shop, 2)
    table = DeltaTable(tmp_path / "tables/orders", version=last.table_version).to_pyarrow_table()
    assert sorted(table["customer_id"].to_pylist()) == ["1", "2"]
    assert set(table.column_names) == set(last.columns)


@pytest.mark.parametrize("harm", ["flip", "cut"])
def test_altered_bytes_are_refused_by_name(shop: Shop, harm: str) -> None:
    snapshot = day(shop, 1)
    (path,) = read(snapshot, tables=shop.tables, artifacts=shop.artifacts)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data if harm == "flip" else data[:-1])
    with pytest.raises(IntegrityError, match=path.name):
        read(snapshot, tables=shop.tables, artifacts=shop.artifacts)


def test_taking_again_returns_the_snapshot(shop: Shop) -> None:
    checked = shop.checked("1,1997-01-01,1,2.5\n")
    assert shop.take(checked) == shop.take(checked)


def test_batches_are_taken_in_order(shop: Shop) -> None:
    first = shop.checked("1,1997-01-01,1,2.5\n")
    shop.take(first)
    other = Shop.open(shop.root / "other")
    other_first = other.checked("1,1997-01-01,1,2.5\n")
    assert other_first.batch == first.batch
    with pytest.raises(ConflictError):
        shop.take(type(first)(**{**{f: getattr(first, f) for f in first.__slots__}, "rows_repaired": 7}))


def test_a_contract_with_a_wider_and_a_new_column_goes_on_with_the_same_table(shop: Shop, tmp_path: Path) -> None:
    first = day(shop, 1)
    text = (tmp_path / "orders.yaml").read_text()
    wider = text.replace("name: quantity, logicalType: integer", "name: quantity, logicalType: number")
    wider = wider.replace("      - name: amount\n", "      - {name: plan, logicalType: string}\n      - name: amount\n")
    (tmp_path / "orders.yaml").write_text(wider.replace("version: 1.0.0", "version: 1.1.0"))
    later = shop.through(contract=load_contract(tmp_path / "orders.yaml", "orders"))
    later.upload("1997-01-02", b"customer_id,date,quantity,amount,plan\n2,1997-01-02,1.5,2.5,gold\n")
    second = later.ingest()
    assert second is not None
    assert second.columns["quantity"] == "double"
    assert [path.read_bytes() for path in read(first, tables=shop.tables, artifacts=shop.artifacts)]
    for version, wanted in ((first, [{"customer_id": "1", "quantity": 1}]), (second, None)):
        table = DeltaTable(tmp_path / "tables/orders", version=version.table_version).to_pyarrow_table()
        found = sorted(table.to_pylist(), key=lambda row: row["customer_id"])
        if wanted:
            assert [{name: row[name] for name in wanted[0]} for row in found] == wanted
        else:
            assert [(row["quantity"], row["plan"]) for row in found] == [(1.0, None), (1.5, "gold")]


def test_a_contract_that_reads_other_values_is_refused_and_the_version_stands(shop: Shop, tmp_path: Path) -> None:
    first = day(shop, 1)
    text = (tmp_path / "orders.yaml").read_text()
    other = text.replace(
        "logicalType: integer, required: true, logicalTypeOptions: {minimum: 1}", "logicalType: string"
    )
    (tmp_path / "orders.yaml").write_text(other)
    later = shop.through(contract=load_contract(tmp_path / "orders.yaml", "orders"))
    later.upload("1997-01-02", "2,1997-01-02,1,2.5\n")
    with pytest.raises(ContractError):
        later.ingest()
    with shop.state.snapshot() as tx:
        assert newest("orders", tx) == first
