"""Each of 43 nasty tables, and a file in the wrong encoding, is loaded right or refused with the reason."""

from __future__ import annotations

import csv
import gzip
import io
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from keelway.contract import Column, Contract, Findings, draft_contract, load_contract
from keelway.core import digest_bytes
from keelway.engines.delta import DeltaTables
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.checker import DuckDbChecker
from keelway.engines.sql import SqlState
from keelway.errors import ContractError
from keelway.ingest import RawFile, SkipReason
from keelway.project import Dataset
from keelway.testing.intake import Intake
from keelway.testing.pages import Page, table

KNOWN = tomllib.loads(Path(__file__).with_suffix("").with_name("messytables.toml").read_text("utf8"))
SMS = "E_F_sms_spam_latin1.csv.gz"
KNOWN_AT = datetime(2026, 3, 2, tzinfo=UTC)
LOADED = [name for name, known in KNOWN.items() if known["outcome"] != "refused"]
DRAFTED = [
    name
    for name in LOADED
    if KNOWN[name]["rows"] and not {"bad", "skipLines"} & KNOWN[name].keys() and name != "long.csv"
]
REFUSED = [name for name, known in KNOWN.items() if known["outcome"] == "refused"]


class PlainTokens:
    """Gives each value a token that anybody could make: a drafted contract may take columns for personal ones."""

    def tokens(self, values: Sequence[str], column: Column) -> list[str]:
        return [f"tok_{digest_bytes(value.encode())}" for value in values]


@dataclass(frozen=True, slots=True)
class Told:
    """What Keelway says of one file: the rows it would load, how many it keeps out, and why."""

    rows: list[dict[str, Any]]
    quarantined: int
    reasons: tuple[str, ...]
    renamed: dict[str, str]


@pytest.fixture(scope="module")
def files(data_folder: Path, unpacked) -> dict[str, bytes]:
    folder = unpacked("E_messytables_horror.zip") / "horror"
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    return found | {SMS: (data_folder / SMS).read_bytes()}


def written_contract(folder: Path, columns: list[str], known: dict[str, Any], *, required: bool = False, **own: Any):
    """Return a contract that asks for texts in these columns, and takes the day from the folder."""
    properties = {"format": "csv", "finalNewline": "optional", **own}
    properties |= {key: known[key] for key in ("encoding", "delimiter", "header", "skipLines") if key in known}
    document = {
        "apiVersion": "v3.1.0", "kind": "DataContract", "id": "messy", "version": "1.0.0", "status": "active",
        "schema": [{
            "name": "messy",
            "customProperties": [{"property": key, "value": value} for key, value in properties.items()],
            "properties": [
                {"name": "dt", "logicalType": "date", "required": True},
                *({"name": name, "logicalType": "string", "required": required} for name in columns),
            ],
        }],
    }  # fmt: skip
    path = folder / "messy.odcs.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), "utf8")
    return load_contract(path, "messy")


def tell(name: str, body: bytes, contract: Contract, folder: Path) -> Told:
    """Check one file and return what is said."""
    path = folder / "object"
    path.write_bytes(body)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    raw = RawFile(f"dt=2026-03-01/{name}", digest_bytes(body), len(body), KNOWN_AT, None)
    try:
        found = DuckDbChecker(threads=1).check(
            [(raw, path)], contract, event_time="dt", folder=out, tokenizer=PlainTokens()
        )
    except ContractError as error:
        return Told([], 0, (str(error), error.fix), {})
    assert found.rows is not None
    rows = pq.read_table(found.rows).to_pylist()
    return Told(rows, found.files[0].rows_quarantined, _reasons(found), found.files[0].renamed or {})


def _reasons(found: Findings) -> tuple[str, ...]:
    return (*found.files[0].reasons, *found.reasons, *found.stops)


def asked_of(known: dict[str, Any]) -> list[str]:
    """Return the columns that a contract asks of a file whose first line does not name them."""
    return known.get("names", ["id", "value"])


