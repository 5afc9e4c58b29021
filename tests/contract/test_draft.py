"""A draft says what its sample holds: it loads, and its own sample keeps every rule of it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.contract import Column, Contract, Findings, PiiClass, load_contract
from keelway.contract.drafting.draft import DraftedContract, draft_contract, scalar
from keelway.contract.drafting.sample import read_sample, sniff_delimiter, sniff_encoding
from keelway.core import digest_bytes
from keelway.engines.local.checker import DuckDbChecker
from keelway.errors import ContractError, StorageError
from keelway.ingest import RawFile

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("KEELWAY_DATA", ROOT.parent / "shared" / "data"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Veil:
    """A tokenizer that numbers the values it sees."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def tokens(self, values: Sequence[str], column: Column) -> list[str]:
        return [self._seen.setdefault(value, f"tok_{len(self._seen)}") for value in values]


def drafted(path: Path) -> tuple[DraftedContract, Contract]:
    """Return a draft of a file and the contract that it loads as."""
    draft = draft_contract([path], dataset="sample")
    written = path.with_suffix(".odcs.yaml")
    written.write_text(draft.text, "utf8")
    return draft, load_contract(written, "sample")


def checked(path: Path, contract: Contract, event_time: str = "") -> Findings:
    """Check a file against its own draft."""
    data = path.read_bytes()
    file = RawFile(path.name, digest_bytes(data), len(data), NOW, None)
    needed = event_time or contract.columns[0].name
    waived = frozenset() if event_time else frozenset({f"{needed}: missing"})
    with tempfile.TemporaryDirectory() as folder:
        return DuckDbChecker().check(
            [(file, path)], contract, event_time=needed, folder=Path(folder), tokenizer=Veil(), waived=waived
        )


