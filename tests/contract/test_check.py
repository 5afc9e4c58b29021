"""Rows are kept, repaired or quarantined, and never lost."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from keelway.contract import CheckedBatch, load_contract, quarantined_rows
from keelway.core import Action
from keelway.errors import ContractError
from keelway.ledger import decisions
from keelway.testing.shop import Shop

GOOD = "1,1997-01-01,1,2.5\n"
HEAD = b"customer_id,date,quantity,amount\n"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop.open(tmp_path)


def kept(shop: Shop, checked: CheckedBatch) -> list[dict[str, object]]:
    return pq.read_table(shop.artifacts.path_of(checked.rows)).to_pylist()


def reasons_of(shop: Shop, checked: CheckedBatch) -> list[tuple[str, tuple[str, ...]]]:
    return [(row.raw, row.reasons) for row in quarantined_rows(checked, artifacts=shop.artifacts)]


def test_a_good_row_is_typed_and_says_where_it_came_from(shop: Shop) -> None:
    checked = shop.checked("00012,1997-01-01,2,12.50\n")
    (row,) = kept(shop, checked)
    assert row["customer_id"] == "00012"
    assert (str(row["date"]), row["quantity"], row["amount"]) == ("1997-01-01", 2, 12.5)
    assert (row["_row"], row["_file"]) == (2, checked.files[0].digest)
    assert str(row["_known_at"]) == "1997-01-02 01:00:00+00:00"
    assert checked.quarantine is None


@pytest.mark.parametrize(
    ("line", "reasons"),
    [
        ("1,1997-01-01,1,n/a", ("amount: not a number",)),
        ("1,1997-01-01,1,nan", ("amount: not a number",)),
        ("1,1997-01-01,1,inf", ("amount: not a number",)),
        ("1,1997-01-01,1,1e999", ("amount: not a number",)),
        ("1,1997-01-01,1.5,2", ("quantity: not an integer",)),
        ("1,1997-02-30,1,2", ("date: not a date",)),
        ("1,,1,2", ("date: missing",)),
        ("x,01/02/97,0,-1", ("customer_id: does not match ^[0-9]+$", "date: not a date", "quantity: below 1", "amount: below 0")),
        ("1,1997-01-01,1", ("3 fields instead of 4",)),
        ("1,1997-01-01,1,2,3", ("5 fields instead of 4",)),
    ],
)  # fmt: skip
def test_a_bad_row_is_quarantined_with_every_reason(shop: Shop, line: str, reasons: tuple[str, ...]) -> None:
    checked = shop.checked(f"{GOOD}{line}\n")
    assert reasons_of(shop, checked) == [(line, reasons)]
    assert (checked.rows_in, checked.rows_ok, checked.rows_quarantined) == (2, 1, 1)
    assert checked.reasons == dict.fromkeys(reasons, 1)


def test_repairs_are_counted_by_column_and_kind(shop: Shop) -> None:
    body = b"customer_id,date,quantity,dollar_value\n1,31.12.1997,1, $2.50\n2,1997-01-01,1,3\n"
    checked = shop.checked(body)
    assert [row["amount"] for row in kept(shop, checked)] == [2.5, 3.0]
    assert checked.repairs == {"date": {"format": 1}, "amount": {"alias": 2, "trim": 1, "strip": 1}}
    assert checked.rows_repaired == 2
    assert checked.files[0].renamed == {"dollar_value": "amount"}


def test_a_cut_last_line_is_quarantined(shop: Shop) -> None:
    checked = shop.checked(GOOD + "1,1997-01-0")
    assert reasons_of(shop, checked) == [("1,1997-01-0", ("cut off: 2 of 4 fields",))]


def test_a_last_line_without_end_may_be_cut_within_a_number(shop: Shop) -> None:
    checked = shop.checked(GOOD + "1,1997-01-01,1,2")
    assert checked.reasons == {"the last line has no line end, it may be cut off": 1}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"customer_id,date,quantity\n1,1997-01-01,1\n", "column amount is missing"),
        (b"customer_id,date,quantity,amount,dollar_value\n1,1997-01-01,1,2,3\n", "column amount stands twice"),
        (HEAD + b"\xff,1997-01-01,1,2\n", "the file is not utf-8: byte 33"),
    ],
)
def test_a_whole_file_is_quarantined(shop: Shop, data: bytes, reason: str) -> None:
    checked = shop.checked(data)
    assert checked.files[0].reasons == (reason,)
    assert (checked.rows_ok, checked.rows_quarantined) == (0, 1)


def test_quotes_line_ends_and_byte_order_marks_are_read(shop: Shop) -> None:
    data = b'\xef\xbb\xbf"customer_id",date,quantity,amount\r\n"1",1997-01-01,1,"2.5"\r\n\r\n2,1997-01-01,"1\n",2\r\n'
    checked = shop.checked(data)
    assert [(row["customer_id"], row["_row"]) for row in kept(shop, checked)] == [("1", 2)]
    assert reasons_of(shop, checked) == [('2,1997-01-01,"1\n",2', ("quantity: not an integer",))]


@pytest.mark.parametrize("unknown", ["ignore", "quarantine", "stop"])
def test_an_unknown_column_does_what_the_contract_says(tmp_path: Path, unknown: str) -> None:
    shop = Shop.open(tmp_path, unknown=unknown)
    data = b"customer_id,date,quantity,amount,channel\n1,1997-01-01,1,2,web\n"
    if unknown == "stop":
        with pytest.raises(ContractError, match="channel"):
            shop.checked(data)
        return
    checked = shop.checked(data)
    assert checked.files[0].extra == ("channel",)
    assert checked.rows_ok == (1 if unknown == "ignore" else 0)


def test_too_many_bad_rows_stop_the_load_and_the_refusal_is_in_the_ledger(tmp_path: Path) -> None:
    shop = Shop.open(tmp_path, share=0.2)
    with pytest.raises(ContractError, match=r"10 of 11 rows") as caught:
        shop.checked(GOOD + "1,1997-01-01,1,bad\n" * 10)
    assert caught.value.found.count("amount: not a number") == 5
    with shop.state.snapshot() as tx:
        last = [decision for _, decision in decisions(tx)][-1]
    assert (last.action, last.allowed) == (Action.QUARANTINE, False)
    mended = Shop.open(tmp_path, share=1.0)
    snapshot = mended.ingest()
    assert snapshot is not None
    assert snapshot.rows == 1


def test_the_same_rows_give_the_same_bytes_on_any_number_of_threads(tmp_path: Path) -> None:
    digests = set()
    for threads in (1, 4):
        shop = Shop.open(tmp_path / str(threads))
        for day in range(1, 4):
            rows = "".join(f"{row},1997-01-0{day},{row % 3},2.5\n" for row in range(60_000))
            shop.upload(f"1997-01-0{day}", rows)
        batch = shop.pull()
        assert batch is not None
        checked = shop.check(batch, threads=threads)
        assert (checked.rows_in, checked.rows_quarantined) == (180_000, 60_000)
        digests.add((checked.rows, checked.quarantine))
    assert len(digests) == 1


def test_a_batch_without_good_rows_adds_none_and_makes_no_table(shop: Shop, tmp_path: Path) -> None:
    snapshot = shop.take(shop.checked("x,,,\n"))
    assert (snapshot.rows, snapshot.rows_added, snapshot.table_version) == (0, 0, -1)
    assert not (tmp_path / "tables").exists()


def test_keys_defaults_missing_words_and_decimal_commas(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        """\
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    customProperties:
      - {property: delimiter, value: ";"}
      - {property: finalNewline, value: optional}
    properties:
      - {name: customer_id, logicalType: string, primaryKey: true}
      - {name: date, logicalType: timestamp, required: true}
      - name: amount
        logicalType: number
        customProperties: [{property: decimalComma, value: true}, {property: missing, value: [NA, "it's"]}]
      - name: plan
        logicalType: string
        quality: [{metric: invalidValues, arguments: {validValues: ["it's", basic]}, mustBe: 0}]
        customProperties: [{property: default, value: basic}]
"""
    )
    shop = Shop.open(tmp_path / "shop").through(contract=load_contract(tmp_path / "c.yaml", "orders"))
    checked = shop.checked(
        b"customer_id;date;amount;plan\n1;1997-01-01T10:00:00+02:00;1.234,50;it's\n1;1997-01-01;2;basic\n"
        b"2;1997-01-01;NA;\n3;1997-01-01;it's;gold"
    )
    assert [(row["amount"], row["plan"], str(row["date"])) for row in kept(shop, checked)] == [
        (1234.5, "it's", "1997-01-01 08:00:00+00:00"),
        (None, "basic", "1997-01-01 00:00:00+00:00"),
    ]
    assert checked.reasons == {"customer_id: repeats an earlier row": 1, "plan: not an allowed value": 1}
    assert checked.repairs == {"amount": {"decimal_comma": 1, "missing": 1}, "plan": {"default": 1}}
