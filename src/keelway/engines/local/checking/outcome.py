"""Writes down what came of a check: the kept rows, the quarantined ones, and the counts of both."""

# ruff: noqa: S608 - the SQL is made of numbers and of names and literals that `quoted` and `literal` quote.
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.contract import CheckedFile, QuarantinedRow, Severity
from keelway.core import Digest
from keelway.engines.local.checking.opening import Told, checked_file
from keelway.engines.local.checking.repairs import quoted
from keelway.engines.local.checking.rows_file import kept_schema, quarantine_schema, write_rows
from keelway.engines.local.checking.segments import ROWS_OF_TEXT, file_number, flag_names, parquet_files
from keelway.engines.local.checking.work import Work, reading, row_breaks

if TYPE_CHECKING:
    import pyarrow as pa

EXAMPLES = 5


class _DisorderError(Exception):
    """Rows came out of order, because a join did not fit into memory."""


def settle(work: Work) -> None:
    """Put together which rows are quarantined one by one, and count what only warns or stops."""
    known = ", ".join(str(number) for number in work.problems) or "-1"
    work.run(
        f"CREATE TEMP TABLE bad AS SELECT coalesce(n._file, l._file) AS _file, coalesce(n._row, l._row) AS _row, "
        f"list_concat(coalesce(n._broken, []), coalesce(l.reasons, [])) AS reasons "
        f"FROM (SELECT * FROM noted WHERE _broken IS NOT NULL) n FULL JOIN "
        f"(SELECT _file, _row, list(reason ORDER BY nth) AS reasons FROM late GROUP BY _file, _row) l "
        f"ON n._file = l._file AND n._row = l._row WHERE coalesce(n._file, l._file) NOT IN ({known})"
    )
    for _, reason, count in row_breaks(work, Severity.WARN):
        work.warnings[reason] = work.warnings.get(reason, 0) + count
    for _, reason, count in row_breaks(work, Severity.STOP):
        work.stopped[reason] = work.stopped.get(reason, 0) + count
    work.stops += [f"{reason}: {count} of {work.rows_in} rows" for reason, count in work.stopped.items()]


def kept_query(work: Work) -> str:
    """Return the query for the rows that are kept."""
    return f"SELECT r.* FROM rows r ANTI JOIN bad USING (_file, _row) WHERE {work.good_files('r')}"


def write_kept(work: Work, path: Path) -> dict[str, str]:
    """Write the kept rows by file and line, and return their columns with their types."""
    import pyarrow as pa

    schema = kept_schema(work.contract)
    stored = schema.set(schema.get_field_index("_file"), pa.field("_file", pa.dictionary(pa.int32(), pa.string())))
    try:
        write_rows(path, stored, _kept(work, stored, order=""))
    except _DisorderError:
        write_rows(path, stored, _kept(work, stored, order="ORDER BY _file, _row"))
    return {field.name: str(field.type) for field in schema}


def _kept(work: Work, schema: pa.Schema, *, order: str) -> Iterator[pa.RecordBatch]:
    """Yield the kept rows in order, each with its file and when that was known."""
    import numpy as np
    import pyarrow as pa

    files = [layout.file for layout in work.layouts]
    known = pa.array([file.known_at for file in files], pa.timestamp("us", "UTC"))
    digests = pa.array([file.digest for file in files], pa.string())
    chosen = ", ".join(f"{quoted(column.name)}" for column in work.contract.columns)
    query = f"SELECT {chosen}, _file, _row FROM ({kept_query(work)}) {order}"
    last = -1
    for part in work.stream(query):
        *values, file, row = part.columns
        places = (file.to_numpy().astype(np.int64) << 40) + row.to_numpy()
        if len(places) and (places[0] <= last or (np.diff(places) <= 0).any()):
            raise _DisorderError
        last = int(places[-1]) if len(places) else last
        columns = [column.cast(field.type) for column, field in zip([*values, known.take(file)], schema, strict=False)]
        yield pa.record_batch([*columns, pa.DictionaryArray.from_arrays(file, digests), row], schema=schema)


def write_quarantine(work: Work, path: Path) -> tuple[QuarantinedRow, ...]:
    """Write the quarantined rows by file and line, and return some of them."""
    examples: list[QuarantinedRow] = []
    write_rows(path, quarantine_schema(), _quarantined(work, examples))
    return tuple(examples)