def table(path: Path, rows: Sequence[Sequence[object]], *, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def column_of(tmp_path: Path, *values: object, name: str = "value") -> Column:
    """Return the guess for one column beside a column of numbers."""
    path = table(tmp_path / "one.csv", [("n", name), *((f"r{at}x", value) for at, value in enumerate(values))])
    _, contract = drafted(path)
    found = contract.column(name)
    assert found is not None
    return found


REAL = {
    "A_telco_ibm": (7043, ("customerID",), ""),
    "A_bank_churn_modelling": (10000, ("RowNumber",), ""),
    "C_bank_marketing_additional_full": (41188, (), ""),
    "C_bike_sharing_hour": (17379, ("instant",), "dateday"),
    "E_F_sms_spam_latin1": (5573, (), ""),
}
SPILLED = {"a value stands in a column without a name": 50}
"""Lines of the SMS file whose text spills over into columns that its header does not name; no contract can keep them."""


@pytest.mark.parametrize("name", REAL)
def test_a_real_file_keeps_every_rule_of_its_draft(tmp_path: Path, name: str) -> None:
    packed = DATA / f"{name}.csv.gz"
    if not packed.exists():
        pytest.skip(f"{packed.name} is not here")
    path = tmp_path / f"{name}.csv"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    draft, contract = drafted(path)
    found = checked(path, contract, draft.event_time)
    assert found.reasons == (SPILLED if name.startswith("E_F_sms") else {})
    (file,) = found.files
    rows, key, event_time = REAL[name]
    assert (file.rows_in, file.rows_quarantined) == (rows, sum(found.reasons.values()))
    assert (draft.rows, draft.key, draft.event_time) == (rows, key, event_time)


def test_a_real_file_without_a_header_is_drafted_by_the_places_of_its_columns(tmp_path: Path) -> None:
    packed = DATA / "D_german_credit.csv.gz"
    if not packed.exists():
        pytest.skip(f"{packed.name} is not here")
    data = gzip.decompress(packed.read_bytes())
    bare = tmp_path / "bare.csv"
    bare.write_bytes(data)
    draft, contract = drafted(bare)
    found = checked(bare, contract)
    assert (draft.rows, found.files[0].rows_in, found.reasons) == (1000, 1000, {})
    assert (contract.has_header, [column.name for column in contract.columns][::20]) == (
        False, ["column_1", "column_21"]
    )  # fmt: skip
    named = tmp_path / "named.csv"
    named.write_bytes(",".join(f"c{number}" for number in range(1, 22)).encode() + b"\n" + data)
    _, contract = drafted(named)
    assert checked(named, contract).reasons == {}
    status = contract.column("c1")
    assert status is not None
    assert status.allowed == ("A11", "A12", "A13", "A14")


def test_the_telco_blanks_are_missing_values(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", [("id", "total"), *((f"a{n}", f"{n}.5") for n in range(30)), ("b", " ")])
    _, contract = drafted(path)
    total = contract.column("total")
    assert total is not None
    assert (total.kind, total.trim, total.required) == ("number", True, False)
    assert checked(path, contract).reasons == {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("1", "22", "-3"), {"kind": "integer", "minimum": "-10", "maximum": "30"}),
        (("1.5", "20"), {"kind": "number", "minimum": "0", "maximum": "20"}),
        (("007", "123"), {"kind": "string", "min_length": 3, "max_length": 3}),
        (("1,5", "1.234,75"), {"kind": "number", "decimal_comma": True, "maximum": "2000"}),
        (("1,234", "12,345,678"), {"kind": "integer", "strip": (",",)}),
        (("1,234.5", "12"), {"kind": "number", "strip": (",",), "decimal_comma": False}),
        (("0,125", "1,250"), {"kind": "number", "decimal_comma": True}),
        (("1,234", "x"), {"kind": "string"}),
        (("$1.50", "$ 2,000.25"), {"kind": "number", "strip": ("$", ",")}),
        (("3 €", "4,5 €"), {"kind": "number", "strip": ("€",), "decimal_comma": True}),
        (("5%", "7%"), {"kind": "integer", "strip": ("%",)}),
        (("1", "n/a", "?"), {"kind": "integer", "missing": ("?", "n/a"), "required": False}),
        (("x", "NULL", "yy"), {"kind": "string", "missing": ("NULL",)}),
        (("true", "FALSE"), {"kind": "boolean"}),
        (("t", "f"), {"kind": "boolean"}),
        (("f", "m"), {"kind": "string"}),
        (("2020-02-29", "2021-01-01"), {"kind": "date", "minimum": "2020-01-01", "formats": ()}),
        (("2020-02-30", "2021-01-01"), {"kind": "string"}),
        (("31.12.2019", "01.02.2020"), {"kind": "date", "formats": ("%d.%m.%Y",)}),
        (("12/31/2019", "02/01/2020"), {"kind": "date", "formats": ("%m/%d/%Y",)}),
        (("2020-01-01 10:00", "2020-01-01T10:00:00Z"), {"kind": "timestamp", "formats": ()}),
        (("31.12.2019 23:59", "01.02.2020 00:01"), {"kind": "timestamp", "formats": ("%d.%m.%Y %H:%M",)}),
        (("12/31/2019 11:59:00 PM",), {"kind": "timestamp", "formats": ("%m/%d/%Y %I:%M:%S %p",)}),
        (("99999999999999999999", "1"), {"kind": "string"}),
        ((" a", "b "), {"kind": "string", "trim": True}),
        (("", ""), {"kind": "string", "required": False, "max_length": None}),
        (("5", "5", "5"), {"kind": "integer", "minimum": "0", "maximum": "10"}),
        (("0", "0"), {"kind": "integer", "minimum": "0", "maximum": "1"}),
        (("-1e300", "1e300"), {"kind": "number"}),
        (("it's", 'say "x", please', "a\nb"), {"kind": "string", "max_length": 20}),
    ],
)
def test_a_column_is_guessed(tmp_path: Path, values: tuple[str, ...], said: dict[str, Any]) -> None:
    found = column_of(tmp_path, *values)
    assert {name: getattr(found, name) for name in said} == said
    _, contract = drafted(tmp_path / "one.csv")
    assert checked(tmp_path / "one.csv", contract).reasons == {}


