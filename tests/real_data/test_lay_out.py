"""The laying out of known data adds numbers and months to what it finds, and nothing else; no data set is needed."""

from __future__ import annotations

import gzip
import importlib.util
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from keelway.evaluate import Interval
from keelway.testing.baselines import mean_of_parts


@pytest.fixture(scope="module")
def lay_out() -> ModuleType:
    path = Path(__file__).parent / "baselines" / "lay_out.py"
    spec = importlib.util.spec_from_file_location("baselines_lay_out_alone", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def packed(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode()))


def test_the_year_is_counted_up_when_months_begin_anew(lay_out: ModuleType) -> None:
    rows = [["a", "nov"], ["b", "dec"], ["c", "mar"], ["d", "mar"], ["e", "jan"]]
    found = [(month.year, month.month, [row[0] for row in each]) for month, each in lay_out.by_month(rows, place=1)]
    assert found == [(2008, 11, ["a"]), (2008, 12, ["b"]), (2009, 3, ["c", "d"]), (2010, 1, ["e"])]


def test_the_banks_lists_are_known_before_the_month_and_its_answers_after(lay_out: ModuleType, tmp_path: Path) -> None:
    header = '"month";"duration";"emp.var.rate";"y"\n'
    rows = '"may";261;1.1;"no"\n"may";10;1.1;"yes"\n"jun";20;1.4;"no"\n'
    packed(tmp_path / "C_bank_marketing_additional_full.csv.gz", header + rows)
    lay_out.bank(tmp_path, tmp_path)
    listed, called = (tmp_path / f"raw/{name}/2008-05.csv" for name in ("lists", "calls"))
    begins, ends = datetime(2008, 5, 1, tzinfo=UTC), datetime(2008, 6, 1, tzinfo=UTC)
    assert begins.timestamp() - 1 == listed.stat().st_mtime
    assert ends.timestamp() - 1 == called.stat().st_mtime
    assert listed.read_text().splitlines()[0] == "row,listed_at,month,emp_var_rate"
    assert called.read_text().splitlines()[1:] == [
        "r00001,2008-05-01T00:00:00+00:00,no",
        "r00002,2008-05-15T00:00:00+00:00,yes",
    ]
    assert "261" in (tmp_path / "raw/campaign/bank.csv").read_text()


def test_orders_come_in_a_file_a_month_and_keep_their_zeros(lay_out: ModuleType, tmp_path: Path) -> None:
    packed(tmp_path / "B_cdnow_master.txt.gz", " id date\n 00001 19970101  1  11.77\r\n 00002 19970212 1 12.00\r\n")
    lay_out.cdnow(tmp_path, tmp_path)
    files = sorted((tmp_path / "raw/orders").iterdir())
    assert [file.name for file in files] == ["1997-01.csv", "1997-02.csv"]
    assert files[0].read_text() == "row,customer,ordered,discs,paid\nr00001,00001,1997-01-01,1,11.77\n"
    assert files[0].stat().st_mtime == datetime(1997, 1, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def test_a_draft_is_told_of_copies_and_of_quotes(lay_out: ModuleType) -> None:
    draft = "    customProperties:\n    properties:\n      - name: row # key\n      - name: kind\n      - name: body # text\n"
    amended = lay_out.AMENDMENTS["messages"](draft)
    assert "{property: quote, value: ''}" in amended
    assert "arguments: {properties: [kind, body]}" in amended
    assert amended.index("quality:") < amended.index("    properties:\n")


def test_the_mean_of_parts_is_narrower_than_each_and_one_stays_as_it_is() -> None:
    one, other = Interval(0.8, 0.7, 0.9, 0.95, "DeLong"), Interval(0.6, 0.5, 0.7, 0.95, "DeLong")
    both = mean_of_parts([one, other])
    assert both.value == pytest.approx(0.7)
    assert both.high - both.low == pytest.approx(0.2 / 2**0.5)
    assert mean_of_parts([one]) is one
