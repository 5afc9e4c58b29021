"""The levels of changes are true of rows: what widens keeps every row as it was, what breaks loses or alters one."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from keelway.contract import ChangeLevel, Contract, changes_between, load_contract
from keelway.core import digest_bytes
from keelway.engines.local.checker import DuckDbChecker
from keelway.ingest import RawFile

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
schema:
  - name: orders
    customProperties:
      - {property: unknownColumns, value: ignore}
      - {property: finalNewline, value: optional}
    properties:
      - {name: id, logicalType: string, required: true}
      - {name: day, logicalType: date, required: true, customProperties: [{property: dateFormats, value: ['%d.%m.%Y']}]}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 100}}
      - {name: plan, logicalType: string, enum: [{value: basic}, {value: plus}]}
      - {name: count, logicalType: integer}
      - {name: seen, logicalType: timestamp}
      - {name: note, logicalType: string, logicalTypeOptions: {maxLength: 8}}
"""
ROWS = """\
id,day,amount,plan,count,seen,note,spare
a1,2026-01-02,1.5,basic,1,2026-01-02T03:04,fine,1
a1,03.04.2026,0,plus,2,2026-01-02T03:04Z,fine,2
a2,2026-01-02,100,basic,,,,
a3,2026-01-02,,plus,-5,2026-07-01 12:00, padded ,x
a4,2026-01-02,99.5,basic,7,2026-01-02,-,y
a5,05/06/2026,5,basic,7,,slashes,
a6,2026-01-02,-1,basic,7,,below,
a7,2026-01-02,101,basic,7,,above,
a8,2026-01-02,$5,basic,7,,sign,
a9,2026-01-02,"2,5",basic,7,,comma,
b1,2026-01-02,n/a,basic,7,,token,
b2,2026-01-02, 4 ,basic,7,,blanks,
b3,2026-01-02,5,gold,7,,gold,
b4,2026-01-02,5,,7,,noplan,
b5,2026-01-02,5,basic,1.5,,fraction,
b6,2026-01-02,5,basic,7,,far too long,
,2026-01-02,5,basic,7,,noid,
b7,,5,basic,7,,noday,
b8,2026-01-02,12,basic,7,,$5,
"""
COLUMN = "      - {name: extra, logicalType: string%s}\n"
CHANGES: list[tuple[str, str, str, ChangeLevel]] = [
    ("optional column", CONTRACT[-1:], "\n" + COLUMN % "", ChangeLevel.ADDITIVE),
    ("column that was ignored", CONTRACT[-1:], "\n      - {name: spare, logicalType: string}\n", ChangeLevel.ADDITIVE),
    (
        "required with a default",
        CONTRACT[-1:],
        "\n" + COLUMN % ", required: true, customProperties: [{property: default, value: x}]",
        ChangeLevel.ADDITIVE,
    ),
    ("alias", "name: note, logicalType: string", "name: note, logicalType: string, customProperties: [{property: aliases, value: [remark]}]", ChangeLevel.ADDITIVE),
    ("format at the end", "['%d.%m.%Y']", "['%d.%m.%Y', '%d/%m/%Y']", ChangeLevel.ADDITIVE),
    ("trimmed numbers", "maximum: 100}}", "maximum: 100}, customProperties: [{property: trim, value: true}]}", ChangeLevel.ADDITIVE),
    ("decimal comma", "maximum: 100}}", "maximum: 100}, customProperties: [{property: decimalComma, value: true}]}", ChangeLevel.ADDITIVE),
    ("currency sign", "maximum: 100}}", "maximum: 100}, customProperties: [{property: strip, value: ['$']}]}", ChangeLevel.ADDITIVE),
    ("word for missing", "maximum: 100}}", "maximum: 100}, customProperties: [{property: missing, value: [n/a]}]}", ChangeLevel.ADDITIVE),
    ("warning", "maximum: 100}}", "maximum: 100}, quality: [{metric: nullValues, mustBe: 0, severity: warn}]}", ChangeLevel.ADDITIVE),
    ("row count", "    properties:\n", "    quality: [{metric: rowCount, mustBeGreaterThan: 2, severity: stop}]\n    properties:\n", ChangeLevel.ADDITIVE),
    ("integer to number", "name: count, logicalType: integer", "name: count, logicalType: number", ChangeLevel.WIDENING),
    ("minimum lowered", "minimum: 0", "minimum: -2", ChangeLevel.WIDENING),
    ("maximum removed", ", maximum: 100", "", ChangeLevel.WIDENING),
    ("value added", "{value: plus}", "{value: plus}, {value: gold}", ChangeLevel.WIDENING),
    ("no longer required", "name: id, logicalType: string, required: true", "name: id, logicalType: string", ChangeLevel.WIDENING),
    ("longer", "maxLength: 8", "maxLength: 80", ChangeLevel.WIDENING),
    ("required column", CONTRACT[-1:], "\n" + COLUMN % ", required: true", ChangeLevel.BREAKING),
    ("column removed", "      - {name: plan, logicalType: string, enum: [{value: basic}, {value: plus}]}\n", "", ChangeLevel.BREAKING),
    ("column renamed", "name: note, logicalType: string", "name: remark, logicalType: string, customProperties: [{property: aliases, value: [note]}]", ChangeLevel.BREAKING),
    ("number to integer", "name: amount, logicalType: number", "name: amount, logicalType: integer", ChangeLevel.BREAKING),
    ("integer to string", "name: count, logicalType: integer", "name: count, logicalType: string", ChangeLevel.BREAKING),
    ("minimum raised", "minimum: 0", "minimum: 1", ChangeLevel.BREAKING),
    ("minimum itself excluded", "minimum: 0", "exclusiveMinimum: 0", ChangeLevel.BREAKING),
    ("value removed", ", {value: plus}", "", ChangeLevel.BREAKING),
    ("required", "maximum: 100}}", "maximum: 100}, required: true}", ChangeLevel.BREAKING),
    ("unique", "logicalType: string, required: true}", "logicalType: string, required: true, unique: true}", ChangeLevel.BREAKING),
    ("condition", "    properties:\n", "    quality: [{type: custom, engine: keelway, implementation: 'count > 0'}]\n    properties:\n", ChangeLevel.BREAKING),
    ("another format first", "['%d.%m.%Y']", "['%m.%d.%Y', '%d.%m.%Y']", ChangeLevel.BREAKING),
    ("format removed", ", customProperties: [{property: dateFormats, value: ['%d.%m.%Y']}]", "", ChangeLevel.BREAKING),
    ("unit", "maximum: 100}}", "maximum: 100}, customProperties: [{property: multiplyBy, value: 0.5}]}", ChangeLevel.BREAKING),
    ("time zone", "logicalType: timestamp}", "logicalType: timestamp, customProperties: [{property: timeZone, value: Europe/Berlin}]}", ChangeLevel.BREAKING),
    ("default", "maximum: 100}}", "maximum: 100}, customProperties: [{property: default, value: 7}]}", ChangeLevel.BREAKING),
    ("trimmed texts", "maxLength: 8}}", "maxLength: 8}, customProperties: [{property: trim, value: true}]}", ChangeLevel.BREAKING),
    ("text for missing", "maxLength: 8}}", "maxLength: 8}, customProperties: [{property: missing, value: ['-']}]}", ChangeLevel.BREAKING),
    ("minus sign cut out", "name: count, logicalType: integer", "name: count, logicalType: integer, customProperties: [{property: strip, value: ['-']}]", ChangeLevel.BREAKING),
    ("sign cut from texts", "maxLength: 8}}", "maxLength: 8}, customProperties: [{property: strip, value: ['$']}]}", ChangeLevel.BREAKING),
    ("unknown columns", "value: ignore", "value: quarantine", ChangeLevel.BREAKING),
    ("delimiter", "      - {property: unknownColumns", "      - {property: delimiter, value: ';'}\n      - {property: unknownColumns", ChangeLevel.BREAKING),
]  # fmt: skip