def test_whole_numbers_are_dates_only_where_the_name_says_so(tmp_path: Path) -> None:
    assert column_of(tmp_path, "20200131", "20201231", name="order_date").formats == ("%Y%m%d",)
    assert column_of(tmp_path, "20200131", "20201231", name="amount").kind == "integer"


def test_a_date_that_may_be_read_in_two_ways_is_pointed_out(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", [("n", "day"), ("a", "01/02/2020"), ("b", "03/04/2020")])
    draft, _ = drafted(path)
    assert draft.notes["day"] == ("%m/%d/%Y would fit as well",)


def test_few_values_that_come_often_are_a_set(tmp_path: Path) -> None:
    assert column_of(tmp_path, *["red", "green"] * 10).allowed == ("green", "red")
    assert column_of(tmp_path, *["red", "green"] * 9).allowed == ()
    assert column_of(tmp_path, *[f"v{n}x" for n in range(21)] * 20).allowed == ()


def test_values_that_are_built_alike_have_a_pattern(tmp_path: Path) -> None:
    assert column_of(tmp_path, *[f"{n:04d}-AB.{n}" for n in range(40)]).pattern == r"^[0-9]{4}-[A-Z]{2}\.[0-9]+$"
    assert column_of(tmp_path, *[f"{n:04d}-AB" for n in range(19)]).pattern is None
    assert column_of(tmp_path, *["word" * n for n in range(1, 40)]).pattern is None


MAILS = [f"p{n}@example.org" for n in range(30)]
PHONES = [f"+49 30 {1000000 + n}" for n in range(30)]
IBANS = ["DE89370400440532013000", "GB82WEST12345698765432", "FR1420041010050500013M02606"] * 10
CARDS = ["4111111111111111", "5500005555555559", "4012888888881881"] * 10


@pytest.mark.parametrize(
    ("name", "values", "pii"),
    [
        ("contact", MAILS, PiiClass.DIRECT),
        ("email", MAILS, PiiClass.DIRECT),
        ("phone", PHONES, PiiClass.DIRECT),
        ("PhoneService", ["Yes", "No"] * 20, PiiClass.NONE),
        ("account", IBANS, PiiClass.DIRECT),
        ("paid_with", CARDS, PiiClass.DIRECT),
        ("amount", [str(n * 10**13) for n in range(1, 31)], PiiClass.NONE),
        ("Surname", ["Hill", "Onio", "O'Neil", "Müller"] * 8, PiiClass.DIRECT),
        ("product_name", ["Lamp", "Desk"] * 15, PiiClass.NONE),
        ("client_ip", [f"10.0.0.{n}" for n in range(30)], PiiClass.DIRECT),
        ("version", [f"1.{n}.0" for n in range(30)], PiiClass.NONE),
        ("badge", [f"{n:03d}-45-6789" for n in range(101, 131)], PiiClass.DIRECT),
        ("street", [f"Long Lane {n}" for n in range(30)], PiiClass.DIRECT),
        ("passport_no", [f"C01X00T4{n}" for n in range(10, 40)], PiiClass.DIRECT),
        ("company", ["Panorama", "Span"] * 15, PiiClass.NONE),
        ("discarded", [str(n * 10**12) for n in range(1, 31)], PiiClass.NONE),
        ("card_kind", ["gold", "plain"] * 15, PiiClass.NONE),
    ],
)
def test_columns_that_name_a_person_are_found(tmp_path: Path, name: str, values: list[str], pii: PiiClass) -> None:
    path = table(tmp_path / "one.csv", [("n", name), *((f"r{at}x", value) for at, value in enumerate(values))])
    draft, contract = drafted(path)
    column = contract.column(name)
    assert column is not None
    assert column.pii is pii
    assert checked(path, contract).reasons == {}
    if pii:
        assert column.kind == "string"
        assert (column.allowed, column.pattern, column.minimum) == ((), None, None)
        assert "looks like" in draft.notes[name][0]


def test_a_draft_never_quotes_what_names_a_person(tmp_path: Path) -> None:
    rows = [("n", "email", "phone"), *((f"r{at}x", MAILS[0], PHONES[0]) for at in range(50))]
    draft, _ = drafted(table(tmp_path / "t.csv", rows))
    assert MAILS[0] not in draft.text
    assert PHONES[0] not in draft.text


def test_an_identifier_of_a_person_is_only_pointed_out(tmp_path: Path) -> None:
    rows = [("customer_id", "paid"), *((f"c{n}", n) for n in range(30))]
    draft, contract = drafted(table(tmp_path / "t.csv", rows))
    assert contract.pii_columns == ()
    assert "subject" in draft.notes["customer_id"][0]


def test_the_key_is_the_fewest_columns_that_never_repeat(tmp_path: Path) -> None:
    rows = [("day", "shop_id", "sold"), *((f"2020-01-0{n % 7 + 1}", f"s{n // 7}", 1) for n in range(35))]
    draft, contract = drafted(table(tmp_path / "t.csv", rows))
    assert draft.key == contract.key == ("day", "shop_id")
    assert draft.event_time == "day"


def test_texts_that_never_repeat_by_chance_are_no_key(tmp_path: Path) -> None:
    rows = [("label", "message"), *(("spam", f"text {n * n}") for n in range(30))]
    assert draft_contract([table(tmp_path / "t.csv", rows)], dataset="x").key == ()


def test_numbers_of_a_key_have_no_upper_bound(tmp_path: Path) -> None:
    _, contract = drafted(table(tmp_path / "t.csv", [("id", "x"), *((n, 1) for n in range(30))]))
    number = contract.column("id")
    assert number is not None
    assert (number.minimum, number.maximum) == ("0", None)


def test_a_name_that_keelway_keeps_for_itself_becomes_an_alias(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", [("_id", "x"), ("a", 1), ("b", 2)])
    _, contract = drafted(path)
    assert contract.columns[0].name == "id"
    assert contract.columns[0].aliases == ("_id",)
    assert checked(path, contract).reasons == {}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_delimiter_and_encoding_are_found(tmp_path: Path, delimiter: str, encoding: str) -> None:
    rows = [("name", "paid"), *((f"Müller {n}, Köln", f"{n},5") for n in range(40))]
    path = table(tmp_path / "t.csv", rows, delimiter=delimiter, encoding=encoding)
    _, contract = drafted(path)
    assert (contract.delimiter, contract.encoding) == (delimiter, encoding.removesuffix("-sig"))
    assert checked(path, contract).reasons == {}


def test_a_quote_that_is_none_is_found() -> None:
    unbalanced = "kind\ttext\n" + "".join(f'{n % 2}\t"so it goes {n}\n' for n in range(30))
    assert sniff_delimiter(unbalanced) == ("\t", "")
    assert sniff_delimiter("a,b\n'1,5',x\n'2,5',y\n'3,5,1',z\n") == (",", "'")
    times = [f"r{number},2008-05-01T00:00:0{number}+00:00,no" for number in range(9)]
    assert sniff_delimiter("\n".join(["row,called_at,y", *times, ""])) == (",", '"')
    assert sniff_delimiter("lonely\n1\n2\n") == (",", '"')


def test_encodings_are_told_by_their_bytes() -> None:
    assert sniff_encoding("Größe; Straße; naïve café".encode("cp1252")) == "cp1252"
    assert sniff_encoding(b"\x81\x8d caf\xe9") == "latin-1"
    russian = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 5
    assert russian.encode("cp1251").decode(sniff_encoding(russian.encode("cp1251"))) == russian


def test_several_samples_are_one_draft(tmp_path: Path) -> None:
    one = table(tmp_path / "1.csv", [("id", "old"), ("a", "1"), ("b", "2")])
    two = table(tmp_path / "2.csv", [("id", "new"), ("c", "2020-01-01")])
    sample = read_sample([one, two])
    assert [(column.name, column.ordered) for column in sample.columns] == [
        ("id", ["a", "b", "c"]),
        ("old", ["1", "2", None]),
        ("new", [None, None, "2020-01-01"]),
    ]
    text = draft_contract([one, two], dataset="x").text
    assert "missing in 2 of 3 rows" in text
    assert "3 rows are few" in text


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        pytest.param("1,2\n3,4\n", ["integer", "integer"], id="numbers"),
        pytest.param("ana,2026-01-01,1.5\nbo,2026-01-02,2\n", ["string", "date", "number"], id="texts among them"),
        pytest.param("a;x;1,5\nb;y;2,25\n", ["string", "string", "number"], id="decimal commas"),
        pytest.param("a,31.12.2025\nb,01.02.2026\n", ["string", "date"], id="dates by a format"),
        pytest.param("a,1.5,x\nb,2,y\nc,3,z\n", ["string", "number", "string"], id="a number above integers"),
        pytest.param("a,,1\nb,7,2\nc,,3\n", ["string", "integer", "integer"], id="no value, as in other rows"),
        pytest.param("a,n/a,1\nb,7,2\nc,n/a,3\n", ["string", "integer", "integer"], id="a word for none"),
        pytest.param('" a",true\n"b, c",false\n', ["string", "boolean"], id="quotes"),
        pytest.param("1990,4.5\n1991,2\n1992,1\n", ["integer", "number"], id="a year in the rows"),
    ],
)
def test_a_first_line_that_is_plainly_a_row_is_one(tmp_path: Path, data: str, kinds: list[str]) -> None:
    path = tmp_path / "bare.csv"
    path.write_bytes(b"\xef\xbb\xbf" + data.encode())
    draft, contract = drafted(path)
    assert "value: none # the first line looks like a row" in draft.text
    assert [(column.name, column.kind) for column in contract.columns] == [
        (f"column_{number}", kind) for number, kind in enumerate(kinds, start=1)
    ]
    found = checked(path, contract)
    assert (draft.rows, found.files[0].rows_in, found.reasons) == (data.count("\n"), data.count("\n"), {})


