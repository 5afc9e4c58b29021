"""Checks files against a contract in DuckDB: one pass for all row rules, one more for each unique key.

The lines of all files stream through one fused statement into a table that DuckDB may spill to disk; what was
kept and what was quarantined are then written in the order of files and lines, in row groups of a fixed size, so
that the same input gives the same bytes on any number of threads.
"""

# ruff: noqa: S608 - the SQL is made of column numbers and of literals that `rules.literal` quotes.
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.contract import NOTHING, Against, CheckedFile, Contract, Findings, QuarantinedRow, Tokenizer
from keelway.core import Digest
from keelway.engines.local import lines, rules
from keelway.errors import ContractError, EngineError, StorageError
from keelway.ingest import RawFile

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ROW_GROUP = 131_072
"""Rows in one row group of the Parquet files."""
EXAMPLES = 5
STRUCTURE = """CASE
    WHEN cut AND fields != wanted THEN 'cut off: ' || fields || ' of ' || wanted || ' fields'
    WHEN fields != wanted THEN fields || ' fields instead of ' || wanted
    WHEN cut AND {strict} THEN 'the last line has no line end, it may be cut off'
END"""


@dataclass(frozen=True, slots=True)
class DuckDbChecker:
    """A checker on DuckDB in this process.

    Attributes:
        threads: Of DuckDB; 0 lets it choose.
        memory_limit: Of DuckDB, after which it spills to disk.
    """

    threads: int = 0
    memory_limit: str = "400MB"

    def check(
        self,
        files: Sequence[tuple[RawFile, Path]],
        contract: Contract,
        *,
        event_time: str,
        folder: Path,
        against: Against = NOTHING,
        tokenizer: Tokenizer | None = None,
        waived: frozenset[str] = frozenset(),
        keep: bool = True,
    ) -> Findings:
        """Check files and write the outcome into a folder."""
        import duckdb

        layouts = [lines.layout_of(file, path, contract) for file, path in files]
        config: dict[str, Any] = {"memory_limit": self.memory_limit, "temp_directory": str(folder / "spill")}
        if self.threads:
            config["threads"] = self.threads
        try:
            with duckdb.connect(config=config) as connection:
                return _Check(connection, layouts, contract, event_time).run(folder)
        except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.ParserException) as error:
            first = str(error).splitlines()[0]
            raise ContractError(
                f"A rule of the contract of {contract.dataset} cannot be evaluated", found=first
            ) from error
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            raise StorageError("Rows cannot be checked", found=str(error).splitlines()[0]) from error
        except duckdb.Error as error:
            raise EngineError("DuckDB cannot check the rows", found=str(error).splitlines()[0]) from error


