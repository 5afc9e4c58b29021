"""The batch under check: its rows as a view in DuckDB, and what is known of them so far.

`rows` holds every row with its typed values; `noted` the rows that break a row rule, with the reasons; `late`
those that break a rule on several rows; `bad` at last every row that is quarantined, but not those of files that
are quarantined whole.
"""

# ruff: noqa: S608 - the SQL is made of numbers and of names and literals that `quoted` and `literal` quote.
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.contract import Contract, Severity
from keelway.engines.local.checking.csv_lines import rows_schema
from keelway.engines.local.checking.judging import WHOLE_FILE, Judgement, judged_query
from keelway.engines.local.checking.opening import Layout, Told, unknown
from keelway.engines.local.checking.repairs import SQL_TYPES, literal, quoted
from keelway.engines.local.checking.rows_file import BATCH
from keelway.engines.local.checking.segments import (
    ROWS_OF_TEXT,
    Segment,
    flag_names,
    parquet_files,
    rows_of,
    segments,
    typed_query,
    version_files,
)
from keelway.errors import StorageError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

LANDED = "landed"
"""Stands before the number of a file of typed rows that were read from text; it is gone after the check."""


@dataclass(slots=True)
class Work:
    """One check under way.

    Attributes:
        problems: File to why it cannot be read as a whole.
        broken_files: File to why all its rows are quarantined with it.
        warnings: Reason to number of rows that only warn.
        stops: What stops the load, with figures.
        stopped: Reason of severity `stop` to number of rows that break it.
        tokens: Column to the table of its values and their tokens, once they are known.
        described: Files of a version to its columns, once they are known.
    """

    connection: duckdb.DuckDBPyConnection
    contract: Contract
    judgement: Judgement
    event_time: str
    layouts: Sequence[Layout]
    told: dict[int, Told]
    folder: Path
    problems: dict[int, list[str]] = field(default_factory=dict)
    broken_files: dict[int, list[str]] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    stops: list[str] = field(default_factory=list)
    stopped: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    described: dict[tuple[Path, ...], dict[str, str]] = field(default_factory=dict)

    @property
    def segments(self) -> list[Segment]:
        """The files that are read, those that are laid out alike together."""
        return segments(self.layouts)

    @property
    def rows_in(self) -> int:
        """How many rows all files have."""
        return sum(told.rows for told in self.told.values())

    def good_files(self, table: str = "") -> str:
        """Return the condition that a row's file is not quarantined as a whole."""
        bad = sorted({*self.problems, *self.broken_files})
        column = f"{table}._file" if table else "_file"
        return f"{column} NOT IN ({', '.join(str(number) for number in bad)})" if bad else "TRUE"

    def quarantine_file(self, number: int, reason: str) -> None:
        """Quarantine all rows of a file together with those that break a rule against files."""
        reasons = self.broken_files.setdefault(number, [])
        if WHOLE_FILE + reason not in reasons:
            reasons.append(WHOLE_FILE + reason)

    def run(self, statement: str) -> None:
        """Execute a statement."""
        self.connection.execute(statement)

    def columns_of(self, source: str) -> dict[str, str]:
        """Return the columns of a table or of a function that reads one, with DuckDB's names of their types."""
        query = f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {source})"
        return dict(self.connection.execute(query).fetchall())

    def columns_in(self, paths: Sequence[Path]) -> Mapping[str, str]:
        """Return the columns of a version, whose files are opened for it once: there may be many."""
        files = tuple(paths)
        if files not in self.described:
            self.described[files] = self.columns_of(version_files(files))
        return self.described[files]

    def schema_of(self, source: str) -> pa.Schema:
        """Return the columns of a table with Arrow's types."""
        schema: pa.Schema = self.connection.sql(f"SELECT * FROM {source} LIMIT 0").to_arrow_table().schema
        return schema

    def stream(self, query: str, *, aside: bool = False) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a query in batches of bounded size.

        Args:
            aside: Whether other statements run meanwhile; the query then sees no temporary tables.

        Raises:
            StorageError: Memory or disk do not suffice, or a file cannot be read; through Arrow DuckDB's own errors
                come as others.
        """
        import pyarrow as pa

        try:
            connection = self.connection.cursor() if aside else self.connection
            yield from connection.sql(query).to_arrow_reader(BATCH)
        except (OSError, pa.ArrowException) as error:
            raise StorageError("Rows cannot be checked", found=str(error).splitlines()[0]) from error

    def number(self, query: str) -> int:
        """Return the one number of a query."""
        return int(self.connection.execute(query).fetchall()[0][0])


def read_rows(work: Work) -> None:
    """Read all files, judge each row, and lay the rows out for further passes."""
    work.run("CREATE TEMP TABLE noted (_file INTEGER, _row BIGINT, _broken VARCHAR[], _warned VARCHAR[])")
    work.run("CREATE TEMP TABLE late (_file INTEGER, _row BIGINT, nth INTEGER, reason VARCHAR)")
    flags = flag_names(work.contract)
    values = ", ".join(["_file", "_row", *(quoted(column.name) for column in work.contract.columns), *flags.values()])
    parts = [f"SELECT {values} FROM ({_laid_out(work, segment, values)})" for segment in work.segments]
    work.run(f"CREATE TEMP VIEW rows AS {' UNION ALL '.join(parts) or _no_rows(work.contract, list(flags.values()))}")
    _judge_files(work)


def _laid_out(work: Work, segment: Segment, values: str) -> str:
    """Judge the rows of a segment, and return a query for all of them."""
    typed = typed_query(segment, work.contract)
    if not segment.is_text:
        judged = judged_query(typed, work.judgement, values="_file, _row")
        work.run(f"INSERT INTO noted SELECT * FROM ({judged}) WHERE _broken IS NOT NULL OR _warned IS NOT NULL")
        return typed
    path = work.folder / f"{LANDED}-{segment.first}.parquet"
    judged = judged_query(typed, work.judgement, values=values)
    with reading(work, segment.layouts, work.told):
        work.run(f"COPY ({judged}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION lz4_raw)")
    landed = parquet_files([path])
    work.run(
        f"INSERT INTO noted SELECT _file, _row, _broken, _warned FROM {landed} "
        f"WHERE _broken IS NOT NULL OR _warned IS NOT NULL"
    )
    return f"SELECT * FROM {landed}"


@contextmanager
def reading(work: Work, layouts: Sequence[Layout], told: dict[int, Told]) -> Iterator[None]:
    """Let DuckDB see the rows of text files, for one query."""
    import pyarrow as pa

    stream = rows_of(layouts, work.contract, told)
    work.connection.register(ROWS_OF_TEXT, pa.RecordBatchReader.from_batches(rows_schema(), stream))
    try:
        yield
    finally:
        work.connection.unregister(ROWS_OF_TEXT)


def _no_rows(contract: Contract, flags: list[str]) -> str:
    """Return the query of a batch without any file that can be read."""
    types = {"_file": "INTEGER", "_row": "BIGINT"}
    types |= {quoted(column.name): SQL_TYPES[column.kind] for column in contract.columns}
    types |= dict.fromkeys(flags, "BOOLEAN")
    return f"SELECT {', '.join(f'CAST(NULL AS {kind}) AS {name}' for name, kind in types.items())} LIMIT 0"


def _judge_files(work: Work) -> None:
    """Find the files that are quarantined as a whole, and count what the row rules found."""
    waived = work.judgement.waived
    for layout in work.layouts:
        told = work.told[layout.number]
        found = [*layout.problems, *told.problems, *unknown(list(told.extra), work.contract)]
        if reasons := [reason for reason in dict.fromkeys(found) if reason not in waived]:
            work.problems[layout.number] = reasons
    for number, reason, _ in row_breaks(work, Severity.FILE):
        work.quarantine_file(number, reason)


def row_breaks(work: Work, severity: Severity) -> list[tuple[int, str, int]]:
    """Return how many rows break the row rules of a severity, by file and reason, in files that can be read."""
    asked = work.judgement.of(severity)
    if not asked:
        return []
    listing = "_warned" if severity is Severity.WARN else "_broken"
    where = f"{listing} IS NOT NULL AND {work.good_files()}"
    rows = f"SELECT _file, unnest({listing}) AS reason FROM noted WHERE {where}"
    query = f"SELECT _file, reason, count(*) FROM ({rows}) GROUP BY ALL ORDER BY ALL"
    return [found for found in work.connection.execute(query).fetchall() if found[1] in asked]