@pytest.mark.parametrize(
    ("data", "names"),
    [
        pytest.param("id,amount\n1,2\n", ["id", "amount"], id="names"),
        pytest.param("id,x\nana,y\n", ["id", "x"], id="texts only"),
        pytest.param(",a\n1,2\n2,3\n", ["a"], id="a column without a name"),
        pytest.param("n,unknown\n1,2\n2,3\n", ["n", "unknown"], id="a name that may mean no value"),
        pytest.param("t,f\ntrue,false\n", ["t", "f"], id="names among truths"),
        pytest.param("day,2\n2026-01-01,x\n2026-01-02\n2026-01-03\n", None, id="rows of another width"),
    ],
)
def test_a_first_line_that_may_hold_names_does(tmp_path: Path, data: str, names: list[str] | None) -> None:
    path = tmp_path / "named.csv"
    path.write_text(data, "utf8")
    if names is None:
        with pytest.raises(ContractError, match="no header"):
            draft_contract([path], dataset="x")
        return
    sample = read_sample([path])
    assert (sample.layout.header, [column.name for column in sample.columns]) == ("first line", names)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text("abcxyz", min_size=1, max_size=4),
            st.integers(-999, 999),
            st.floats(-99, 99).map(lambda x: round(x, 2)),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_a_header_is_always_told_from_rows_where_a_column_is_of_numbers(rows: list[tuple[str, int, float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        named = read_sample([table(Path(folder) / "n.csv", [("word", "count", "share"), *rows])])
        bare = read_sample([table(Path(folder) / "b.csv", rows)])
    assert (named.layout.header, named.rows) == ("first line", len(rows))
    assert (bare.layout.header, bare.rows) == ("none", len(rows))


def test_samples_with_and_without_a_header_are_not_alike(tmp_path: Path) -> None:
    named = table(tmp_path / "1.csv", [("id", "x"), ("a", "1"), ("b", "2")])
    bare = table(tmp_path / "2.csv", [("a", "1"), ("b", "2")])
    with pytest.raises(ContractError, match=r"2\.csv.*header 'first line', as in the first.*'none'"):
        read_sample([named, bare])


def test_samples_of_several_kinds_are_refused(tmp_path: Path) -> None:
    one = table(tmp_path / "1.csv", [("id", "x"), ("a", "1")])
    two = table(tmp_path / "2.csv", [("id", "x"), ("a", "1")], delimiter=";")
    with pytest.raises(ContractError, match=r"2\.csv.*delimiter ','.*';'"):
        read_sample([one, two])
    latin = table(tmp_path / "3.csv", [("id", "x"), ("é", "1")], encoding="latin-1")
    plain = table(tmp_path / "4.csv", [("id", "x"), ("é", "1")])
    with pytest.raises(ContractError, match="cp1252, utf-8"):
        read_sample([latin, plain])
    assert read_sample([one, latin]).layout.encoding == "cp1252"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("t.csv", b"", "no header"),
        ("t.csv", b"\n1,2\n", "no header"),
        ("t.csv", b"0,1\n3,4\n", "no header"),
        ("t.csv", b"a,1.5\nb,2020-01-01\n", "no header"),
        ("t.csv", b"country,1990,1995\nNorway,1.5,2\nChile,3.5,4\n", "no header"),
        ("t.csv", b"ham,go\nham,stop\nspam,win\nham,x\n", "no header"),
        ("t.csv", b"a,a\n3,4\n", "column twice"),
        ("t.csv", b"a,b\n", "no rows"),
        ("t.csv.gz", b"nonsense", "unpacked"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], "unpacked"),
        ("t.jsonl", b'{"a": 1}\n{"a"\n', "line 2"),
        ("t.jsonl", b"[1]\n", "line 1"),
        ("t.parquet", b"nonsense", "no Parquet"),
    ],
)
def test_what_cannot_be_drafted_is_told(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ContractError, match=said):
        draft_contract([tmp_path / name], dataset="x")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"absent\.csv"):
        draft_contract([tmp_path / "absent.csv"], dataset="x")
    with pytest.raises(ContractError, match="no sample"):
        draft_contract([], dataset="x")


