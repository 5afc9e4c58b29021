"""Segments: consecutive files that are laid out alike, each read by one query.

Every query gives the same columns: `_file`, `_row`, the contract's columns with their types, their texts
(`_text_<name>`, null for no value), a flag for each repair (`_k0`, ...) and `_structure`, what is wrong with the
row as such.
"""

# ruff: noqa: S608 - the SQL is made of numbers and of names and literals that `quoted` and `literal` quote.
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.contract import Column, Contract
from keelway.engines.local.checking.csv_lines import csv_rows
from keelway.engines.local.checking.json_lines import json_rows
from keelway.engines.local.checking.opening import Layout, Told
from keelway.engines.local.checking.parquet_rows import native
from keelway.engines.local.checking.repairs import Flags, declared, literal, quoted, repaired, typed

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_OF_TEXT = "rows_of_text"
"""The name under which DuckDB sees the rows of the text files that are being read."""
STRUCTURE = """CASE
    WHEN problem IS NOT NULL THEN problem
    WHEN cut AND fields != {wanted} THEN 'cut off: ' || fields || ' of {wanted} fields'
    WHEN fields != {wanted} THEN fields || ' fields instead of {wanted}'
    WHEN {spilt} THEN 'a value stands in a column without a name'
    WHEN cut AND {strict} THEN 'the last line has no line end, it may be cut off'
END"""


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive files of one layout."""

    layouts: tuple[Layout, ...]

    @property
    def is_text(self) -> bool:
        """Whether the rows come from text, so that they are written down once before they are looked at again."""
        return self.layouts[0].format != "parquet"

    @property
    def first(self) -> int:
        """The number of its first file."""
        return self.layouts[0].number


def segments(layouts: Sequence[Layout]) -> list[Segment]:
    """Return files in their order, those that are read alike together; Parquet files with problems are not read."""
    whole = [layout for layout in layouts if not (layout.format == "parquet" and layout.problems)]
    return [Segment(tuple(group)) for _, group in groupby(whole, key=_alike)]


def _alike(layout: Layout) -> tuple[object, ...]:
    return (
        layout.format,
        layout.positions,
        layout.names,
        layout.schema,
        layout.nameless,
        layout.fields,
        tuple(layout.constants),
    )


def rows_of(layouts: Sequence[Layout], contract: Contract, told: dict[int, Told]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of text files, in order."""
    for layout in layouts:
        read = json_rows if layout.format == "jsonl" else csv_rows
        yield from read(layout, contract, told[layout.number])


def flag_names(contract: Contract) -> dict[tuple[str, str], str]:
    """Return the column that flags a repair, by column and repair."""
    repairs = [(column.name, repair) for column in contract.columns for repair in declared(column)]
    return {key: f"_k{number}" for number, key in enumerate(repairs)}


def typed_query(segment: Segment, contract: Contract) -> str:
    """Return the query that gives the rows of a segment with their typed values."""
    cells, common = _text_cells(segment, contract) if segment.is_text else _parquet_cells(segment, contract)
    texts: list[str] = []
    values: list[str] = []
    flags: dict[tuple[str, str], str] = {}
    later: dict[tuple[str, str], str] = {}
    for index, column in enumerate(contract.columns):
        family = segment.layouts[0].kinds[index] if segment.layouts[0].kinds else "text"
        if family in ("", "text", "nested"):
            text, first = repaired(column, f"_c{index}")
            value, second = typed(column, f"_t{index}")
        else:
            text, value, first = native(column, family, f"_c{index}")
            texts.append(f"{value} AS _y{index}")
            value, second = f"_y{index}", {}
        texts.append(f"{text} AS _t{index}")
        values.append(f"{value} AS {quoted(column.name)}, _t{index} AS {quoted('_text_' + column.name)}")
        flags |= _named(column, first)
        later |= _named(column, second)
    names = flag_names(contract)
    flags |= _aliases(segment, contract)
    early = [f"{flags[key]} AS {name}" for key, name in names.items() if key in flags]
    late = [name if key in flags else f"{later.get(key, 'FALSE')} AS {name}" for key, name in names.items()]
    layer = f"SELECT {common}, {', '.join([*texts, *early])} FROM ({cells})"
    common = "_file, _row, _structure"
    return f"SELECT {common}, {', '.join([*values, *late])} FROM ({layer})"


def _named(column: Column, flags: Flags) -> dict[tuple[str, str], str]:
    return {(column.name, repair): test for repair, test in flags.items()}