def contract(folder: Path, text: str) -> Contract:
    path = folder / "c.yaml"
    path.write_text(text, "utf8")
    return load_contract(path, "orders")


def kept(checked_by: Contract, folder: Path) -> dict[int, dict[str, Any]]:
    """Return the kept rows by their line."""
    path = folder / "rows.csv"
    path.write_text(ROWS, "utf8", newline="")
    data = path.read_bytes()
    file = RawFile(path.name, digest_bytes(data), len(data), datetime(2026, 1, 3, tzinfo=UTC), None)
    with tempfile.TemporaryDirectory() as out:
        found = DuckDbChecker().check([(file, path)], checked_by, event_time="day", folder=Path(out))
        assert found.rows is not None
        rows = pq.read_table(found.rows).to_pylist()
    return {row["_row"]: {name: value for name, value in row.items() if not name.startswith("_")} for row in rows}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contract, dict[int, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("before")
    old = contract(folder, CONTRACT)
    rows = kept(old, folder)
    assert len(rows) == 7
    return old, rows


@pytest.mark.parametrize(("old", "new", "level"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_a_level_is_true_of_rows(before: Any, tmp_path: Path, old: str, new: str, level: ChangeLevel) -> None:
    assert old in CONTRACT
    changed = CONTRACT[:-1] + new if old == "\n" else CONTRACT.replace(old, new, 1)
    was, rows = before
    now = contract(tmp_path, changed)
    assert changes_between(was, now).level is level
    after = kept(now, tmp_path)
    same = all(line in after and rows[line].items() <= after[line].items() for line in rows)
    assert same == (level is not ChangeLevel.BREAKING)
    if level is ChangeLevel.WIDENING:
        assert len(after) > len(rows), "a widening change lets rows in that were kept out"