def test_packed_files_are_read(tmp_path: Path) -> None:
    import pyarrow as pa

    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"id,x\na,1\n"))
    with pa.CompressedOutputStream(str(tmp_path / "t.csv.zst"), "zstd") as stream:
        stream.write(b"id,x\nb,2\n")
    sample = read_sample([tmp_path / "t.csv.gz", tmp_path / "t.csv.zst"])
    assert sample.columns[0].ordered == ["a", "b"]


def test_json_lines_keep_their_types(tmp_path: Path) -> None:
    rows = [{"id": f"u{n}", "n": n, "x": n / 2, "ok": n % 2 == 0, "at": f"2020-01-01T00:00:0{n}Z"} for n in range(5)]
    rows[2]["tags"] = ["a", {"b": 1}]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, contract = drafted(tmp_path / "t.jsonl")
    assert checked(tmp_path / "t.jsonl", contract, "at").reasons == {}
    kinds = {column.name: column.kind for column in contract.columns}
    assert kinds == {
        "id": "string", "n": "integer", "x": "number", "ok": "boolean", "at": "timestamp", "tags": "string",
    }  # fmt: skip


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    days = [date(2020, 1, 1) + timedelta(days=n) for n in range(4)]
    data = {
        "code": ["01", "02", "03", None],
        "day": days,
        "at": [datetime(2020, 1, 1, n) for n in range(4)],
        "paid": pa.array([1, 2, 3, 4], pa.decimal128(10, 2)),
        "odd": [float("nan"), 1.0, 2.0, 3.0],
        "empty": pa.array([None] * 4, pa.string()),
        "written": ["2020-01-01", "2020-01-02", None, "2020-01-03"],
    }
    pq.write_table(pa.table(data), tmp_path / "t.parquet")
    draft, contract = drafted(tmp_path / "t.parquet")
    assert [(column.kind, column.required) for column in contract.columns] == [
        ("string", False), ("date", True), ("timestamp", True), ("number", True), ("number", True),
        ("string", False), ("date", False),
    ]  # fmt: skip
    assert draft.event_time == "day"
    assert checked(tmp_path / "t.parquet", contract, "day").reasons == {"odd: not a number": 1}


