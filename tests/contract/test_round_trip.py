"""What a contract keeps and keeps out, against a second opinion written in plain Python."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from keelway.contract import Contract, Findings, load_contract
from keelway.core import digest_bytes
from keelway.engines.local.checker import DuckDbChecker
from keelway.ingest import RawFile

CONTRACT = r"""
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    quality:
      - {type: custom, engine: keelway, name: dear, implementation: "amount <= quantity * 100"}
    properties:
      - {name: id, logicalType: string, required: true, logicalTypeOptions: {pattern: '^[a-z]+[0-9]?$', maxLength: 4}}
      - {name: day, logicalType: date, required: true, logicalTypeOptions: {minimum: "2026-01-01"}}
      - {name: quantity, logicalType: integer, logicalTypeOptions: {minimum: 1, exclusiveMaximum: 10}}
      - {name: amount, logicalType: number, required: true, logicalTypeOptions: {exclusiveMinimum: 0}}
      - {name: plan, logicalType: string, enum: [{value: basic}, {value: "a, b"}, {value: 'say "hi"'}]}
      - {name: paid, logicalType: boolean}
"""
HEADER = ["id", "day", "quantity", "amount", "plan", "paid"]
Cells = tuple[str, str, str, str, str, str]


def cells() -> st.SearchStrategy[Cells]:
    """Rows of texts, most of them good."""
    ids = st.from_regex(r"[a-z]{1,3}[0-9]?", fullmatch=True) | st.sampled_from(["", "A1", "abcde", "a-1", "é"])
    days = st.dates(date(2025, 6, 1), date(2027, 1, 1)).map(date.isoformat) | st.sampled_from(
        ["", "2026-02-30", "soon"]
    )
    counts = st.integers(-2, 12).map(str) | st.sampled_from(["", "1.5", "two", "99999999999999999999"])
    amounts = st.floats(-5, 2000, allow_nan=False).map(repr) | st.sampled_from(["", "nan", "inf", "1,5", "0", "-0.0"])
    plans = st.sampled_from(["", "basic", "a, b", 'say "hi"', "gold", "Basic"])
    return st.tuples(ids, days, counts, amounts, plans, st.sampled_from(["", "true", "0", "maybe"]))


def number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) else None


def integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) and abs(int(text)) < 2**63 else None


def day_of(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def expected(row: Cells) -> list[str]:
    """Return what is wrong with a row."""
    name, day, quantity, amount, plan, paid = row
    count, price, when = integer(quantity), number(amount), day_of(day)
    found = [
        ("id: missing", not name),
        ("id: longer than 4", len(name) > 4),
        ("id: does not match ^[a-z]+[0-9]?$", bool(name) and not re.search(r"^[a-z]+[0-9]?\Z", name)),
        ("day: missing", not day),
        ("day: not a date", bool(day) and when is None),
        ("day: below 2026-01-01", when is not None and when < date(2026, 1, 1)),
        ("quantity: not an integer", bool(quantity) and count is None),
        ("quantity: below 1", count is not None and count < 1),
        ("quantity: not below 10", count is not None and count >= 10),
        ("amount: missing", not amount),
        ("amount: not a number", bool(amount) and price is None),
        ("amount: not above 0", price is not None and price <= 0),
        ("plan: not an allowed value", bool(plan) and plan not in ("basic", "a, b", 'say "hi"')),
        ("paid: not true or false", bool(paid) and paid == "maybe"),
        ("dear", price is not None and count is not None and price > count * 100),
    ]
    return [reason for reason, broken in found if broken]


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    path = tmp_path_factory.mktemp("contract") / "orders.yaml"
    path.write_text(CONTRACT)
    return load_contract(path, "orders")


def checked(folder: Path, contract: Contract, rows: list[Cells]) -> Findings:
    body = io.StringIO()
    csv.writer(body, lineterminator="\n").writerows([HEADER, *rows])
    path = folder / "orders.csv"
    path.write_text(body.getvalue(), "utf8", newline="")
    data = path.read_bytes()
    file = RawFile(path.name, digest_bytes(data), len(data), datetime(2026, 2, 1, tzinfo=UTC), None)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    return DuckDbChecker(threads=1).check([(file, path)], contract, event_time="day", folder=out)


@settings(
    max_examples=12, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # an example is too dear to shrink; each has many rows
@given(st.lists(cells(), min_size=1, max_size=120))
def test_each_row_is_kept_or_kept_out_for_the_very_reasons(
    tmp_path: Path, contract: Contract, rows: list[Cells]
) -> None:
    found = checked(tmp_path, contract, rows)
    out = {}
    if found.quarantine is not None:
        out = {row["row"]: row["reasons"] for row in pq.read_table(found.quarantine).to_pylist()}
    wanted = {line: expected(row) for line, row in enumerate(rows, start=2)}
    assert out == {line: reasons for line, reasons in wanted.items() if reasons}
    assert found.rows is not None
    kept = {row["_row"]: row for row in pq.read_table(found.rows).to_pylist()}
    assert kept.keys() == {line for line, reasons in wanted.items() if not reasons}
    for line, row in kept.items():
        name, day, quantity, amount, plan, paid = rows[line - 2]
        assert [row[column] for column in HEADER] == [
            name, day_of(day), integer(quantity), number(amount), plan or None,
            {"": None, "true": True, "0": False}[paid],
        ]  # fmt: skip


def test_reasons_are_counted_as_often_as_they_are_told(tmp_path: Path, contract: Contract) -> None:
    rows: list[Cells] = [("A", "", "0", "x", "gold", "maybe"), ("a", "2026-01-01", "1", "1", "", "")]
    found = checked(tmp_path, contract, rows)
    assert found.reasons == dict.fromkeys(expected(rows[0]), 1)
    assert [list(row.reasons) for row in found.examples] == [expected(rows[0])]
