"""Opens one file: what kind it is, what its header says, and how its columns map to the contract's.

The kind goes by the contract or by the file's name, the compression by the file's first bytes. A column of the
contract that the file lacks is filled from the Hive partitions in the file's name (`dt=2026-03-01/`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from keelway.contract import CheckedFile, Contract, UnknownColumns, told_names
from keelway.ingest import RawFile

COMPRESSIONS = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
FOREIGN = {
    b"PK\x03\x04": "a zip archive, as xlsx and ods files are",
    b"\xd0\xcf\x11\xe0": "an Excel workbook (xls) or another OLE document",
    b"%PDF": "a PDF",
    b"PAR1": "a Parquet file",
    b"<!doctype html": "a page of HTML",
    b"<html": "a page of HTML",
    b"<table": "a page of HTML",
}
"""The first bytes of what is no text, or no table, in small letters."""
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class Layout:
    """What can be known of a file before its rows are read.

    Attributes:
        number: Its place among the files of the batch, from 0.
        format: `csv`, `jsonl` or `parquet`.
        compression: `gzip`, `zstd` or empty.
        constants: Contract column to the text its partition gives it (None for no value).
        names: For each column of the contract its name in the file, or None where the file has none.
        positions: For each column of the contract its field, counted from 1, or None.
        kinds: For each column of the contract the family of its type in a Parquet file; empty for files of text.
        nameless: The fields, counted from 1, over which the header has no name.
        schema: The columns of a Parquet file with their types, as text.
        fields: How many fields a row of the file has.
        renamed: Header in the file to column of the contract, where they differ.
        problems: Why the whole file is quarantined, or empty.
    """

    number: int
    file: RawFile
    path: Path
    format: str
    compression: str = ""
    constants: dict[str, str | None] = field(default_factory=dict)
    names: tuple[str | None, ...] = ()
    positions: tuple[int | None, ...] = ()
    kinds: tuple[str, ...] = ()
    schema: str = ""
    nameless: tuple[int, ...] = ()
    fields: int = 0
    renamed: dict[str, str] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class Told:
    """What is learned of a file while its rows are read.

    Attributes:
        rows: How many rows it has.
        problems: Why the whole file is quarantined.
        renamed: Header in the file to column of the contract, as in `Layout`; JSON objects have theirs row by row.
        seen: Columns of the contract that stand in at least one JSON object.
        extra: Keys of JSON objects that the contract does not know.
    """

    rows: int = 0
    problems: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    extra: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a file, matched with those of a contract."""

    names: tuple[str | None, ...]
    positions: tuple[int | None, ...]
    renamed: dict[str, str]
    extra: tuple[str, ...]
    missing: tuple[str, ...]
    problems: tuple[str, ...]


def compression_of(name: str, path: Path) -> tuple[str, str | None]:
    """Return how a file is compressed, and a problem where its name and its bytes disagree."""
    with path.open("rb") as stream:
        start = stream.read(4)
    named = COMPRESSIONS.get(PurePosixPath(name.lower()).suffix, "")
    found = next((kind for kind, magic in MAGIC.items() if start.startswith(magic)), "")
    if named and named != found:
        return found, f"the file is not {named}, as its name says"
    return found, None


def foreign_kind(path: Path, format_: str) -> str | None:
    """Return the problem that a file's first bytes are those of something else altogether, or None."""
    with path.open("rb") as stream:
        start = stream.read(512).removeprefix(b"\xef\xbb\xbf").lstrip()
    told = next((kind for magic, kind in FOREIGN.items() if start[: len(magic)].lower() == magic.lower()), None)
    return told and f"the file is {told}, not {format_}: save it as CSV, JSON Lines or Parquet"


def partitions_of(name: str) -> dict[str, str | None]:
    """Return the Hive partitions in a file's name.

    >>> partitions_of("raw/dt=2026-03-01/region=a%20b/x.csv")
    {'dt': '2026-03-01', 'region': 'a b'}
    """
    parts = (part.partition("=") for part in PurePosixPath(name).parts[:-1])
    return {
        unquote(key): None if value == HIVE_NULL else unquote(value) for key, equals, value in parts if key and equals
    }


def constants_of(name: str, contract: Contract) -> dict[str, str | None]:
    """Return the columns of a contract that the partitions in a file's name can fill."""
    found: dict[str, str | None] = {}
    for key, value in partitions_of(name).items():
        column = contract.column_named_in_file(key)
        if column is not None:
            found[column.name] = value
    return found


def matched(header: Sequence[str], contract: Contract, constants: dict[str, str | None]) -> Header:
    """Return how the headers of a file map to the columns of a contract, and what is wrong with them."""
    at: dict[str, int] = {}
    renamed: dict[str, str] = {}
    extra: list[str] = []
    problems: list[str] = []
    for number, name in enumerate(header, start=1):
        column = contract.column_named_in_file(name)
        if column is None:
            extra.append(name)
        elif column.name in at:
            problems.append(f"column {column.name} stands twice")
        else:
            at[column.name] = number
            if name != column.name:
                renamed[name] = column.name
    missing = tuple(
        column.name for column in contract.columns if column.name not in at and column.name not in constants
    )
    required = {column.name for column in contract.columns if column.required and column.default is None}
    problems += [f"column {name} is missing" for name in missing if name in required]
    if missing and not at and not problems:
        problems.append("no column of the contract stands in the file")
    told = told_names(extra, contract, headed=bool(at))
    problems += unknown(told, contract)
    positions = tuple(at.get(column.name) for column in contract.columns)
    names = tuple(None if number is None else header[number - 1] for number in positions)
    return Header(names, positions, renamed, told, missing, tuple(problems))


def unknown(extra: Sequence[str], contract: Contract) -> list[str]:
    """Return the problems that columns make which a contract does not know."""
    if contract.unknown_columns is not UnknownColumns.QUARANTINE:
        return []
    return [f"unknown column {name}" for name in extra]


def checked_file(layout: Layout, told: Told, contract: Contract, *, reasons: Sequence[str], bad: int) -> CheckedFile:
    """Return what is kept of a file's check."""
    missing = layout.missing
    if layout.format == "jsonl":
        here = told.seen | set(layout.constants)
        missing = tuple(column.name for column in contract.columns if column.name not in here)
    return CheckedFile(
        name=layout.file.name,
        digest=layout.file.digest,
        rows_in=told.rows,
        rows_ok=told.rows - bad,
        rows_quarantined=bad,
        reasons=tuple(reasons),
        renamed={**layout.renamed, **told.renamed},
        extra=layout.extra + tuple(told.extra),
        missing=missing,
    )