class _Check:
    """One check under way: a connection, the layouts of its files and its contract."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        layouts: Sequence[lines.Layout],
        contract: Contract,
        event_time: str,
    ) -> None:
        self._connection = connection
        self._layouts = layouts
        self._contract = contract
        self._event_time = event_time
        self._flags: list[tuple[str, str, str]] = []  # flag column, contract column, repair

    def run(self, folder: Path) -> Findings:
        """Check all rows, then write and count them."""
        self._load()
        for columns in self._keys():
            self._quarantine_repeats(columns)
        kept, quarantine = folder / "rows.parquet", folder / "quarantine.parquet"
        schema = _kept_schema(self._contract)
        _write(kept, schema, self._kept(schema))
        reasons = self._counts_by_reason()
        if reasons:
            _write(quarantine, _quarantine_schema(), self._quarantined())
        repaired, repairs = self._counts_by_repair()
        return Findings(
            rows=kept,
            quarantine=quarantine if reasons else None,
            rows_repaired=repaired,
            repairs=repairs,
            reasons=reasons,
            files=self._files(),
            columns={field.name: str(field.type) for field in schema},
            examples=self._examples(),
        )

    def _load(self) -> None:
        """Stream all lines through the rules into the table `checked`."""
        import pyarrow as pa

        self._connection.register("files", self._files_table())
        stream = lines.lines_of(self._layouts, self._contract.delimiter)
        self._connection.register("lines", pa.RecordBatchReader.from_batches(lines.lines_schema(), stream))
        self._connection.execute(f"CREATE TEMP TABLE checked AS {self._statement()}")

    def _files_table(self) -> pa.Table:
        import pyarrow as pa

        found: dict[str, pa.Array] = {
            "file": pa.array(range(len(self._layouts)), pa.int32()),
            "wanted": pa.array([layout.fields for layout in self._layouts], pa.int32()),
            "problems": pa.array([list(layout.problems) for layout in self._layouts], pa.list_(pa.string())),
            "renames": pa.array([[*layout.renamed.values()] for layout in self._layouts], pa.list_(pa.string())),
        }
        for index in range(len(self._contract.columns)):
            found[f"p{index}"] = pa.array([layout.positions[index] for layout in self._layouts], pa.int32())
        return pa.table(found)

    def _statement(self) -> str:
        """Return the one statement that reads, repairs, types and judges all rows."""
        contract = self._contract
        kept = "file, row, raw, cut, fields, wanted, problems"
        layer = (
            f"SELECT l.file, l.row, l.raw, l.cut, len(l.fields) AS fields, f.wanted, f.problems, f.renames, "
            f"{rules.cells(contract)} FROM lines l JOIN files f USING (file)"
        )
        texts, flags = self._repaired()
        layer = f"SELECT {kept}, {', '.join(texts + flags)} FROM ({layer})"
        values, formats = self._typed()
        layer = f"SELECT *, {', '.join(values + formats)} FROM ({layer})"
        judged = [
            rule
            for index, column in enumerate(contract.columns)
            for rule in rules.rules(column, index, must_have=column.name == self._event_time)
        ]
        bad = " OR ".join(f"coalesce({test}, FALSE)" for test, _ in judged) or "FALSE"
        listed = ", ".join(f"CASE WHEN {test} THEN {rules.literal(reason)} END" for test, reason in judged) or "NULL"
        structure = STRUCTURE.format(strict="TRUE" if contract.final_newline else "FALSE")
        reasons = (
            f"CASE WHEN len(problems) > 0 THEN problems WHEN {structure} IS NOT NULL THEN [{structure}] "
            f"WHEN {bad} THEN list_filter([{listed}], lambda reason: reason IS NOT NULL) END"
        )
        chosen = [f"y{index}" for index in range(len(contract.columns))] + [flag for flag, _, _ in self._flags]
        return f"SELECT file, row, raw, {', '.join(chosen)}, {reasons} AS reasons FROM ({layer})"

    def _repaired(self) -> tuple[list[str], list[str]]:
        """Return the repaired texts `t0, ...` and a flag for each repair that changed something."""
        texts: list[str] = []
        flags: list[str] = []
        for index, column in enumerate(self._contract.columns):
            value = f"r{index}"
            if column.aliases:
                flags.append(
                    f"list_contains(renames, {rules.literal(column.name)}) AS {self._flag(column.name, 'alias')}"
                )
            for repair, template in rules.repairs(column).items():
                after = template.format(v=value)
                if repair:
                    flags.append(f"({after}) IS DISTINCT FROM ({value}) AS {self._flag(column.name, repair)}")
                value = f"({after})"
            texts.append(f"{value} AS t{index}")
        return texts, flags

    def _typed(self) -> tuple[list[str], list[str]]:
        values: list[str] = []
        flags: list[str] = []
        for index, column in enumerate(self._contract.columns):
            value, by_format = rules.typed(column, f"t{index}")
            values.append(f"{value} AS y{index}")
            if by_format:
                flags.append(f"{by_format} AS {self._flag(column.name, 'format')}")
        return values, flags

    def _flag(self, column: str, repair: str) -> str:
        name = f"k{len(self._flags)}"
        self._flags.append((name, column, repair))
        return name

    def _keys(self) -> Iterator[tuple[str, ...]]:
        if self._contract.key:
            yield self._contract.key
        yield from ((column.name,) for column in self._contract.columns if column.unique)

    def _quarantine_repeats(self, columns: tuple[str, ...]) -> None:
        """Quarantine the rows whose key stands earlier among the kept rows."""
        names = [column.name for column in self._contract.columns]
        values = [f"y{names.index(name)}" for name in columns]
        key = ", ".join(values)
        present = " AND ".join(f"{value} IS NOT NULL" for value in values)
        reason = rules.literal(f"{', '.join(columns)}: repeats an earlier row")
        self._connection.execute(
            f"UPDATE checked SET reasons = [{reason}] FROM (SELECT file, row FROM (SELECT file, row, "
            f"row_number() OVER (PARTITION BY {key} ORDER BY file, row) AS nth FROM checked "
            f"WHERE reasons IS NULL AND {present}) WHERE nth > 1) AS again "
            f"WHERE checked.file = again.file AND checked.row = again.row"
        )

    def _kept(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        chosen = ", ".join(f"y{index}" for index in range(len(self._contract.columns)))
        known = pa.array([layout.file.known_at for layout in self._layouts], pa.timestamp("us", "UTC"))
        digests = pa.array([layout.file.digest for layout in self._layouts], pa.string())
        for part in self._read(f"SELECT {chosen}, file, row FROM checked WHERE reasons IS NULL ORDER BY file, row"):
            *values, file, row = part.columns
            columns = [*values, known.take(file), digests.take(file), row]
            yield pa.record_batch(
                [column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
            )

    def _quarantined(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        names = pa.array([layout.file.name for layout in self._layouts], pa.string())
        digests = pa.array([layout.file.digest for layout in self._layouts], pa.string())
        query = "SELECT file, row, raw, reasons FROM checked WHERE reasons IS NOT NULL ORDER BY file, row"
        for part in self._read(query):
            file, row, raw, reasons = part.columns
            columns = [names.take(file), digests.take(file), row, raw, reasons]
            schema = _quarantine_schema()
            yield pa.record_batch([c.cast(f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)

    def _read(self, query: str) -> pa.RecordBatchReader:
        return self._connection.sql(query).to_arrow_reader(ROW_GROUP)

    def _counts_by_reason(self) -> dict[str, int]:
        return dict(
            self._connection.execute(
                "SELECT reason, count(*) FROM (SELECT unnest(reasons) AS reason FROM checked WHERE reasons IS NOT NULL) "
                "GROUP BY reason ORDER BY reason"
            ).fetchall()
        )

    def _counts_by_repair(self) -> tuple[int, dict[str, dict[str, int]]]:
        """Return how many kept rows were repaired, and how often by column and repair."""
        if not self._flags:
            return 0, {}
        names = [flag for flag, _, _ in self._flags]
        counts = ", ".join(f"count_if({name})" for name in names)
        query = f"SELECT count_if({' OR '.join(names)}), {counts} FROM checked WHERE reasons IS NULL"
        repaired, *found = self._connection.execute(query).fetchall()[0]
        repairs: dict[str, dict[str, int]] = {}
        for (_, column, repair), count in zip(self._flags, found, strict=True):
            if count:
                repairs.setdefault(column, {})[repair] = count
        return repaired, repairs

    def _files(self) -> tuple[CheckedFile, ...]:
        query = "SELECT file, count(*), count(reasons) FROM checked GROUP BY file"
        counts = {file: (rows, bad) for file, rows, bad in self._connection.execute(query).fetchall()}
        return tuple(_checked_file(layout, *counts.get(number, (0, 0))) for number, layout in enumerate(self._layouts))

    def _examples(self) -> tuple[QuarantinedRow, ...]:
        query = "SELECT file, row, raw, reasons FROM checked WHERE reasons IS NOT NULL ORDER BY file, row LIMIT ?"
        found = self._connection.execute(query, [EXAMPLES]).fetchall()
        files = [layout.file for layout in self._layouts]
        return tuple(
            QuarantinedRow(files[file].name, Digest(files[file].digest), row, raw, tuple(reasons))
            for file, row, raw, reasons in found
        )


def _checked_file(layout: lines.Layout, rows: int, bad: int) -> CheckedFile:
    return CheckedFile(
        name=layout.file.name,
        digest=layout.file.digest,
        rows_in=rows,
        rows_ok=rows - bad,
        rows_quarantined=bad,
        reasons=layout.problems,
        renamed=layout.renamed,
        extra=layout.extra,
        missing=layout.missing,
    )


def _kept_schema(contract: Contract) -> pa.Schema:
    """Return the schema of kept rows: the contract's columns, then where each row came from."""
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", "UTC"),
    }
    own = [(column.name, types[column.kind]) for column in contract.columns]
    return pa.schema([*own, ("_known_at", types["timestamp"]), ("_file", pa.string()), ("_row", pa.int64())])


def _quarantine_schema() -> pa.Schema:
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [("file", text), ("digest", text), ("row", pa.int64()), ("raw", text), ("reasons", pa.list_(text))]
    )


def _write(path: Path, schema: pa.Schema, parts: Iterator[pa.RecordBatch]) -> None:
    """Write batches as Parquet in row groups of exactly `ROW_GROUP` rows, whatever size they come in."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    held: list[pa.RecordBatch] = []
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts:
            held.append(part)
            count += part.num_rows
            if count >= ROW_GROUP:
                table = pa.Table.from_batches(held, schema=schema)
                whole = count - count % ROW_GROUP
                writer.write_table(table.slice(0, whole), row_group_size=ROW_GROUP)
                held, count = table.slice(whole).combine_chunks().to_batches(), count - whole
        writer.write_table(pa.Table.from_batches(held, schema=schema), row_group_size=ROW_GROUP)


if TYPE_CHECKING:
    from keelway.contract import Checker

    _: Checker = DuckDbChecker()
