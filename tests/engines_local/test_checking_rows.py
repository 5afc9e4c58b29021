"""The same rows make the same file, however they come in; layouts and names are told from each other."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.contract import Column, PiiClass
from keelway.core import digest_bytes
from keelway.engines.local.checking import rows_file
from keelway.engines.local.checking.opening import compression_of, constants_of, matched, partitions_of
from keelway.engines.local.checking.repairs import declared, in_unit, literal, quoted, repaired, typed
from keelway.engines.local.checking.rows_file import kept_schema, quarantine_schema, write_rows
from keelway.engines.local.checking.segments import parquet_files, segments
from keelway.engines.local.checking.text_layout import text_layout
from keelway.ingest import RawFile
from keelway.testing.checks import DAY, KNOWN_AT, contract_of

NUMBERS = pa.schema([("n", pa.int64()), ("t", pa.string())])


def numbers(start: int, stop: int) -> pa.RecordBatch:
    return pa.record_batch([list(range(start, stop)), [f"t{n % 3}" for n in range(start, stop)]], schema=NUMBERS)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 35), max_size=6))
def test_the_bytes_do_not_depend_on_how_the_rows_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuts: list[int]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(rows_file, "ROW_GROUP", 10)
        whole, parts = tmp_path / "whole.parquet", tmp_path / "parts.parquet"
        assert write_rows(whole, NUMBERS, [numbers(0, 35)]) == 35
        edges = [0, *sorted(cuts), 35]
        batches = [numbers(start, stop) for start, stop in itertools.pairwise(edges)]
        assert write_rows(parts, NUMBERS, batches) == 35
    assert whole.read_bytes() == parts.read_bytes()
    groups = pq.ParquetFile(parts).metadata
    assert [groups.row_group(number).num_rows for number in range(groups.num_row_groups)] == [10, 10, 10, 5]


def test_a_file_without_rows_has_its_columns(tmp_path: Path) -> None:
    assert write_rows(tmp_path / "x.parquet", quarantine_schema(), []) == 0
    assert pq.read_schema(tmp_path / "x.parquet").names == ["file", "digest", "row", "raw", "reasons"]


def test_rows_are_read_back_with_the_types_of_the_contract(tmp_path: Path) -> None:
    contract = contract_of(
        Column("i", "integer"), Column("n", "number"), Column("b", "boolean"), DAY, Column("m", "timestamp"),
        Column("s", "string"), Column("p", "integer", pii=PiiClass.DIRECT),
    )  # fmt: skip
    schema = kept_schema(contract)
    moment = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
    row = {
        "i": 2**63 - 1, "n": 0.1, "b": True, "day": date(1600, 1, 1), "m": moment, "s": "ä\0", "p": "tok", "_known_at": moment,
        "_file": "f", "_row": 2,
    }  # fmt: skip
    empty = dict.fromkeys(row)
    write_rows(tmp_path / "x.parquet", schema, [pa.RecordBatch.from_pylist([row, empty], schema=schema)])
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.to_pylist() == [row, empty]
    assert table.schema.equals(schema)
    read = duckdb.sql(f"SELECT i, s, epoch_us(m) FROM '{tmp_path}/x.parquet' LIMIT 1").fetchall()
    assert read == [(2**63 - 1, "ä\0", int(moment.timestamp()) * 10**6 + 5)]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a/b.csv", {}),
        ("dt=2026-03-01/x.csv", {"dt": "2026-03-01"}),
        ("a/dt=1/region=a%2Fb/x=1.csv", {"dt": "1", "region": "a/b"}),
        ("dt=__HIVE_DEFAULT_PARTITION__/x.csv", {"dt": None}),
        ("dt=/x.csv", {"dt": ""}),
        ("=1/x.csv", {}),
    ],
)
def test_partitions_are_in_the_folders_of_a_name(name: str, found: dict[str, str | None]) -> None:
    assert partitions_of(name) == found


def test_a_partition_goes_by_alias_too_and_others_are_nobodys() -> None:
    contract = contract_of(Column("region", "string", aliases=("area",)), DAY)
    assert constants_of("area=x/hour=3/a.csv", contract) == {"region": "x"}


@pytest.mark.parametrize(
    ("name", "start", "found"),
    [
        ("a.csv", b"a,b", ("", None)),
        ("a.csv", b"\x1f\x8b\x08", ("gzip", None)),
        ("a.csv.gz", b"\x1f\x8b\x08", ("gzip", None)),
        ("a.CSV.GZ", b"\x1f\x8b\x08", ("gzip", None)),
        ("a.csv.zst", b"\x28\xb5\x2f\xfd", ("zstd", None)),
        ("a.csv.zst", b"", ("", "the file is not zstd, as its name says")),
        ("a.csv.gz", b"\x28\xb5\x2f\xfd", ("zstd", "the file is not gzip, as its name says")),
    ],
)
def test_how_a_file_is_packed_shows_in_its_bytes(
    tmp_path: Path, name: str, start: bytes, found: tuple[str, str | None]
) -> None:
    (tmp_path / "x").write_bytes(start)
    assert compression_of(name, tmp_path / "x") == found


def test_headers_are_matched_by_name_and_alias() -> None:
    contract = contract_of(Column("a", "string", aliases=("A",), required=True), Column("b", "string"), DAY)
    found = matched(["x", "A", "day"], contract, {})
    assert found.positions == (2, None, 3)
    assert (found.renamed, found.extra, found.missing, found.problems) == ({"A": "a"}, ("x",), ("b",), ())
    assert matched(["a", "A"], contract, {"day": "d"}).problems == ("column a stands twice",)
    assert matched(["b"], contract, {"day": "d"}).problems == ("column a is missing",)


def test_files_are_read_together_while_they_are_laid_out_alike(tmp_path: Path) -> None:
    contract = contract_of(Column("a", "string"), DAY)
    layouts = []
    for number, header in enumerate(["a,day", "a,day", "day,a", "a,day"]):
        path = tmp_path / str(number)
        path.write_text(f"{header}\n")
        file = RawFile(f"{number}.csv", digest_bytes(b""), 0, KNOWN_AT, None)
        layouts.append(text_layout(number, file, path, contract, "csv"))
    assert [[layout.number for layout in part.layouts] for part in segments(layouts)] == [[0, 1], [2], [3]]


@pytest.mark.parametrize("name", ["a*.parquet", "a?b.parquet", "[a].parquet", "it's.parquet", "a b.parquet"])
def test_the_name_of_a_parquet_file_is_no_pattern(tmp_path: Path, name: str) -> None:
    pq.write_table(pa.table({"n": [1]}), tmp_path / name)
    pq.write_table(pa.table({"n": [2]}), tmp_path / "axb.parquet")
    assert duckdb.sql(f"SELECT n FROM {parquet_files([tmp_path / name])}").fetchall() == [(1,)]


def read(column: Column, text: str | None) -> tuple[object, set[str]]:
    """Return the value that a column makes of a text, and the repairs it took."""
    cell = "CAST(NULL AS VARCHAR)" if text is None else literal(text)
    repaired_text, first = repaired(column, cell)
    value, second = typed(column, "t")
    flags = {**{name: f"f_{name}" for name in first}, **second}
    early = "".join(f", {test} AS f_{name}" for name, test in first.items())
    query = f"SELECT {', '.join([value, *flags.values()])} FROM (SELECT {repaired_text} AS t{early})"
    found, *applied = duckdb.sql(query).fetchall()[0]
    return found, {name for name, was in zip(flags, applied, strict=True) if was}


@pytest.mark.parametrize(
    ("column", "text", "value", "repairs"),
    [
        (Column("v", "string"), "", None, set()),
        (Column("v", "string"), " x ", " x ", set()),
        (Column("v", "string", trim=True), "\u202f\u00a0x\t", "x", {"trim"}),
        (Column("v", "string", trim=True, missing=("-",)), " - ", None, {"trim", "missing"}),
        (Column("v", "string", default="it's {v}"), None, "it's {v}", {"default"}),
        (Column("v", "string", missing=("{v}",), default="x"), "{v}", "x", {"missing", "default"}),
        (Column("v", "number", strip=("$", "USD")), "USD $5", 5.0, {"strip"}),
        (Column("v", "number", decimal_comma=True), "1.234,5", 1234.5, {"decimal_comma"}),
        (Column("v", "number", decimal_comma=True), "1.234", 1.234, set()),
        (Column("v", "number", decimal_comma=True), "12.34,5", None, set()),
        (Column("v", "number"), "1e3", 1000.0, set()),
        (Column("v", "number"), ".5", 0.5, set()),
        (Column("v", "number"), " 5", None, set()),
        (Column("v", "number"), "1_000", None, set()),
        (Column("v", "number"), "0x10", None, set()),
        (Column("v", "number"), "\u0661", None, set()),
        (Column("v", "integer"), "+007", 7, set()),
        (Column("v", "integer"), "1e2", None, set()),
        (Column("v", "integer"), "1.0", None, set()),
        (Column("v", "integer"), "9223372036854775808", None, set()),
        (Column("v", "integer"), "-9223372036854775808", -(2**63), set()),
        (Column("v", "boolean"), "TRUE", True, set()),
        (Column("v", "boolean"), "0", False, set()),
        (Column("v", "boolean"), "yes", None, set()),
        (Column("v", "date"), "2024-02-29", date(2024, 2, 29), set()),
        (Column("v", "date"), "2026-02-29", None, set()),
        (Column("v", "date"), "2026-3-1", None, set()),
        (Column("v", "date"), "2026-03-01 00:00", None, set()),
        (Column("v", "date", formats=("%d.%m.%Y", "%m/%d/%y")), "03/01/26", date(2026, 3, 1), {"format"}),
        (Column("v", "timestamp"), "2026-03-01", datetime(2026, 3, 1), set()),
        (Column("v", "timestamp"), "2026-03-01T10:00:00.123456Z", datetime(2026, 3, 1, 10, 0, 0, 123456), set()),
        (Column("v", "timestamp"), "2026-03-01 10:00:00+0530", datetime(2026, 3, 1, 4, 30), set()),
        (Column("v", "timestamp"), "2026-03-01 10:00:00-01:00", datetime(2026, 3, 1, 11), set()),
        (Column("v", "timestamp"), "2026-03-01 25:00", None, set()),
        (Column("v", "timestamp"), "2026-03-01 10:00:00.1234567", None, set()),
        (Column("v", "timestamp", formats=("%d/%m/%Y %H:%M %z",)), "01/03/2026 10:00 +0100", datetime(2026, 3, 1, 9), {"format"}),
    ],
)  # fmt: skip
def test_a_text_is_read_strictly_and_repaired_as_declared(
    column: Column, text: str | None, value: object, repairs: set[str]
) -> None:
    assert read(column, text) == (value, repairs)
    assert repairs <= set(declared(column))


@given(number=st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=30, deadline=None)
def test_every_integer_is_read_back(number: int) -> None:
    assert read(Column("v", "integer"), str(number)) == (number, set())


@given(number=st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=30, deadline=None)
def test_every_number_is_read_back(number: float) -> None:
    assert read(Column("v", "number"), repr(number)) == (number, set())


@given(text=st.text(max_size=10).filter(lambda text: "\0" not in text))
@settings(max_examples=40, deadline=None)
def test_texts_and_names_in_sql_are_only_that(text: str) -> None:
    text = text.encode("utf8", "replace").decode()
    assert duckdb.sql(f"SELECT {literal(text)}").fetchall() == [(text,)]
    if text:
        assert duckdb.sql(f"SELECT 1 AS {quoted(text)}").columns == [text]


def test_a_column_without_a_unit_stays_as_it_is() -> None:
    assert in_unit(Column("v", "string", multiply_by=2.0), "x", {}) == ("x", {})