def _quarantined(work: Work, examples: list[QuarantinedRow]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    names = pa.array([layout.file.name for layout in work.layouts], pa.string())
    digests = pa.array([layout.file.digest for layout in work.layouts], pa.string())
    schema = quarantine_schema()
    for part in _second_look(work):
        file, row, raw, reasons = part.columns
        columns = [names.take(file), digests.take(file), row, raw, reasons]
        batch = pa.record_batch([c.cast(f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
        for found in batch.slice(0, EXAMPLES - len(examples)).to_pylist():
            digest, why = Digest(found["digest"]), tuple(found["reasons"])
            examples.append(QuarantinedRow(found["file"], digest, found["row"], found["raw"], why))
        yield batch


def _second_look(work: Work) -> Iterator[pa.RecordBatch]:
    """Yield the quarantined rows with their text: the files they came in are read once more."""
    import pyarrow as pa

    whole = {**work.broken_files, **work.problems}
    numbers = {found[0] for found in work.connection.execute("SELECT DISTINCT _file FROM bad").fetchall()} | {*whole}
    texts = pa.list_(pa.string())
    table = pa.table(
        {
            "_file": pa.array([*whole], pa.int32()),
            "only": pa.array([work.problems.get(number) for number in whole], texts),
            "also": pa.array([work.broken_files.get(number) for number in whole], texts),
        }
    )
    work.connection.register("whole_files", table)
    for segment in work.segments:
        layouts = [layout for layout in segment.layouts if layout.number in numbers]
        if layouts and segment.is_text:
            with reading(work, layouts, {number: Told() for number in numbers}):
                yield from _reasoned(work, ROWS_OF_TEXT, "file", "row", "raw", whole=bool(whole))
        elif layouts:
            source = f"{parquet_files([layout.path for layout in layouts])} p"
            yield from _reasoned(
                work, source, file_number(layouts), "file_row_number + 1", "to_json(p)", whole=bool(whole)
            )


def _reasoned(work: Work, source: str, file: str, row: str, raw: str, *, whole: bool) -> Iterator[pa.RecordBatch]:
    """Yield the quarantined rows of a source with their reasons.

    Args:
        source: A table, as SQL; the others are expressions over it.
        whole: Whether files are quarantined whole: then all rows have to be looked at, with their texts.
    """
    shown = f"{file} AS _file, {row} AS _row, CAST({raw} AS VARCHAR) AS raw"
    query = f"SELECT {shown}, b.reasons FROM {source} JOIN bad b ON b._file = {file} AND b._row = {row}"
    if whole:
        query = (
            f"SELECT {shown}, CASE WHEN f.only IS NOT NULL THEN f.only "
            f"ELSE list_concat(coalesce(b.reasons, []), coalesce(f.also, [])) END AS reasons "
            f"FROM {source} LEFT JOIN bad b ON b._file = {file} AND b._row = {row} "
            f"LEFT JOIN whole_files f ON f._file = {file} WHERE b._row IS NOT NULL OR f._file IS NOT NULL"
        )
    yield from work.stream(f"{query} ORDER BY _file, _row")


def counted_files(work: Work) -> tuple[CheckedFile, ...]:
    """Return what came of each file."""
    bad = dict(work.connection.execute("SELECT _file, count(*) FROM bad GROUP BY _file").fetchall())
    found = []
    for layout in work.layouts:
        told = work.told[layout.number]
        reasons = [*work.problems.get(layout.number, ()), *work.broken_files.get(layout.number, ())]
        count = told.rows if reasons else bad.get(layout.number, 0)
        found.append(checked_file(layout, told, work.contract, reasons=reasons, bad=count))
    return tuple(found)


def counts_by_reason(work: Work) -> dict[str, int]:
    """Return how many quarantined rows have each reason."""
    rows = "SELECT unnest(reasons) AS reason FROM bad"
    query = f"SELECT reason, count(*) FROM ({rows}) GROUP BY reason"
    counts = Counter(dict(work.connection.execute(query).fetchall()))
    for number, told in work.told.items():
        for reason in work.problems.get(number) or work.broken_files.get(number) or ():
            counts[reason] += told.rows
    return {reason: count for reason, count in sorted(counts.items()) if count}


def counts_by_repair(work: Work) -> tuple[int, dict[str, dict[str, int]]]:
    """Return how many kept rows were repaired, and how often by column and repair."""
    names = flag_names(work.contract)
    if not names:
        return 0, {}
    counts = ", ".join(f"count_if({name})" for name in names.values())
    any_of = " OR ".join(names.values())
    found = work.connection.execute(f"SELECT count_if({any_of}), {counts} FROM ({kept_query(work)})").fetchall()[0]
    repairs: dict[str, dict[str, int]] = {}
    for (column, repair), count in zip(names, found[1:], strict=True):
        if count:
            repairs.setdefault(column, {})[repair] = count
    return found[0] or 0, repairs