def _aliases(segment: Segment, contract: Contract) -> dict[tuple[str, str], str]:
    """Return the flags of the columns that a row has under an alias."""
    if segment.layouts[0].format == "jsonl":
        return {
            (column.name, "alias"): f"coalesce(list_contains(renames, {literal(column.name)}), FALSE)"
            for column in contract.columns
            if column.aliases
        }
    renamed = set(segment.layouts[0].renamed.values())
    return {(name, "alias"): "TRUE" for name in renamed}


def _text_cells(segment: Segment, contract: Contract) -> tuple[str, str]:
    """Return the query for the cells of text files, and the columns that go along."""
    layout = segment.layouts[0]
    place = f"file - {segment.first - 1}"
    cells = [
        _constant(segment, column, place) if position is None else f"_cells[{position}]"
        for position, column in zip(layout.positions, contract.columns, strict=True)
    ]
    split = (
        f"CASE WHEN fields IS NOT NULL THEN fields "
        f"WHEN problem IS NULL THEN string_split(raw, {literal(contract.delimiter)}) END"
    )
    spilt = " OR ".join(f"_cells[{number}] != ''" for number in layout.nameless) or "FALSE"
    structure = STRUCTURE.format(
        wanted=layout.fields, spilt=spilt, strict="TRUE" if contract.final_newline else "FALSE"
    )
    listed = ", ".join(f"{cell} AS _c{index}" for index, cell in enumerate(cells))
    split_rows = f"SELECT file, row, cut, problem, renames, {split} AS _cells FROM {ROWS_OF_TEXT}"
    counted = f"SELECT *, len(_cells) AS fields FROM ({split_rows})"
    query = f"SELECT file AS _file, row AS _row, renames, {structure} AS _structure, {listed} FROM ({counted})"
    return query, "_file, _row, _structure"


def _parquet_cells(segment: Segment, contract: Contract) -> tuple[str, str]:
    """Return the query for the cells of Parquet files, and the columns that go along."""
    layouts = segment.layouts
    first = layouts[0]
    cells = []
    for index, column in enumerate(contract.columns):
        name = first.names[index]
        if name is None:
            cell = _constant(segment, column, "CAST(file_index AS BIGINT) + 1")
        elif first.kinds[index] == "text":
            cell = f"CAST({quoted(name)} AS VARCHAR)"
        else:
            cell = f"CAST(to_json({quoted(name)}) AS VARCHAR)" if first.kinds[index] == "nested" else quoted(name)
        cells.append(f"{cell} AS _c{index}")
    query = (
        f"SELECT {file_number(layouts)} AS _file, file_row_number + 1 AS _row, {', '.join(cells)} "
        f"FROM {parquet_files([layout.path for layout in layouts])}"
    )
    return query, "_file, _row, CAST(NULL AS VARCHAR) AS _structure"


def parquet_files(paths: Sequence[Path]) -> str:
    """Return the table function that reads Parquet files of one schema, as SQL.

    Names are taken as they are: DuckDB would expand `*`, `?` and brackets, and take `env=prod/` for a column.
    """
    return f"read_parquet({_names(paths)}, hive_partitioning = false)"


def version_files(paths: Sequence[Path]) -> str:
    """Return the table function that reads the files of a version, as SQL: columns may have come over time."""
    return f"read_parquet({_names(paths)}, union_by_name = true, hive_partitioning = false)"


def _names(paths: Sequence[Path]) -> str:
    names = [re.sub(r"([*?\[])", r"[\1]", str(path)) for path in paths]
    return f"[{', '.join(literal(name) for name in names)}]"


def file_number(layouts: Sequence[Layout]) -> str:
    """Return the expression of a row's file, in a query that reads these Parquet files together."""
    first, last = layouts[0].number, layouts[-1].number
    if last - first + 1 == len(layouts):
        return f"CAST(file_index + {first} AS INTEGER)"
    return f"CAST([{', '.join(str(layout.number) for layout in layouts)}][CAST(file_index AS BIGINT) + 1] AS INTEGER)"


def _constant(segment: Segment, column: Column, place: str) -> str:
    """Return the text that the partition of each file gives a column which the file lacks.

    Args:
        place: The expression of a file's place in its segment, from 1.
    """
    if column.name not in segment.layouts[0].constants:
        return "CAST(NULL AS VARCHAR)"
    texts = [layout.constants[column.name] for layout in segment.layouts]
    if len(set(texts)) == 1:
        return "CAST(NULL AS VARCHAR)" if texts[0] is None else literal(texts[0])
    return f"[{', '.join('NULL' if text is None else literal(text) for text in texts)}][{place}]"
