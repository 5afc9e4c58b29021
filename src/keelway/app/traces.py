"""Finds the rows and files that hold one person: in versions by token, in raw text by the value itself.

Rows that were kept lead to their raw file by `_file`. What was never kept in a version (quarantined rows, files
refused whole or left out, batches that are not loaded yet) is read as text. Files are opened one at a time.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.core import Digest, digest_of, memory_duckdb
from keelway.errors import ErasedError, KeelwayError, MissingRecordError
from keelway.privacy import UsedVersion

if TYPE_CHECKING:
    from keelway.app.wire import Workspace
    from keelway.contract import CheckedBatch, Contract
    from keelway.ingest import Batch
    from keelway.snapshot import Snapshot

PIECE_BYTES = 1 << 22
"""A raw file is searched in pieces of this size."""
_OVERLAP_BYTES = 1 << 10
_ROW = b"\0row\0"
"""Stands before a row of Parquet, whose values are lines."""
_CELL_ENDS = re.compile(rb"[,;\t|\"{}\[\]\r\n]+")
ENCODINGS = ("utf-8", "latin-1", "cp1252", "utf-16-le", "utf-16-be")
"""How a value may be written in a raw file."""


@dataclass(slots=True)
class Traces:
    """Where a person was found.

    Attributes:
        tokens: Tokens of the person, and of what names them as well in their rows.
        files: Raw files and quarantines that hold the person.
        unsearched: Files that could not be looked into.
        snapshots: The versions that have their rows.
        objects: Names in the object store of those raw files.
        clear_rows: Table files that hold the value itself: versions from before its column was classified.
        columns: The columns that name persons like this one.
    """

    tokens: set[str] = field(default_factory=set)
    files: set[Digest] = field(default_factory=set)
    unsearched: set[Digest] = field(default_factory=set)
    snapshots: dict[Digest, UsedVersion] = field(default_factory=dict)
    objects: set[str] = field(default_factory=set)
    clear_rows: set[Digest] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)


def trace(value: str, datasets: Iterable[str], *, at: Workspace) -> Traces:
    """Return where a person is found in these datasets, by the value of a column of class `subject`."""
    traces = Traces(tokens=set(at.personal.tokens.known(value)))
    for dataset in datasets:
        contracts = _contracts(dataset, at)
        _in_versions(dataset, value, contracts, traces, at)
        _in_waiting_rows(dataset, value, contracts, traces, at)
        _in_texts(dataset, value, traces, at)
        _objects(dataset, traces, at)
    return traces


def leftovers(value: str, *, at: Workspace) -> set[Digest]:
    """Return the sealed files that hold a person and that no record names, because their ingest was killed."""
    from keelway.contract import CheckedBatch
    from keelway.ingest import Batch
    from keelway.serve import PredictionSegment

    with at.state.snapshot() as tx:
        named = _digests(tx.newest(Batch))
        named |= {item.quarantine for item in tx.newest(CheckedBatch) if item.quarantine is not None}
        named |= {segment.data for segment in tx.newest(PredictionSegment)}
    pattern, found = text_pattern(value), Traces()
    for digest in sorted(at.safe.keyring.vault.live_artifacts() - named):
        _search(digest, found, at, lambda path, digest=digest: [digest] if _holds(path, pattern) else [])  # type: ignore[misc]
    return found.files | found.unsearched


def naming_datasets(*, at: Workspace) -> list[str]:
    """Return the datasets that name persons by any contract they were checked by, declared still or not."""
    from keelway.contract import Contract

    with at.state.snapshot() as tx:
        return sorted({contract.dataset for contract in tx.newest(Contract) if contract.pii_columns})


def text_pattern(value: str) -> re.Pattern[bytes]:
    """Return what finds a value in raw bytes of any usual encoding, but not as a part of a longer word or number."""
    written = b"|".join(re.escape(each) for each in dict.fromkeys(_encoded(value)))
    return re.compile(rb"(?<![\w.-])(?:" + written + rb")(?![\w-]|\.\w)")


def _encoded(value: str) -> Iterator[bytes]:
    for encoding in ENCODINGS:
        with contextlib.suppress(UnicodeEncodeError):  # it cannot stand in such a file
            yield value.encode(encoding)


def _contracts(dataset: str, at: Workspace) -> list[Contract]:
    """Return every contract that a batch of the dataset was checked by: a class may have come later."""
    from keelway.contract import Contract

    with at.state.snapshot() as tx:
        return tx.newest(Contract, parent=dataset)


def _named(contracts: Iterable[Contract], pii: str) -> set[str]:
    return {column.name for contract in contracts for column in contract.pii_columns if column.pii == pii}


def _in_versions(dataset: str, value: str, contracts: list[Contract], traces: Traces, at: Workspace) -> None:
    """Follow the rows of a person: to the versions that have them, to their raw files, to what names them as well."""
    from keelway.snapshot import files_of

    subject, direct = _named(contracts, "subject"), _named(contracts, "direct")
    traces.columns |= subject
    names = {*traces.tokens, value}
    searched: dict[str, bool] = {}
    for snapshot, digest in _kept(dataset, at):
        for file in files_of(snapshot, at.artifacts):
            if file.path not in searched:
                path = at.tables.path_of(dataset, file.path, digest=file.digest)
                rows = _rows(path, subject, direct, names, value)
                searched[file.path] = bool(rows)
                _note(rows, file.digest, traces, at)
            if searched[file.path]:
                traces.snapshots[digest] = UsedVersion(f"{dataset} {snapshot.number}", digest)


def _in_waiting_rows(dataset: str, value: str, contracts: list[Contract], traces: Traces, at: Workspace) -> None:
    """Look into rows that were checked and are in no version yet: their ingest was killed."""
    subject, direct = _named(contracts, "subject"), _named(contracts, "direct")
    batches, checked = _history(dataset, at)
    last = last_loaded(dataset, at=at)
    waiting = {digest_of(batch) for batch in batches if batch.number > last}
    for item in checked:
        if item.batch in waiting and item.rows in at.artifacts:
            names = {*traces.tokens, value}
            _note(_rows(at.artifacts.path_of(item.rows), subject, direct, names, value), item.rows, traces, at)


def _kept(dataset: str, at: Workspace) -> list[tuple[Snapshot, Digest]]:
    """Return the versions of a dataset whose files are still there, newest first."""
    from keelway.snapshot import ExpiredSnapshot, snapshots

    with at.state.snapshot() as tx:
        found = [(snapshot, digest_of(snapshot)) for snapshot in snapshots(dataset, tx)]
        kept = tx.missing(ExpiredSnapshot, [digest for _, digest in found])
    return [(snapshot, digest) for snapshot, digest in found if digest in kept]


def _rows(path: Path, subject: set[str], direct: set[str], names: set[str], value: str) -> list[tuple[Any, ...]]:
    """Return of the rows of a person: raw file, whether the value stands there in clear, what stands beside it.

    An older file of a version may lack columns that came later.
    """
    import pyarrow.parquet

    there = pyarrow.parquet.read_schema(path).names
    here, beside = ([name for name in there if name in wanted] for wanted in (subject, direct))
    if not here:
        return []
    texts = [f"{_quoted(name)}::VARCHAR" for name in here]
    clear = " OR ".join(f"coalesce({text} = $value, false)" for text in texts)
    chosen = "".join(f", {_quoted(name)}" for name in beside)
    theirs = " OR ".join(f"{text} IN (SELECT unnest($names))" for text in texts)
    query = f"SELECT DISTINCT _file, {clear}{chosen} FROM read_parquet($path) WHERE {theirs}"  # noqa: S608 - quoted
    with memory_duckdb() as connection:
        given = {"names": sorted(names), "path": str(path), "value": value}
        return connection.execute(query, given).fetchall()


def _note(rows: list[tuple[Any, ...]], file: Digest, traces: Traces, at: Workspace) -> None:
    for raw, clear, *beside in rows:
        traces.files.add(Digest(raw))
        found = {str(each) for each in beside if each is not None}
        if clear:
            traces.clear_rows.add(file)
            traces.tokens.update(token for text in found for token in at.personal.tokens.known(text, "direct"))
        else:
            traces.tokens |= found


def _in_texts(dataset: str, value: str, traces: Traces, at: Workspace) -> None:
    """Search the quarantines, and every raw file whose rows are not in a version."""
    pattern = text_pattern(value)
    batches, checked = _history(dataset, at)
    for item in checked:
        if item.quarantine is not None and item.quarantine not in traces.files:
            _search(item.quarantine, traces, at, lambda path: _quarantined(path, pattern))
    last = last_loaded(dataset, at=at)
    waiting = {digest_of(batch) for batch in batches if batch.number > last}  # checked perhaps, but in no version yet
    done = [item for item in checked if item.batch not in waiting]
    loaded = {file.digest for item in done for file in item.files if not file.reasons}
    for digest in sorted(_digests(batches) - loaded - traces.files):
        _search(digest, traces, at, lambda path, digest=digest: _in_text(path, digest, pattern, traces, at))  # type: ignore[misc]


def _in_text(path: Path, digest: Digest, pattern: re.Pattern[bytes], traces: Traces, at: Workspace) -> list[Digest]:
    """Return a raw file where it holds a value, after noting what stands in the same lines and has a key.

    A check that was killed gave keys to `direct` values of rows that no record leads to; what is in the line is enough
    to find them, quotes and the like apart.
    """
    lines: set[bytes] = set()
    held = False
    for piece in _pieces(path):
        if pattern.search(piece):
            held = True
            lines.update(line for line in _lines(piece) if pattern.search(line))
    cells = {cell.strip().decode("utf-8", "ignore") for line in lines for cell in _CELL_ENDS.split(line)}
    for cell in sorted(cells - {""}):
        traces.tokens.update(at.personal.tokens.known(cell, "direct"))
    return [digest] if held else []


def _lines(piece: bytes) -> list[bytes]:
    """Return the lines of a piece of text; a row of Parquet is one."""
    return [piece.removeprefix(_ROW)] if piece.startswith(_ROW) else piece.splitlines()


def _search(holder: Digest, traces: Traces, at: Workspace, found_in: Callable[[Path], Iterable[Digest]]) -> None:
    """Look into one artifact, and note it with the raw files that it leads to."""
    try:
        found = list(found_in(at.artifacts.path_of(holder)))
    except (ErasedError, MissingRecordError):
        return  # destroyed before, or never stored (content that was known)
    except (KeelwayError, OSError, EOFError, ValueError):
        traces.unsearched.add(holder)
        return
    finally:
        at.artifacts.release()
    if found:
        traces.files.update((holder, *found))


def _history(dataset: str, at: Workspace) -> tuple[list[Batch], list[CheckedBatch]]:
    from keelway.contract import CheckedBatch
    from keelway.ingest import Batch

    with at.state.snapshot() as tx:
        return tx.newest(Batch, parent=dataset), tx.newest(CheckedBatch, parent=dataset)


def last_loaded(dataset: str, *, at: Workspace) -> int:
    """Return the number of the last batch whose rows are in a version; 0 where there is none."""
    from keelway.ingest import Batch, loaded_pointer

    with at.state.snapshot() as tx:
        pointer = tx.pointer(loaded_pointer(dataset))
        return tx.by_digest(Batch, pointer.target).number if pointer else 0


def _digests(batches: Iterable[Batch]) -> set[Digest]:
    return {digest for batch in batches for digest in _names(batch)}


def _names(batch: Batch) -> dict[Digest, set[str]]:
    """Return the raw files that a batch took or left out, with their names in the object store."""
    names: dict[Digest, set[str]] = {}
    for file in batch.files:
        names.setdefault(file.digest, set()).add(file.name)
    for left in batch.skipped:
        names.setdefault(left.digest, set()).add(left.name)
    return names


def _quarantined(path: Path, pattern: re.Pattern[bytes]) -> set[Digest]:
    """Return the raw files of the quarantined rows that hold a value."""
    import pyarrow.parquet

    found: set[Digest] = set()
    with pyarrow.parquet.ParquetFile(path) as stored:
        for part in stored.iter_batches(columns=["digest", "raw"]):
            pairs = zip(part["digest"].to_pylist(), part["raw"].to_pylist(), strict=True)
            found.update(Digest(digest) for digest, raw in pairs if pattern.search(str(raw).encode()))
    return found


def _holds(path: Path, pattern: re.Pattern[bytes]) -> bool:
    return any(pattern.search(piece) for piece in _pieces(path))


def _pieces(path: Path) -> Iterator[bytes]:
    """Yield the text of a raw file, unpacked where it is packed, in pieces that overlap."""
    import gzip

    with path.open("rb") as plain:
        start = plain.read(4)
    if start == b"PAR1":
        yield from _parquet_lines(path)
        return
    if start == b"\x28\xb5\x2f\xfd":
        import pyarrow as pa

        stream: Any = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
    else:
        stream = gzip.GzipFile(path) if start.startswith(b"\x1f\x8b") else path.open("rb")
    with stream:
        before = b""
        while piece := stream.read(PIECE_BYTES):
            yield before + piece
            before = piece[-_OVERLAP_BYTES:]


def _parquet_lines(path: Path) -> Iterator[bytes]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as stored:
        for part in stored.iter_batches():
            for row in part.to_pylist():
                yield _ROW + "\n".join(str(each) for each in row.values()).encode()


def _objects(dataset: str, traces: Traces, at: Workspace) -> None:
    """Note the names under which the object store still has the raw files that were found."""
    batches, _ = _history(dataset, at)
    for batch in batches:
        for digest, names in _names(batch).items():
            if digest in traces.files:
                traces.objects |= names


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
