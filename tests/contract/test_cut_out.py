"""Rows are cut out of a file byte by byte, whatever form it has, and are found again by their new lines."""

from __future__ import annotations

import gzip
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.contract.quarantine.cut_out import RowPlace, cut_out, format_of, unpacked_name
from keelway.errors import DataError


def contract(**more: Any) -> Any:
    plain = {"format": "", "encoding": "utf-8", "quote": '"', "has_header": True, "skip_lines": 0}
    return SimpleNamespace(**plain | more)


def cut(
    folder: Path, data: bytes, *places: tuple[int, int, int], name: str = "a.csv", **more: Any
) -> tuple[bytes, Any]:
    """Cut rows out of these bytes; return what was written and where each row went."""
    (folder / "source").write_bytes(data)
    rows = [RowPlace(*place) for place in places]
    found = cut_out(name, folder / "source", rows, folder / "target", contract=contract(**more))
    return (folder / "target").read_bytes(), found


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"a,b\n1,2\n3,4\n5,6\n", b"a,b\n3,4\n", id="plain"),
        pytest.param(b"a,b\r\n1,2\r\n3,4\r\n5,6\r\n", b"a,b\r\n3,4\r\n", id="windows line ends"),
        pytest.param(b"a,b\r1,2\r3,4\r5,6\r", b"a,b\r3,4\r", id="old line ends"),
        pytest.param(b"\xef\xbb\xbfa,b\n1,2\n3,4\n", b"\xef\xbb\xbfa,b\n3,4\n", id="byte order mark"),
        pytest.param(b"a,b\n1,2\n\xff\xe9,4\n", b"a,b\n\xff\xe9,4\n", id="bytes that are no text"),
        pytest.param(b'a 5" b\n1,2\n3,4\n', b'a 5" b\n3,4\n', id="a stray quote in the header"),
        pytest.param(b"a,b\n1,2\n3,4", b"a,b\n3,4", id="no line end"),
        pytest.param(gzip.compress(b"a,b\n1,2\n3,4\n"), b"a,b\n3,4\n", id="gzip"),
    ],
)
def test_a_line_is_cut_out_with_its_header(tmp_path: Path, data: bytes, expected: bytes) -> None:
    assert cut(tmp_path, data, (7, 3, 1)) == (expected, {2: 7})


def test_zstd_is_unpacked_whatever_the_name_says(tmp_path: Path) -> None:
    data = pa.Codec("zstd").compress(b"a,b\n1,2\n3,4\n", asbytes=True)
    assert cut(tmp_path, data, (0, 3, 1))[0] == b"a,b\n3,4\n"


def test_blank_lines_before_the_header_are_left_behind(tmp_path: Path) -> None:
    assert cut(tmp_path, b"\n\na,b\n1,2\n3,4\n", (0, 5, 1)) == (b"a,b\n3,4\n", {2: 0})