def as_python_reads_it(body: bytes, known: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a file, below its header or else the names of its columns, as Python's own reader has them."""
    body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    encoding = known.get("encoding", "utf-8-sig")
    text = body.decode(encoding)
    lines = io.StringIO(text, newline="")
    for _ in range(known.get("skipLines", 0)):
        next(lines)
    rows = [row for row in csv.reader(lines, delimiter=known.get("delimiter", ",")) if row]
    return [known["names"], *rows] if known.get("header") == "none" else rows


def test_every_file_of_the_collection_is_known(files: dict[str, bytes]) -> None:
    assert sorted(files) == sorted(KNOWN)


@pytest.mark.parametrize("name", LOADED)
def test_a_table_is_loaded_as_another_reader_reads_it(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    known = KNOWN[name]
    head, *rows = as_python_reads_it(files[name], known)
    assert (len(rows), len(head)) == (known["rows"], known["columns"])
    names = [column.strip() for column in head if column.strip()]
    told = tell(name, files[name], written_contract(tmp_path, names, known), tmp_path)
    expected = [_named(row, head) for row in rows if len(row) == len(head) and not _spilt(row, head)]
    assert [{column: row[column] for column in names} for row in told.rows] == expected
    assert told.quarantined == known.get("bad", 0)
    assert bool(told.reasons) == bool(told.quarantined)
    assert known.get("reason", "") in " ".join(told.reasons)


def _named(row: list[str], head: list[str]) -> dict[str, str | None]:
    return {name.strip(): cell or None for name, cell in zip(head, row, strict=True) if name.strip()}


def _spilt(row: list[str], head: list[str]) -> bool:
    """Say whether a value stands in a column without a name."""
    return any(cell for name, cell in zip(head, row, strict=True) if not name.strip())


@pytest.mark.parametrize("required", [True, False], ids=["required", "optional"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_is_refused_with_the_reason(
    name: str, required: bool, files: dict[str, bytes], tmp_path: Path
) -> None:
    contract = written_contract(tmp_path, asked_of(KNOWN[name]), KNOWN[name], required=required)
    told = tell(name, files[name], contract, tmp_path)
    assert told.rows == []
    assert told.reasons
    assert KNOWN[name]["reason"].lower() in " ".join(told.reasons).lower()


@pytest.mark.parametrize("name", [name for name in REFUSED if "columns" not in KNOWN[name]])
def test_a_format_that_cannot_be_read_is_told_by_name(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    contract = written_contract(tmp_path, asked_of(KNOWN[name]), KNOWN[name], format="")
    told = tell(name, files[name], contract, tmp_path)
    assert told.rows == []
    assert told.reasons


def test_a_draft_asks_for_a_header_where_the_first_line_looks_like_values(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "long.csv").write_bytes(files["long.csv"])
    with pytest.raises(ContractError, match="no header"):
        draft_contract([tmp_path / "long.csv"], dataset="messy")


@pytest.mark.parametrize("name", DRAFTED)
def test_a_drafted_contract_keeps_every_row_of_its_sample(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    sample = tmp_path / (name if name.endswith(".gz") else Path(name).with_suffix(".csv"))
    sample.write_bytes(files[name])
    document = yaml.safe_load(draft_contract([sample], dataset="messy").text)
    document["schema"][0]["properties"].append({"name": "dt", "logicalType": "date", "required": True})
    path = tmp_path / "drafted.odcs.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), "utf8")
    told = tell(sample.name, files[name], load_contract(path, "messy"), tmp_path)
    assert (len(told.rows), told.quarantined, told.reasons) == (KNOWN[name]["rows"], 0, ())


def test_all_files_at_once_go_the_whole_way_in(files: dict[str, bytes], tmp_path: Path) -> None:
    intake = Intake(
        dataset=Dataset("messy", contract="messy.yaml", source="raw/**/*", event_time="dt"),
        contract=written_contract(tmp_path, ["id", "value"], {}, format=""),
        objects=tmp_path / "objects",
        state=SqlState(f"sqlite:///{tmp_path}/state.db"),
        artifacts=LocalArtifacts(tmp_path / "artifacts"),
        tables=DeltaTables.below(tmp_path / "tables"),
    )
    for name, body in files.items():
        intake.upload(f"raw/dt=2026-03-01/{name}", body, KNOWN_AT)
    batch = intake.pull(KNOWN_AT)
    assert batch is not None
    assert [(file.name.rpartition("/")[2], file.reason) for file in batch.skipped] == [
        ("simple.unknown", SkipReason.EMPTY)
    ]
    checked = intake.check(batch)
    snapshot = intake.take(checked)
    intake.state.close()
    named = {"characters.csv"}  # it has a column `id`
    assert {file.name.rpartition("/")[2] for file in checked.files if not file.reasons} <= named
    assert snapshot.rows == checked.rows_ok == 0


def test_the_page_tells_each_file(files: dict[str, bytes], page: Page, tmp_path: Path) -> None:
    rows = []
    for name, known in sorted(KNOWN.items(), key=lambda item: item[0].lower()):
        names = asked_of(known)
        if known["outcome"] != "refused":
            names = [column.strip() for column in as_python_reads_it(files[name], known)[0] if column.strip()]
        told = tell(name, files[name], written_contract(tmp_path, names, known), tmp_path)
        seen = f"{len(told.rows)} rows loaded, {told.quarantined} quarantined" if told.rows else "nothing loaded"
        if known["outcome"] == "loaded":
            seen = f"{len(told.rows)} rows loaded"
        rows.append([f"`{name}`", known["told"], known["outcome"], seen, next(iter(told.reasons), "")])
    page.must_tell("messytables", table(["file", "what it is", "outcome", "seen", "told"], rows))