def test_a_sample_that_goes_on_is_looked_at_as_far_as_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keelway.contract.drafting.sample.MAX_ROWS", 3)
    one = table(tmp_path / "1.csv", [("id", "x"), ("a", "1"), ("b", "2")])
    two = table(tmp_path / "2.csv", [("id", "x"), ("c", "3"), ("d", "nothing")])
    sample = read_sample([one, two])
    assert (sample.rows, sample.cut_short) == (3, True)
    assert sample.columns[1].ordered == ["1", "2", "3"]
    assert "has more rows" in draft_contract([one, two], dataset="x").text
    assert not read_sample([one]).cut_short


def test_values_of_several_types_are_texts_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"x": 1}\n{"x": "one"}\n')
    draft, contract = drafted(tmp_path / "t.jsonl")
    assert contract.columns[0].kind == "string"
    assert draft.notes["x"] == ("values of several types: int, str",)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_any_text_is_written_as_one_line_of_yaml(text: str) -> None:
    import yaml

    written = scalar(text)
    assert "\n" not in written
    assert yaml.safe_load(f"- x: {written} # why") == [{"x": text}]


CELLS = {
    "integers": st.integers(-(2**63) + 1, 2**63 - 1).map(str),
    "floats": st.floats(allow_nan=False, allow_infinity=False).map(repr),
    "cents": st.decimals(-10_000, 10_000, places=2).map(str),
    "commas": st.decimals(-10_000, 10_000, places=2).map(lambda value: str(value).replace(".", ",")),
    "dates": st.dates(date(1900, 1, 1), date(2099, 12, 31)).map(lambda day: f"{day:%d.%m.%Y}"),
    "iso": st.datetimes(datetime(1900, 1, 1), datetime(2099, 1, 1)).map(datetime.isoformat),
    "words": st.text("abc XYZ019-_.,;'$%?/é", max_size=12),
    "codes": st.from_regex(r"[A-Z]{2}-[0-9]{3}", fullmatch=True),
    "switches": st.sampled_from(["true", "False", "T", "", "n/a"]),
}


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    kinds = draw(st.lists(st.sampled_from(list(CELLS)), min_size=2, max_size=4))
    count = draw(st.integers(1, 30))
    columns = []
    for kind in kinds:
        cell = CELLS[kind] | st.just("") if draw(st.booleans()) else CELLS[kind]
        columns.append(draw(st.lists(cell, min_size=count, max_size=count)))
    header = [f"col{at}" for at in range(len(kinds))]
    return [header, *([*row] for row in zip(*columns, strict=True))]


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from([",", ";", "\t"]))
def test_any_sample_keeps_every_rule_of_its_draft(rows: list[list[str]], delimiter: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = table(Path(folder) / "t.csv", rows, delimiter=delimiter)
        draft = draft_contract([path], dataset="sample")
        written = Path(folder) / "t.yaml"
        written.write_text(draft.text, "utf8")
        contract = load_contract(written, "sample")
        if contract.delimiter == delimiter:  # a table of one-letter cells may be read in two ways
            assert checked(path, replace(contract, final_newline=True)).reasons == {}
