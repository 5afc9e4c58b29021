"""Reads JSON Lines: one object a line, its values as the texts they are written in.

A number keeps its digits, an object or a list inside is kept as JSON text, `null` is no value. Keys go by their
own name or an alias. Where an object has a key twice, the last counts, as in every reader of JSON we know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from keelway.contract import Contract
from keelway.engines.local.checking.csv_lines import Record, record_batch
from keelway.engines.local.checking.opening import Layout, Told
from keelway.engines.local.checking.text_blocks import Lines, lines_of

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 20_000
"""Rows that are handed on at once."""
QUOTE, ESCAPE, NULL = b'"', b"\\", b"null"


def json_rows(layout: Layout, contract: Contract, told: Told) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file of JSON objects, their fields in the order of the contract's columns."""
    reader = _Objects(layout, contract, told)
    for lines in lines_of(layout.path, layout.compression, contract.encoding, told):
        records = [record for index in range(len(lines)) if (record := reader.record(lines, index)) is not None]
        told.rows += len(records)
        for start in range(0, len(records), ROWS):
            yield record_batch(layout.number, records[start : start + ROWS])


class _Objects:
    """Reads objects and remembers which of their keys the contract knows."""

    def __init__(self, layout: Layout, contract: Contract, told: Told) -> None:
        self._contract = contract
        self._told = told
        self._places = {column.name: place for place, column in enumerate(contract.columns)}
        self._blank: list[str | None] = [layout.constants.get(column.name) for column in contract.columns]
        self._names: dict[str, str | None] = {}  # key to column
        self._decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])

    def record(self, lines: Lines, index: int) -> Record | None:
        """Return the row in a line, or None for a blank line."""
        text = lines.data[lines.starts[index] : lines.ends[index]]
        if not text:
            return None
        row, raw, cut = lines.first + index, text.decode(), lines.cut and index == len(lines) - 1
        try:
            found = self._decoder.decode(text)
            fields, renames, problem = self._fields(found)
        except msgspec.DecodeError:
            return Record(row, raw, None, "not a JSON object", cut)
        return Record(row, raw, fields, problem, cut, renames)

    def _fields(self, found: dict[str, msgspec.Raw]) -> tuple[list[str | None], list[str], str | None]:
        """Return the texts by column, the columns that go by an alias here, and what is wrong."""
        fields = self._blank.copy()
        renames: list[str] = []
        here: set[str] = set()
        problem = None
        for key, value in found.items():
            name = self._names[key] if key in self._names else self._column(key)
            if name is None:
                continue
            if name in here:
                problem = f"column {name} stands twice"
            here.add(name)
            fields[self._places[name]] = _text(value)
            if key != name:
                renames.append(name)
        return fields, renames, problem

    def _column(self, key: str) -> str | None:
        """Return the column that a key names, the first time that it is seen."""
        column = self._contract.column_named_in_file(key)
        name = self._names[key] = column.name if column else None
        if name is None:
            self._told.extra[key] = None
            return None
        self._told.seen.add(name)
        if key != name:
            self._told.renamed[key] = name
        return name


def _text(value: msgspec.Raw) -> str | None:
    """Return a JSON value as a text."""
    data = bytes(value)
    if data[:1] == QUOTE:
        if ESCAPE in data:
            return msgspec.json.decode(data, type=str)
        return data[1:-1].decode()
    return None if data == NULL else data.decode()
