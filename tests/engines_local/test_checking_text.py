"""Files of text are read in blocks; where a block ends makes no difference, and broken bytes become a problem."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.contract import Column, Contract
from keelway.core import digest_bytes
from keelway.engines.local.checking import csv_lines, text_blocks
from keelway.engines.local.checking.csv_lines import OPEN_QUOTE, STRAY_TEXT, csv_rows
from keelway.engines.local.checking.json_lines import json_rows
from keelway.engines.local.checking.opening import Told
from keelway.engines.local.checking.text_blocks import lines_of
from keelway.engines.local.checking.text_layout import text_layout
from keelway.ingest import RawFile
from keelway.testing.checks import DAY, KNOWN_AT, contract_of

CONTRACT = contract_of(Column("a", "string"), DAY)
SMALL = [1, 2, 3, 7, 64]
HYPOTHESIS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def lines_in(path: Path, encoding: str = "utf-8", compression: str = "") -> tuple[list[str], Told]:
    """Return the lines of a file with their ends, and what was told."""
    told = Told()
    blocks = list(lines_of(path, compression, encoding, told))
    firsts = [1 + sum(len(block) for block in blocks[:number]) for number in range(len(blocks))]
    assert [block.first for block in blocks] == firsts
    return [block.text(index) for block in blocks for index in range(len(block))], told


def rows_in(path: Path, contract: Contract = CONTRACT, name: str = "x.csv") -> list[dict[str, object]]:
    """Return the rows of a file; the fields of a plain line are split here as DuckDB would."""
    file = RawFile(name, digest_bytes(b""), 0, KNOWN_AT, None)
    layout = text_layout(0, file, path, contract, "jsonl" if "json" in name else "csv")
    read = json_rows if layout.format == "jsonl" else csv_rows
    told = Told()
    rows = [row for batch in read(layout, contract, told) for row in batch.to_pylist()]
    assert told.rows == len(rows)
    for row in rows:
        if row["fields"] is None and row["problem"] is None:
            row["fields"] = row["raw"].split(contract.delimiter)
    return rows


@HYPOTHESIS
@given(text=st.text(alphabet="ab\n\rü€😀", max_size=40), size=st.sampled_from(SMALL))
def test_lines_are_those_of_python_wherever_a_block_ends(
    path: Path, monkeypatch: pytest.MonkeyPatch, text: str, size: int
) -> None:
    path.write_bytes(text.encode())
    with monkeypatch.context() as patch:
        patch.setattr(text_blocks, "BLOCK_BYTES", size)
        found, told = lines_in(path)
    assert found == list(io.StringIO(text, newline=""))
    assert told.problems == []


@HYPOTHESIS
@given(text=st.text(alphabet="ab\nü€😀", max_size=30), size=st.sampled_from(SMALL))
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8"])
def test_characters_of_several_bytes_are_whole_wherever_a_block_ends(
    path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, text: str, size: int
) -> None:
    path.write_bytes(text.encode(encoding))
    with monkeypatch.context() as patch:
        patch.setattr(text_blocks, "BLOCK_BYTES", size)
        found, told = lines_in(path, encoding)
    assert ("".join(found), told.problems) == (text, [])


@pytest.mark.parametrize("size", [*SMALL, 1000])
@pytest.mark.parametrize(
    ("data", "encoding", "at"),
    [
        (b"abc\n\xffd\n", "utf-8", 4),
        (b"ab\xe2\x82", "utf-8", 2),
        (b"ab\n\x81\n", "cp1252", 3),
        ("ab\n".encode("utf-16-le") + b"\x00\xd8a\x00", "utf-16-le", 6),
        (b"a\x00b", "utf-16-le", 2),
        (b"ab\xfc", "ascii", 2),
    ],
)
def test_the_first_byte_that_cannot_be_read_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, encoding: str, at: int, size: int
) -> None:
    path.write_bytes(data)
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", size)
    found, told = lines_in(path, encoding)
    assert told.problems == [f"the file is not {encoding}: byte {at}"]
    assert "\ufffd" in "".join(found)


def test_a_byte_order_mark_belongs_to_no_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", 1)
    path.write_bytes(b"\xef\xbb\xbfa\xef\xbb\xbf\n")
    assert lines_in(path)[0] == ["a\ufeff\n"]


def test_a_line_without_end_does_not_fill_the_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", 10)
    monkeypatch.setattr(text_blocks, "LINE_BYTES", 50)
    path.write_bytes(b"a\n" + b"b" * 1000)
    found, told = lines_in(path)
    assert told.problems == ["a line is longer than 50 bytes"]
    assert sum(map(len, found)) <= 2 + 60


@pytest.mark.parametrize("keep", range(1, 40, 3))
def test_what_could_be_unpacked_before_the_break_is_read(path: Path, keep: int) -> None:
    data = gzip.compress(b"a\nb\n")
    path.write_bytes(data[:keep] if keep < len(data) else data)
    found, told = lines_in(path, compression="gzip")
    assert bool(told.problems) == (keep < len(data))
    assert found in ([], ["a\n", "b\n"])


def test_several_packed_parts_are_one_file(path: Path) -> None:
    path.write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    assert lines_in(path, compression="gzip") == (["a\n", "b\n"], Told())


@HYPOTHESIS
@given(
    rows=st.lists(st.lists(st.text(alphabet='a", \n\r', max_size=5), min_size=2, max_size=3), max_size=6),
    size=st.sampled_from(SMALL),
    quoting=st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
)
def test_records_are_those_of_the_csv_module_wherever_a_block_ends(
    path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[list[str]], size: int, quoting: int
) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=quoting).writerows([["a", "day"], *rows])  # type: ignore[arg-type]
    path.write_bytes(out.getvalue().encode())
    with monkeypatch.context() as patch:
        patch.setattr(text_blocks, "BLOCK_BYTES", size)
        found = rows_in(path)
    assert [row["fields"] for row in found] == rows
    numbers = [row["row"] for row in found]
    assert numbers == sorted(set(numbers))
    whole = out.getvalue()
    assert all(row["raw"] in whole for row in found)


def test_a_quote_that_is_never_closed_ends_at_a_bound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_lines, "RECORD_CHARACTERS", 30)
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", 16)
    path.write_text('a,day\n1,2\n"x,3\n' + "4,5\n" * 20)
    rows = rows_in(path)
    assert rows[1]["problem"] == OPEN_QUOTE
    assert rows[-1]["fields"] == ["4", "5"]
    assert sum(str(row["raw"]).count("4,5") for row in rows) == 20


def test_after_a_broken_record_the_next_line_is_read_as_ever(path: Path) -> None:
    path.write_text('a,day\n"x"y,1\n"p",2\nq,3\n')
    assert [(row["problem"], row["fields"]) for row in rows_in(path)] == [
        (STRAY_TEXT, None),
        (None, ["p", "2"]),
        (None, ["q", "3"]),
    ]


@pytest.mark.parametrize(("body", "cut"), [("a,day\n1,2", True), ("a,day\n1,2\n", False), ('a,day\n1,"2"', True)])
def test_a_last_line_without_end_is_told(path: Path, body: str, cut: bool) -> None:
    path.write_text(body)
    assert [row["cut"] for row in rows_in(path)] == [cut]


@pytest.mark.parametrize("body", ["", "\n\n", '"', "a,day", "\n\n\na,day\n"])
def test_a_file_without_rows_has_none(path: Path, body: str) -> None:
    path.write_text(body)
    assert rows_in(path) == []


def test_a_header_may_be_quoted_and_stand_below_blank_lines(path: Path) -> None:
    path.write_text('\n\n"a"," day "\nx,y\n')
    ((row,),) = [rows_in(path)]
    assert (row["row"], row["fields"]) == (4, ["x", "y"])


def test_a_quote_of_several_bytes_is_found(path: Path) -> None:
    path.write_text("a,day\n«x,y«,1\nü,2\n", encoding="utf-8")
    contract = contract_of(*CONTRACT.columns, quote="«")
    assert [row["fields"] for row in rows_in(path, contract)] == [["x,y", "1"], ["ü", "2"]]


def test_json_fields_stand_in_the_order_of_the_contract(path: Path) -> None:
    path.write_text('{"day": 1.50, "a": "x", "b": 1}\n\n{}\n{"a": "\\ud83d\\ude00"}')
    rows = rows_in(path, name="x.jsonl")
    assert [(row["row"], row["fields"], row["cut"]) for row in rows] == [
        (1, ["x", "1.50"], False),
        (3, [None, None], False),
        (4, ["😀", None], True),
    ]
