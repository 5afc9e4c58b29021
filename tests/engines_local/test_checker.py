"""What the checker on DuckDB does beyond the promises of the port: threads, memory, order, and what SQL may touch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from keelway.contract import Against, Column, Contract, PiiClass, Rule, RuleKind, Severity
from keelway.engines.local.checker import DuckDbChecker
from keelway.engines.local.checking import outcome, rows_file
from keelway.errors import ContractError, StorageError
from keelway.testing.checks import DAY, CheckRoom, PlainTokenizer, contract_of, kept, quarantined

ONCE = Rule(RuleKind.UNIQUE, ("id",), "id: repeats an earlier row")
KNOWN = Rule(RuleKind.REFERENCE, ("shop",), "shop: not in shops", dataset="shops", references=("name",))
CONTRACT = contract_of(
    Column("id", "integer"),
    Column("shop", "string", pii=PiiClass.SUBJECT),
    Column("amount", "number", decimal_comma=True),
    DAY,
    rules=(ONCE, KNOWN, Rule(RuleKind.MINIMUM, ("amount",), "amount: below 0", minimum="0")),
)


def orders(first: int, count: int) -> str:
    """Return rows of which some break each rule."""
    rows = (
        f'{n % (count - count // 50)},s{n % 501},"{(n * 7919) % 1000 - 10},5",2026-03-{1 + n % 28:02}\n'
        for n in range(first, first + count)
    )
    return "id,shop,amount,day\n" + "".join(rows)


def files_and_rest(room: CheckRoom, count: int = 3000) -> tuple[dict[str, bytes | str], Against]:
    import csv
    import io

    rows = list(csv.DictReader(io.StringIO(orders(count, count))))
    parquet = room.parquet({name: [row[name] for row in rows] for name in ("id", "shop", "amount", "day")})
    shops = [PlainTokenizer().token(f"s{n}") for n in range(500)]
    against = Against(references={"shops": room.version("shops", {"name": shops})})
    return {"a.csv": orders(0, count), "b.parquet": parquet, "c.csv": orders(count // 2, count)}, against


def test_any_number_of_threads_gives_the_same_bytes(tmp_path: Path) -> None:
    written = set()
    for threads in (1, 2, 4):
        room = CheckRoom(DuckDbChecker(threads=threads), tmp_path / str(threads))
        room.folder.mkdir()
        files, against = files_and_rest(room, 8000)
        found = room.check(CONTRACT, files, against=against, tokenizer=PlainTokenizer())
        assert found.rows is not None
        assert found.quarantine is not None
        assert set(found.reasons) == {"id: repeats an earlier row", "shop: not in shops", "amount: below 0"}
        written.add((found.rows.read_bytes(), found.quarantine.read_bytes()))
    assert len(written) == 1


def test_rows_that_come_out_of_order_are_put_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = CheckRoom(DuckDbChecker(), tmp_path)
    files, against = files_and_rest(room)
    straight = room.check(CONTRACT, files, against=against, tokenizer=PlainTokenizer())
    query = outcome.kept_query
    monkeypatch.setattr(outcome, "kept_query", lambda work: f"SELECT * FROM ({query(work)}) ORDER BY _row")
    mixed = room.check(CONTRACT, files, against=against, tokenizer=PlainTokenizer())
    assert straight.rows is not None
    assert mixed.rows is not None
    assert straight.rows.read_bytes() == mixed.rows.read_bytes()


def test_row_groups_have_one_size_over_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_file, "ROW_GROUP", 1000)
    contract = contract_of(Column("id", "integer"), DAY)
    files = {f"{n}.csv": "id,day\n" + "1,2026-03-01\n" * 700 for n in range(4)}
    found = CheckRoom(DuckDbChecker(), tmp_path).check(contract, files)
    assert found.rows is not None
    stored = pq.ParquetFile(found.rows).metadata
    assert [stored.row_group(n).num_rows for n in range(stored.num_row_groups)] == [1000, 1000, 800]


def test_rows_beyond_the_memory_go_to_disk(tmp_path: Path) -> None:
    room = CheckRoom(DuckDbChecker(threads=1, memory_limit="40MB"), tmp_path)
    body = "id,day\n" + "".join(f"{n // 2},2026-03-01\n" for n in range(400_000))
    found = room.check(contract_of(Column("id", "integer"), DAY, rules=(ONCE,)), {"a.csv": body})
    assert (found.files[0].rows_ok, found.files[0].rows_quarantined) == (200_000, 200_000)


def test_memory_that_does_not_suffice_is_told(tmp_path: Path) -> None:
    room = CheckRoom(DuckDbChecker(memory_limit="1MB"), tmp_path)
    with pytest.raises(StorageError):
        room.check(contract_of(Column("id", "integer"), DAY), {"a.csv": "id,day\n" + "1,2026-03-01\n" * 50_000})


def test_a_pattern_that_is_no_expression_is_the_contracts_fault(tmp_path: Path) -> None:
    broken = Rule(RuleKind.PATTERN, ("shop",), "shop: wrong", text="(")
    contract = contract_of(Column("shop", "string"), DAY, rules=(broken,))
    room = CheckRoom(DuckDbChecker(), tmp_path)
    for files in (
        {"a.csv": "shop,day\nx,2026-03-01\n"},
        {"a.parquet": room.parquet({"shop": ["x"], "day": ["2026-03-01"]})},
    ):
        with pytest.raises(ContractError):
            room.check(contract, files)


def test_a_batch_without_files_or_readable_files_keeps_nothing(tmp_path: Path) -> None:
    room = CheckRoom(DuckDbChecker(), tmp_path)
    for files in ({}, {"a.parquet": b"no"}):
        found = room.check(replace(CONTRACT, rules=(ONCE,)), files, tokenizer=PlainTokenizer())
        assert kept(found) == []
        assert [file.rows_in for file in found.files] == [0] * len(files)
        assert found.quarantine is None


def test_files_of_many_layouts_are_read_in_one_batch(tmp_path: Path) -> None:
    contract = contract_of(Column("id", "integer"), DAY, Column("note", "string"))
    room = CheckRoom(DuckDbChecker(), tmp_path)
    files: dict[str, bytes | str] = {}
    for n in range(0, 40, 4):
        files[f"{n:02}.csv"] = f"id,day\n{n},2026-03-01\n"
        files[f"{n + 1:02}.csv"] = f"day,note,id\n2026-03-01,x,{n + 1}\n"
        files[f"{n + 2:02}.jsonl"] = f'{{"id": {n + 2}, "day": "2026-03-01"}}\n'
        files[f"{n + 3:02}.parquet"] = room.parquet({"day": ["2026-03-01"], "id": [n + 3]})
    assert kept(room.check(contract, files), "id") == list(range(40))


def test_files_come_in_the_order_of_their_names_whatever_the_order_given(tmp_path: Path) -> None:
    room = CheckRoom(DuckDbChecker(), tmp_path)
    contract = contract_of(Column("id", "integer"), DAY, rules=(ONCE,))
    files = {"b.csv": "id,day\n1,2026-03-02\n", "a.csv": "id,day\n1,2026-03-01\n"}
    one, other = (room.check(contract, dict(order)) for order in (files.items(), reversed(files.items())))
    assert str(kept(one, "day")[0]) == "2026-03-01"
    assert one.rows is not None
    assert other.rows is not None
    assert one.rows.read_bytes() == other.rows.read_bytes()
    assert [file.name for file in one.files] == ["a.csv", "b.csv"]


@pytest.mark.parametrize("name", ["file", "row", "raw", "fields", "select", 'say "x"', "a b", "reasons", "place"])
def test_a_column_may_have_any_name(tmp_path: Path, name: str) -> None:
    rules = (Rule(RuleKind.UNIQUE, (name,), "twice"), Rule(RuleKind.MIN_LENGTH, (name,), "short", minimum="1"))
    contract = contract_of(Column(name, "string", aliases=("other",), trim=True), DAY, rules=rules)
    room = CheckRoom(DuckDbChecker(), tmp_path)
    files = {
        "a.csv": "other,day\nx ,2026-03-01\nx,2026-03-01\n",
        "b.parquet": room.parquet({name: ["y"], "day": ["2026-03-01"]}),
    }
    found = room.check(contract, files)
    assert kept(found, name) == ["x", "y"]
    assert found.repairs == {name: {"alias": 1, "trim": 1}}


def test_names_that_differ_in_case_only_are_told(tmp_path: Path) -> None:
    room = CheckRoom(DuckDbChecker(), tmp_path)
    with pytest.raises(ContractError, match="ID"):
        room.check(contract_of(Column("id", "string"), Column("ID", "string"), DAY), {"a.csv": "id,ID,day\n"})


def test_a_quarantine_of_all_formats_shows_each_row_as_it_stood(tmp_path: Path) -> None:
    room = CheckRoom(DuckDbChecker(), tmp_path)
    contract = contract_of(
        Column("id", "integer"),
        DAY,
        rules=(Rule(RuleKind.MINIMUM, ("id",), "low", minimum="5", severity=Severity.FILE),),
    )
    files: dict[str, bytes | str] = {
        "a.csv": 'id,day\r\n1,2026-03-01\r\n"9",2026-03-01\r\n',
        "b.jsonl": '{"id": 9, "day": "2026-03-01"}\n{"id": "x"}\n',
        "c.parquet": room.parquet({"id": [9, 1], "day": ["2026-03-01"] * 2}),
        "d.csv.gz": b"\x1f\x8b",
    }
    found = room.check(contract, files)
    assert quarantined(found) == [
        (2, "1,2026-03-01", ("low", "the file: low")),
        (3, '"9",2026-03-01', ("the file: low",)),
        (2, '{"id": "x"}', ("day: missing", "id: not integer")),
        (1, '{"id":9,"day":"2026-03-01"}', ("the file: low",)),
        (2, '{"id":1,"day":"2026-03-01"}', ("low", "the file: low")),
    ]
    assert [(file.rows_in, file.rows_ok) for file in found.files] == [(2, 0), (2, 1), (2, 0), (0, 0)]
    assert found.files[3].reasons == ("the gzip data is cut off",)
    assert found.examples == tuple(found.examples[:5])


def test_a_folder_that_looks_like_a_partition_is_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "id=7"
    folder.mkdir()
    room = CheckRoom(DuckDbChecker(), folder)
    contract = contract_of(Column("id", "integer"), DAY)
    assert kept(room.check(contract, {"a.parquet": room.parquet({"id": [1], "day": ["2026-03-01"]})}), "id") == [1]


def checked_contract(contract: Contract) -> Contract:
    return replace(contract, rules=())


def test_a_contract_without_rules_still_wants_the_event_time(tmp_path: Path) -> None:
    found = CheckRoom(DuckDbChecker(), tmp_path).check(
        checked_contract(contract_of(Column("id", "integer"), DAY)), {"a.csv": "id,day\nx,2026-03-01\n1,\n"}
    )
    assert kept(found, "id") == [None]
    assert found.reasons == {"day: missing": 1}
