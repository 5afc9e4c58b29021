"""What is no table, and cells that no column owns, are told and never loaded as if nothing were."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from keelway.contract import Contract, Findings, load_contract
from keelway.core import digest_bytes
from keelway.engines.local.checker import DuckDbChecker
from keelway.ingest import RawFile

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: notes
version: 1.0.0
status: active
schema:
  - name: notes
    properties:
      - {name: dt, logicalType: date, required: true}
      - {name: note, logicalType: string}
"""


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    path = tmp_path / "notes.odcs.yaml"
    path.write_text(CONTRACT, "utf8")
    return load_contract(path, "notes")


def check(body: bytes, contract: Contract, folder: Path, name: str = "notes.csv") -> Findings:
    path = folder / name
    path.write_bytes(body)
    raw = RawFile(f"dt=2026-03-01/{name}", digest_bytes(body), len(body), datetime(2026, 3, 2, tzinfo=UTC), None)
    out = folder / "out"
    out.mkdir()
    return DuckDbChecker(threads=1).check([(raw, path)], contract, event_time="dt", folder=out)


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (b"PK\x03\x04\x14\x00\x06\x00", "a zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"<!DOCTYPE html>\n<html></html>\n", "a page of HTML"),
        (b"\xef\xbb\xbf\n  <HTML>\n", "a page of HTML"),
        (b"<table><tr><td>note</td></tr></table>\n", "a page of HTML"),
    ],
    ids=["zip", "xls", "pdf", "parquet", "html", "html after a mark", "table"],
)
def test_what_is_no_table_is_refused_by_its_kind(start: bytes, told: str, contract: Contract, tmp_path: Path) -> None:
    found = check(start, contract, tmp_path)
    (file,) = found.files
    assert told in file.reasons[0]
    assert "save it as CSV" in file.reasons[0]
    assert file.rows_ok == 0


def test_a_file_with_no_column_of_the_contract_is_refused(contract: Contract, tmp_path: Path) -> None:
    (file,) = check(b"remark\nhello\n", contract, tmp_path).files
    assert file.reasons == ("no column of the contract stands in the file",)
    assert (file.rows_in, file.rows_ok) == (1, 0)


def test_a_value_in_a_column_without_a_name_quarantines_its_row(contract: Contract, tmp_path: Path) -> None:
    found = check(b"note,,\nhello,,\nhello, my dear,\nbye,,x\n", contract, tmp_path)
    assert found.rows is not None
    assert [row["note"] for row in pq.read_table(found.rows).to_pylist()] == ["hello"]
    assert found.reasons == {"a value stands in a column without a name": 2}
    assert [row.raw for row in found.examples] == ["hello, my dear,", "bye,,x"]


def test_files_with_and_without_such_columns_are_told_apart(contract: Contract, tmp_path: Path) -> None:
    found = check(b"note,other\nhello,x\n", contract, tmp_path)
    assert (found.files[0].rows_ok, found.files[0].extra) == (1, ("other",))