def test_without_a_header_nothing_stands_above_the_rows(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf1,2\n3,4\n5,6"
    assert cut(tmp_path, data, (0, 2, 1), has_header=False) == (b"3,4\n", {1: 0})
    assert cut(tmp_path, data, (0, 1, 1), (1, 3, 1), has_header=False) == (b"\xef\xbb\xbf1,2\n5,6", {1: 0, 2: 1})


@pytest.mark.parametrize(("has_header", "head"), [(True, b'Q1 "draft\n\na,b\n'), (False, b'Q1 "draft\n\n')])
def test_the_lines_that_are_passed_over_stay_above_the_rows(tmp_path: Path, has_header: bool, head: bytes) -> None:
    data = b'Q1 "draft\n\na,b\n1,2\n3,4\n'
    places = {head.count(b"\n") + 1: 7}
    assert cut(tmp_path, data, (7, 5, 1), has_header=has_header, skip_lines=2) == (head + b"3,4\n", places)


def test_records_of_several_lines_stay_whole(tmp_path: Path) -> None:
    data = b'"a\nx",b\n1,"p\nq\nr"\n3,4\n5,"s\nt"\n'
    assert cut(tmp_path, data, (0, 3, 3), (2, 7, 2)) == (b'"a\nx",b\n1,"p\nq\nr"\n5,"s\nt"\n', {3: 0, 6: 2})


def test_without_quoting_a_quote_is_a_character(tmp_path: Path) -> None:
    assert cut(tmp_path, b'a",b\n1,2\n3,4\n', (0, 3, 1), quote="")[0] == b'a",b\n3,4\n'


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_wide_characters_are_cut_between_characters(tmp_path: Path, encoding: str) -> None:
    text = "a,b\n1,ਊ\n3,Ċ\n"
    found, _ = cut(tmp_path, text.encode(encoding), (0, 3, 1), encoding=encoding)
    assert found.decode(encoding) == "a,b\n3,Ċ\n"


def test_json_lines_have_no_header(tmp_path: Path) -> None:
    assert cut(tmp_path, b'{"a":1}\n{"a":2}\n{"a":3}\n', (4, 1, 1), (5, 3, 1), name="a.jsonl.gz") == (
        b'{"a":1}\n{"a":3}\n', {1: 4, 2: 5}
    )  # fmt: skip


def test_parquet_rows_keep_their_types(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array(range(10), pa.int16()), "b": pa.array([None, "x"] * 5, pa.large_string())})
    pq.write_table(table, tmp_path / "made", row_group_size=3)
    rows = [RowPlace(number, number + 1, 1) for number in (0, 4, 9)]
    found = cut_out("a.parquet", tmp_path / "made", rows, tmp_path / "target", contract=contract())
    assert found == {1: 0, 2: 4, 3: 9}
    assert pq.read_table(tmp_path / "target") == table.take([0, 4, 9])


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_line_that_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="not in its file"):
        cut(tmp_path, b"a,b\n1,2\n", (0, 9, 1), name=name)


def test_a_parquet_row_that_is_not_there_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "made")
    with pytest.raises(DataError, match="not in its file"):
        cut_out("a.parquet", tmp_path / "made", [RowPlace(0, 2, 1)], tmp_path / "target", contract=contract())


@pytest.mark.parametrize(
    ("name", "declared", "kind"),
    [
        ("a.csv", "", "csv"), ("a.txt", "", "csv"), ("a", "", "csv"), ("a.csv.gz", "", "csv"),
        ("a.jsonl", "", "jsonl"), ("a.NDJSON.zst", "", "jsonl"), ("a.parquet", "", "parquet"), ("a.pq", "", "parquet"),
        ("a.csv", "jsonl", "jsonl"), ("a.parquet", "csv", "csv"),
    ],
)  # fmt: skip
def test_the_format_goes_by_the_contract_then_by_the_name(name: str, declared: str, kind: str) -> None:
    assert format_of(name, contract(format=declared)) == kind


def test_only_endings_of_packers_are_taken_off() -> None:
    assert [unpacked_name(name) for name in ("a/b.csv.gz", "a/b.csv", "a.b/c.zst")] == ["a/b.csv", "a/b.csv", "a.b/c"]


FIELD = st.text("abc,\"'é\u0085", max_size=4)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.lists(FIELD, min_size=1, max_size=12),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    chosen=st.sets(st.integers(0, 11)),
    last_end=st.booleans(),
)
def test_exactly_the_chosen_lines_are_cut_out(
    fields: list[str], end: str, chosen: set[int], last_end: bool, tmp_path: Path
) -> None:
    lines = [f"{number}{field}" for number, field in enumerate(fields)]
    wanted = sorted(number for number in chosen if number < len(lines))
    text = end.join(["head", *lines]) + (end if last_end else "")
    if not wanted:
        return
    data, places = cut(tmp_path, text.encode(), *((number, number + 2, 1) for number in wanted))
    expected = end.join(["head", *(lines[number] for number in wanted)])
    assert data.decode().removesuffix(end) == expected
    assert data.decode().endswith(end) is (last_end or wanted[-1] != len(lines) - 1)
    assert places == dict(enumerate(wanted, start=2))
