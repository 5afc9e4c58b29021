"""Reads Parquet files: their columns by name, each by the type it has there.

A column of text is read like a field of CSV. Another type must be the contract's own or hold its values exactly
(a whole float is an integer, midnight is a date); a file with any other type is quarantined, because a number where
a text belongs has lost its leading zeros before it came to us.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keelway.contract import Column, Contract
from keelway.engines.local.checking.opening import Layout, constants_of, matched
from keelway.engines.local.checking.repairs import Flags, in_unit, listed, literal, local, typed
from keelway.ingest import RawFile

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS = ("string", "large_string", "string_view", "null")
FINE = " in ns"
"""Stands behind a family of times that are finer than a microsecond; a row that needs that is refused."""
OWN_NAMES = ("file_row_number", "file_index")
EXACT = {
    "integer": ("int", "float", "decimal"),
    "number": ("int", "float", "decimal"),
    "boolean": ("bool",),
    "date": ("date", "time"),
    "timestamp": ("date", "time", "zoned"),
    "string": ("nested",),
}
"""Kind of the contract to the families of types that may hold its values, besides text."""


def parquet_layout(number: int, file: RawFile, path: Path, contract: Contract) -> tuple[Layout, int]:
    """Return the layout of a Parquet file and how many rows it has, by its footer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as stored:
            schema, rows = stored.schema_arrow, stored.metadata.num_rows
    except (pa.ArrowException, OSError):
        return Layout(number, file, path, "parquet", problems=("the file is no whole Parquet file",)), 0
    constants = constants_of(file.name, contract)
    header = matched(schema.names, contract, constants)
    kinds = tuple("" if at is None else _family(schema.field(at - 1).type) for at in header.positions)
    problems = [*header.problems, *_twice(schema.names), *_wrong_types(schema, header.positions, kinds, contract)]
    layout = Layout(
        number=number,
        file=file,
        path=path,
        format="parquet",
        constants=constants,
        names=header.names,
        positions=header.positions,
        kinds=kinds,
        schema=schema.to_string(show_field_metadata=False, show_schema_metadata=False),
        renamed=header.renamed,
        extra=header.extra,
        missing=header.missing,
        problems=tuple(problems),
    )
    return layout, rows


def unreadable(layout: Layout) -> tuple[str, ...]:
    """Return the problem of a Parquet file whose footer can be read but not all of its rows; empty for none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if layout.format != "parquet" or layout.problems:
        return ()
    try:
        with pq.ParquetFile(layout.path, page_checksum_verification=True) as stored:
            for _ in stored.iter_batches():
                pass
    except (pa.ArrowException, OSError):
        return ("the file is damaged",)
    return ()


def _twice(names: list[str]) -> list[str]:
    """Return what is wrong with names that DuckDB cannot tell apart, or that it has for its own use."""
    seen = set(OWN_NAMES)
    problems = []
    for name in names:
        if name.lower() in seen:
            problems.append(f"column {name} stands twice")
        seen.add(name.lower())
    return problems


def _wrong_types(
    schema: pa.Schema, positions: tuple[int | None, ...], kinds: tuple[str, ...], contract: Contract
) -> list[str]:
    problems = []
    for column, at, family in zip(contract.columns, positions, kinds, strict=True):
        if at is not None and family != "text" and family.removesuffix(FINE) not in EXACT[column.kind]:
            problems.append(f"column {column.name} holds {schema.field(at - 1).type}, not {column.kind}")
    return problems


def _family(kind: pa.DataType) -> str:
    """Return the family of an Arrow type; what has none is told by its own name."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_timestamp(kind):
        return ("zoned" if kind.tz else "time") + (FINE if kind.unit == "ns" else "")
    families = {
        "int": types.is_integer,
        "float": types.is_floating,
        "decimal": types.is_decimal,
        "bool": types.is_boolean,
        "date": types.is_date,
        "nested": types.is_nested,
    }
    if str(kind) in TEXTS:
        return "text"
    return next((family for family, is_it in families.items() if is_it(kind)), str(kind))


def native(column: Column, family: str, cell: str) -> tuple[str, str, Flags]:
    """Return a mark that is null where there is no value, the value itself, and the repairs, as expressions.

    Args:
        family: The family of the type in the file; never `text`.
        cell: The column in the file.
    """
    flags: Flags = {}
    if column.missing:
        flags["missing"] = f"coalesce(CAST({cell} AS VARCHAR) IN ({listed(column.missing)}), FALSE)"
        cell = f"CASE WHEN {flags['missing']} THEN NULL ELSE {cell} END"
    value = _exactly(column, family.removesuffix(FINE), cell)
    if family.endswith(FINE):
        value = f"CASE WHEN epoch_ns({cell}) % 1000 = 0 THEN {value} END"
    if family.removesuffix(FINE) in ("date", "time") and column.kind == "timestamp" and column.time_zone:
        flags["time_zone"] = f"({value}) IS NOT NULL"
    mark = f"CASE WHEN ({cell}) IS NOT NULL THEN '' END"
    if column.default is not None:
        flags["default"] = f"({cell}) IS NULL"
        read, _ = typed(column, literal(column.default))
        value, flags = in_unit(column, value, flags)
        value = f"CASE WHEN ({cell}) IS NULL THEN {read} ELSE {value} END"
        if "unit" in flags:
            flags["unit"] = f"({value}) IS NOT NULL"
        return "''", value, flags
    value, flags = in_unit(column, value, flags)
    return mark, value, flags


def _exactly(column: Column, family: str, cell: str) -> str:
    """Return the value of a cell in the contract's type, null where it would be another value."""
    if column.kind == "integer":
        whole = f"TRY_CAST({cell} AS BIGINT)"
        return whole if family == "int" else f"CASE WHEN ({cell}) = trunc({cell}) THEN {whole} END"
    if column.kind == "number":
        number = f"CAST({cell} AS DOUBLE)"
        return f"CASE WHEN isfinite({number}) THEN {number} END" if family == "float" else number
    if column.kind == "date" and family == "time":
        return f"CASE WHEN CAST(CAST({cell} AS DATE) AS TIMESTAMP) = ({cell}) THEN CAST({cell} AS DATE) END"
    if column.kind == "timestamp":
        if family == "zoned":
            return f"CAST(timezone('UTC', {cell}) AS TIMESTAMP)"
        return local(column, f"CAST({cell} AS TIMESTAMP)")
    return f"CAST({cell} AS {'DATE' if column.kind == 'date' else 'BOOLEAN'})"
