"""What every checker must read, however it is packed; inherit it and give the fixture `checker`."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.contract import Checker, Column, UnknownColumns
from keelway.testing.checks import DAY, CheckRoom, contract_of, kept, quarantined

PLAIN = contract_of(Column("id", "string", required=True), DAY, Column("amount", "number"))
ROWS = [("1", date(2026, 3, 1), 2.5), ("2", date(2026, 3, 1), None)]
CSV = "id,day,amount\n1,2026-03-01,2.5\n2,2026-03-01,\n"
JSONL = '{"id": "1", "day": "2026-03-01", "amount": 2.5}\n{"amount": null, "id": "2", "day": "2026-03-01"}\n'
TEXTS = contract_of(Column("a", "string"), DAY, Column("b", "string"), final_newline=False)
NASTY = st.text(alphabet='ab",;\n\r \té\u2028', max_size=6)


def zstd(data: bytes) -> bytes:
    """Return data packed by zstd."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


def write_csv(rows: list[list[str]], *, quoting: Any = csv.QUOTE_MINIMAL) -> str:
    """Return rows as CSV, below the header `a,day,b`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n", quoting=quoting)
    writer.writerow(["a", "day", "b"])
    writer.writerows(rows)
    return out.getvalue()


class CheckerFormats:
    """Promises of `Checker` about what it reads. Subclasses give the fixture `checker`."""

    @pytest.fixture
    def room(self, checker: Checker, tmp_path: Path) -> CheckRoom:
        """A folder to check files in."""
        return CheckRoom(checker, tmp_path)

    @pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
    @pytest.mark.parametrize(("ending", "body"), [(".csv", CSV), (".jsonl", JSONL)], ids=["csv", "jsonl"])
    def test_a_packed_file_is_read_as_a_plain_one(self, room: CheckRoom, ending: str, body: str, pack: Any) -> None:
        packed = {bytes: "", gzip.compress: ".gz", zstd: ".zst"}[pack]
        found = room.check(PLAIN, {f"orders{ending}{packed}": pack(body.encode())})
        assert kept(found, "id", "day", "amount") == ROWS

    def test_parquet_is_read_by_the_names_of_its_columns(self, room: CheckRoom) -> None:
        amounts, ids, days = [2.5, None], ["1", "2"], [date(2026, 3, 1)] * 2
        found = room.check(PLAIN, {"orders.parquet": room.parquet({"amount": amounts, "id": ids, "day": days})})
        assert kept(found, "id", "day", "amount") == ROWS
        assert kept(found, "_row") == [1, 2]

    @pytest.mark.parametrize("cut", [0.5, 0.9])
    @pytest.mark.parametrize(("pack", "ending"), [(gzip.compress, ".gz"), (zstd, ".zst")], ids=["gzip", "zstd"])
    def test_a_packed_file_that_is_cut_off_is_quarantined_whole(
        self, room: CheckRoom, pack: Any, ending: str, cut: float
    ) -> None:
        data = pack(("id,day,amount\n" + "".join(f"{n},2026-03-01,{n * 7919 % 977}\n" for n in range(2000))).encode())
        found = room.check(PLAIN, {f"a.csv{ending}": data[: int(len(data) * cut)], "b.csv": CSV})
        assert found.files[0].reasons[0].endswith("data is cut off")
        assert found.files[0].rows_ok == 0
        assert kept(found, "id") == ["1", "2"]

    def test_a_packed_file_with_a_flipped_byte_is_quarantined_whole(self, room: CheckRoom) -> None:
        data = bytearray(gzip.compress(CSV.encode() * 50))
        data[-6] ^= 1  # of the check sum
        found = room.check(PLAIN, {"a.csv.gz": bytes(data)})
        assert found.files[0].reasons == ("the gzip data is damaged",)

    @pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.zst"])
    def test_a_name_that_promises_packing_which_is_not_there_is_told(self, room: CheckRoom, name: str) -> None:
        found = room.check(PLAIN, {name: CSV})
        assert "as its name says" in found.files[0].reasons[0]
        assert (found.files[0].rows_in, found.files[0].rows_quarantined) == (2, 2)

    @pytest.mark.parametrize(
        ("encoding", "start"),
        [("utf-8", b"\xef\xbb\xbf"), ("utf-16", b""), ("utf-16-le", b"\xff\xfe"), ("cp1252", b""), ("latin-1", b"")],
    )
    def test_encodings_and_byte_order_marks_are_read(self, room: CheckRoom, encoding: str, start: bytes) -> None:
        contract = contract_of(Column("id", "string"), DAY, encoding=encoding)
        found = room.check(contract, {"a.csv": start + "id,day\nÄß,2026-03-01\n".encode(encoding)})
        assert kept(found, "id") == ["Äß"]

    def test_bytes_of_another_encoding_quarantine_the_file_and_say_where(self, room: CheckRoom) -> None:
        found = room.check(PLAIN, {"a.csv": CSV.encode() + b"\xe4,2026-03-01,1\n"})
        assert found.files[0].reasons == (f"the file is not utf-8: byte {len(CSV)}",)
        assert found.files[0].rows_quarantined == 3
        assert kept(found) == []

    @pytest.mark.parametrize("delimiter", [";", "\t", "|", "¦", "'"])
    def test_any_delimiter_separates(self, room: CheckRoom, delimiter: str) -> None:
        contract = contract_of(Column("id", "string"), DAY, delimiter=delimiter)
        found = room.check(contract, {"a.csv": f'id{delimiter}day\n"a{delimiter}b"{delimiter}2026-03-01\n'})
        assert kept(found, "id") == [f"a{delimiter}b"]

    def test_other_quotes_and_none(self, room: CheckRoom) -> None:
        body = "id,day\n'a,b',2026-03-01\n\"c\",2026-03-01\n"
        single = room.check(contract_of(Column("id", "string"), DAY, quote="'"), {"a.csv": body})
        assert kept(single, "id") == ["a,b", '"c"']
        none = room.check(contract_of(Column("id", "string"), DAY, quote=""), {"a.csv": body})
        assert kept(none, "id") == ['"c"']
        assert quarantined(none) == [(2, "'a,b',2026-03-01", ("3 fields instead of 2",))]

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_every_line_end_ends_a_line(self, room: CheckRoom, end: str) -> None:
        body = "\nid,day,amount\n1,2026-03-01,1\n\n2,2026-03-01,2\n".replace("\n", end)
        assert kept(room.check(PLAIN, {"a.csv": body}), "id", "_row") == [("1", 3), ("2", 5)]

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        rows=st.lists(st.tuples(NASTY, NASTY), min_size=1, max_size=8),
        quoting=st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
    )
    def test_what_pythons_csv_module_writes_is_read_back(
        self, room: CheckRoom, rows: list[tuple[str, str]], quoting: Any
    ) -> None:
        body = write_csv([[a, "2026-03-01", b] for a, b in rows], quoting=quoting)
        found = room.check(TEXTS, {"a.csv": body})
        assert kept(found, "a", "b") == [(a or None, b or None) for a, b in rows]

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(body=st.text(alphabet='a",\n\r 2026-031', max_size=60))
    def test_no_row_is_lost_and_none_differs_from_pythons_csv_module(self, room: CheckRoom, body: str) -> None:
        found = room.check(TEXTS, {"a.csv": f"a,day,b\n{body}"})
        (file,) = found.files
        assert file.rows_in == file.rows_ok + file.rows_quarantined == len(kept(found)) + len(quarantined(found))
        records = list(csv.reader(io.StringIO(body, newline="")))
        for a, day, b in kept(found, "a", "day", "b"):
            assert [a or "", str(day), b or ""] in records
        if '"' not in body:
            assert file.rows_in == sum(1 for record in records if record)

    def test_a_quote_that_is_never_closed_keeps_its_text(self, room: CheckRoom) -> None:
        body = 'a,day,b\nx,2026-03-01,y\nz,2026-03-01,"open\nx,2026-03-01,y\n'
        found = room.check(TEXTS, {"a.csv": body})
        assert quarantined(found) == [(3, 'z,2026-03-01,"open\nx,2026-03-01,y', ("a quote is never closed",))]
        assert kept(found, "a") == ["x"]

    def test_text_behind_a_closing_quote_is_not_swallowed(self, room: CheckRoom) -> None:
        found = room.check(TEXTS, {"a.csv": 'a,day,b\n"x"y,2026-03-01,z\nx,2026-03-01,5" pipe\n'})
        assert quarantined(found) == [(2, '"x"y,2026-03-01,z', ("text stands outside its quotes",))]
        assert kept(found, "b") == ['5" pipe']

    def test_json_values_are_kept_as_they_are_written(self, room: CheckRoom) -> None:
        contract = contract_of(Column("id", "string"), DAY, Column("more", "string"))
        big = "12345678901234567890123.10"
        lines = [
            f'{{"id": {big}, "day": "2026-03-01", "more": {{"a": [1, "x"]}}}}',
            '{"id": "\\u00e4\\n\\"", "day": "2026-03-01", "more": true}',
            '{"day": "2026-03-01", "id": "", "more": null}',
        ]
        found = room.check(contract, {"a.ndjson": "\n".join(lines) + "\n"})
        assert kept(found, "id", "more") == [(big, '{"a": [1, "x"]}'), ('ä\n"', "true"), (None, None)]

    @pytest.mark.parametrize("line", ["{", "[1]", '"x"', "{'id': 1}", '{"id": 1} x', '{"id": NaN}', '{"id": 1,}'])
    def test_a_line_that_is_no_json_object_is_quarantined(self, room: CheckRoom, line: str) -> None:
        found = room.check(PLAIN, {"a.jsonl": f"{JSONL}\n{line}\n"})
        assert quarantined(found) == [(4, line, ("not a JSON object",))]
        assert len(kept(found)) == 2

    def test_json_keys_go_by_aliases_and_twice_is_once_too_often(self, room: CheckRoom) -> None:
        contract = contract_of(Column("id", "string", aliases=("ident",)), DAY)
        rows = [{"ident": "1", "day": "2026-03-01"}, {"id": "2", "day": "2026-03-01"}, {"id": 3, "ident": 4, "x": 5}]
        found = room.check(contract, {"a.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
        assert kept(found, "id") == ["1", "2"]
        assert found.repairs == {"id": {"alias": 1}}
        assert found.files[0].renamed == {"ident": "id"}
        assert found.files[0].extra == ("x",)
        assert found.reasons == {"column id stands twice": 1}

    def test_unknown_json_keys_quarantine_the_file_where_the_contract_says_so(self, room: CheckRoom) -> None:
        contract = contract_of(DAY, unknown_columns=UnknownColumns.QUARANTINE)
        found = room.check(contract, {"a.jsonl": '{"day": "2026-03-01"}\n{"day": "2026-03-01", "x": 1}\n'})
        assert found.files[0].reasons == ("unknown column x",)
        assert found.files[0].rows_quarantined == 2

    def test_the_contract_may_say_the_format(self, room: CheckRoom) -> None:
        contract = contract_of(*PLAIN.columns, format="jsonl")
        assert kept(room.check(contract, {"orders.txt": JSONL}), "id") == ["1", "2"]

    @pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
    def test_partitions_fill_columns_that_the_file_lacks(self, room: CheckRoom, ending: str) -> None:
        contract = contract_of(Column("id", "string"), DAY, Column("region", "string", aliases=("area",)))
        body: Any = {".csv": "id\n1\n", ".jsonl": '{"id": "1"}\n', ".parquet": room.parquet({"id": ["1"]})}[ending]
        names = [f"day=2026-03-0{number}/area=a%20{number}/x{ending}" for number in (1, 2)]
        found = room.check(
            contract, dict.fromkeys([*names, f"day=2026-03-03/area=__HIVE_DEFAULT_PARTITION__/x{ending}"], body)
        )
        days = [date(2026, 3, day) for day in (1, 2, 3)]
        assert kept(found, "day", "region") == list(zip(days, ["a 1", "a 2", None], strict=True))
        assert found.files[0].missing == ()

    def test_a_column_of_the_file_beats_its_partition(self, room: CheckRoom) -> None:
        found = room.check(PLAIN, {"day=2025-01-01/a.csv": CSV, "day=2025-01-01/b.jsonl": JSONL})
        assert set(kept(found, "day")) == {date(2026, 3, 1)}


KINDS = contract_of(
    DAY,
    Column("whole", "integer"),
    Column("number", "number"),
    Column("truth", "boolean"),
    Column("moment", "timestamp"),
    Column("text", "string"),
)


class CheckerParquet:
    """Promises of `Checker` about Parquet. Subclasses give the fixture `checker`."""

    @pytest.fixture
    def room(self, checker: Checker, tmp_path: Path) -> CheckRoom:
        """A folder to check files in."""
        return CheckRoom(checker, tmp_path)

    def read(self, room: CheckRoom, name: str, value: Any) -> Any:
        """Return what becomes of a column of one value: the value kept, the row's reasons, or the file's."""
        found = room.check(KINDS, {"a.parquet": room.parquet({"day": [date(2026, 3, 1)], name: value})})
        if found.files[0].reasons:
            return found.files[0].reasons
        return kept(found, name)[0] if kept(found) else quarantined(found)[0][2]

    @pytest.mark.parametrize(
        ("name", "value", "read"),
        [
            ("whole", ["12"], 12),
            ("whole", ["1.5"], ("whole: not integer",)),
            ("whole", [12.0], 12),
            ("whole", [12.5], ("whole: not integer",)),
            ("whole", [True], ("column whole holds bool, not integer",)),
            ("whole", [None], None),
            ("number", [3], 3.0),
            ("number", ["2.5"], 2.5),
            ("number", [float("nan")], ("number: not number",)),
            ("number", [float("inf")], ("number: not number",)),
            ("truth", [True], True),
            ("truth", ["true"], True),
            ("truth", [1], ("column truth holds int64, not boolean",)),
            ("day", [datetime(2026, 3, 1)], date(2026, 3, 1)),  # noqa: DTZ001 - a column without a zone
            ("day", [datetime(2026, 3, 1, 1)], ("day: not date",)),  # noqa: DTZ001
            ("day", ["2026-03-01"], date(2026, 3, 1)),
            ("moment", [datetime(2026, 3, 1, 1, tzinfo=UTC)], datetime(2026, 3, 1, 1, tzinfo=UTC)),
            ("moment", [datetime(2026, 3, 1, 1)], datetime(2026, 3, 1, 1, tzinfo=UTC)),  # noqa: DTZ001
            ("moment", ["2026-03-01T01:00:00+01:00"], datetime(2026, 3, 1, tzinfo=UTC)),
            ("text", [7], ("column text holds int64, not string",)),
            ("text", [b"x"], ("column text holds binary, not string",)),
            ("text", [{"a": 1}], '{"a":1}'),
            ("text", [[1, 2]], "[1,2]"),
        ],
    )
    def test_a_value_is_kept_exactly_or_refused(self, room: CheckRoom, name: str, value: Any, read: Any) -> None:
        assert self.read(room, name, value) == read

    def test_times_finer_than_a_microsecond_are_refused(self, room: CheckRoom) -> None:
        import pyarrow as pa

        fine = pa.array([1_000, 1_001], pa.timestamp("ns"))
        body = room.parquet({"day": [date(2026, 3, 1)] * 2, "moment": fine})
        found = room.check(KINDS, {"a.parquet": body})
        assert kept(found, "moment") == [datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)]
        assert found.reasons == {"moment: not timestamp": 1}

    def test_each_file_is_read_by_its_own_types(self, room: CheckRoom) -> None:
        import pyarrow as pa

        day = [date(2026, 3, 1)]
        wholes = [pa.array([1], pa.int8()), pa.array([2**40], pa.int64()), pa.array(["3"]), pa.array([4.0])]
        files = {f"{n}.parquet": room.parquet({"day": day, "whole": one, f"x{n}": [n]}) for n, one in enumerate(wholes)}
        found = room.check(KINDS, {**files, "9.parquet": room.parquet({"day": [None], "y": ["z"]})})
        assert kept(found, "whole") == [1, 2**40, 3, 4]
        assert json.loads(quarantined(found)[0][1]) == {"day": None, "y": "z"}

    @pytest.mark.parametrize("name", ["file_row_number", "FILE_INDEX", "DAY"])
    def test_a_column_that_could_be_taken_for_another_is_told(self, room: CheckRoom, name: str) -> None:
        found = room.check(KINDS, {"a.parquet": room.parquet({"day": [date(2026, 3, 1)], name: [5]})})
        assert found.files[0].reasons == (f"column {name} stands twice",)

    def test_a_quarantined_row_is_its_json(self, room: CheckRoom) -> None:
        body = room.parquet({"text": ["x", "y"], "day": [date(2026, 3, 1), None], "other": [1.5, None]})
        found = room.check(KINDS, {"a.parquet": body})
        ((row, raw, reasons),) = quarantined(found)
        assert (row, json.loads(raw), reasons) == (2, {"text": "y", "day": None, "other": None}, ("day: missing",))

    def test_text_in_parquet_is_repaired_like_text_in_csv(self, room: CheckRoom) -> None:
        amount = Column("amount", "number", trim=True, decimal_comma=True, missing=("NA",), default="0")
        body = room.parquet({"day": ["2026-03-01"] * 4, "amount": [" 1,5", "NA", "2", None]})
        found = room.check(contract_of(DAY, amount), {"a.parquet": body})
        assert kept(found, "amount") == [1.5, 0.0, 2.0, 0.0]
        assert found.repairs == {"amount": {"trim": 1, "decimal_comma": 1, "missing": 1, "default": 2}}

    def test_numbers_in_parquet_have_their_missing_words_and_defaults(self, room: CheckRoom) -> None:
        amount = Column("amount", "integer", missing=("-999",), default="7", multiply_by=100.0)
        body = room.parquet({"day": ["2026-03-01"] * 3, "amount": [1, -999, None]})
        found = room.check(contract_of(DAY, amount), {"a.parquet": body})
        assert kept(found, "amount") == [100, 700, 700]
        assert found.repairs == {"amount": {"missing": 1, "default": 2, "unit": 3}}

    @pytest.mark.parametrize("damage", ["cut off", "no footer", "empty", "a page"])
    def test_a_damaged_file_is_quarantined_and_the_others_are_read(self, room: CheckRoom, damage: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        rows = pa.table({"day": [date(2026, 3, 1)] * 5000, "text": [f"{n * 7919 % 5003}" for n in range(5000)]})
        pq.write_table(rows, sink, compression="zstd", use_dictionary=False)
        data = bytearray(bytes(sink.getvalue()))
        if damage == "a page":
            data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
        body = {"cut off": data[:-100], "no footer": data[:200], "empty": b"", "a page": data}[damage]
        good = room.parquet({"day": ["2026-03-01"], "text": ["x"]})
        found = room.check(KINDS, {"a.parquet": bytes(body), "b.parquet": good})
        assert found.files[0].reasons
        assert found.files[0].rows_ok == 0
        assert kept(found, "text") == ["x"]

    def test_rows_of_all_formats_come_in_the_order_of_files_and_lines(self, room: CheckRoom) -> None:
        contract = contract_of(DAY, Column("text", "string"))
        body = room.parquet({"text": ["p", "q"], "day": ["2026-03-01"] * 2})
        line = '{"day": "2026-03-01", "text": "j"}\n'
        rows = "day,text\n2026-03-01,c\n2026-03-01,d\n"
        files: dict[str, bytes | str] = {
            "d.csv": rows,
            "a.parquet": body,
            "c.jsonl": line,
            "b.csv": rows,
            "e.parquet": body,
        }
        assert kept(room.check(contract, files), "text") == ["p", "q", "c", "d", "j", "c", "d", "p", "q"]
