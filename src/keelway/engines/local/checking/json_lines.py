"""Reads JSON Lines: one object a line, its values as the texts they are written in.

A number keeps its digits, an object or a list inside is kept as JSON text, `null` is no value. Keys go by their
own name or an alias. Where an object has a key twice, the last counts, as in every reader of JSON we know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from keelway.contract import Contract, told_names
from keelway.engines.local.checking.csv_lines import rows_schema, texts_of
from keelway.engines.local.checking.opening import Layout, Told
from keelway.engines.local.checking.text_blocks import Lines, lines_of

if TYPE_CHECKING:
    import pyarrow as pa

QUOTE, ESCAPE, NULL = b'"', b"\\", b"null"


def json_rows(layout: Layout, contract: Contract, told: Told) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file of JSON objects, their fields in the order of the contract's columns."""
    reader = _Objects(layout, contract, told)
    for lines in lines_of(layout.path, layout.compression, contract.encoding, told):
        batch = reader.batch(layout.number, lines)
        if batch.num_rows:
            told.rows += batch.num_rows
            yield batch


class _Objects:
    """Reads objects and remembers which of their keys the contract knows."""

    def __init__(self, layout: Layout, contract: Contract, told: Told) -> None:
        self._contract = contract
        self._told = told
        self._places = {column.name: place for place, column in enumerate(contract.columns)}
        self._blank: list[str | None] = [layout.constants.get(column.name) for column in contract.columns]
        self._known: dict[str, tuple[int, str | None] | None] = {}  # key to place, and name where that is another
        self._decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

    def batch(self, number: int, lines: Lines) -> pa.RecordBatch:
        """Return the rows in some lines."""
        import numpy as np
        import pyarrow as pa

        filled = np.flatnonzero(lines.ends > lines.starts)
        raw = texts_of(lines).take(pa.array(filled))
        found = [self._row(text) for text in raw.cast(pa.binary()).to_pylist()]
        cut = np.zeros(len(filled), np.bool_)
        if len(filled) and lines.cut and filled[-1] == len(lines) - 1:
            cut[-1] = True
        texts = pa.list_(pa.string())
        columns = [
            pa.array(np.full(len(filled), number, np.int32)),
            pa.array(lines.first + filled, pa.int64()),
            raw,
            pa.array([fields for fields, _, _ in found], texts),
            pa.array([renames for _, renames, _ in found], texts),
            pa.array([problem for _, _, problem in found], pa.string()),
            pa.array(cut),
        ]
        return pa.record_batch(columns, schema=rows_schema())

    def _row(self, text: bytes) -> tuple[list[str | None] | None, list[str], str | None]:
        """Return the texts by column, the columns that go by an alias here, and what is wrong."""
        fields = self._blank.copy()
        renames: list[str] = []
        places: list[int] = []
        try:
            for key, value in self._decode(text).items():
                known = self._known[key] if key in self._known else self._column(key)
                if known is not None:
                    place, other = known
                    places.append(place)
                    fields[place] = _text(value)
                    if other is not None:
                        renames.append(other)
        except msgspec.DecodeError:
            return None, [], "not a JSON object"
        if len(set(places)) == len(places):
            return fields, renames, None
        twice = next(place for place in places if places.count(place) > 1)
        return fields, renames, f"column {self._contract.columns[twice].name} stands twice"

    def _column(self, key: str) -> tuple[int, str | None] | None:
        """Return where a key belongs, the first time that it is seen."""
        column = self._contract.column_named_in_file(key)
        if column is None:
            self._known[key] = None
            self._told.extra.update(dict.fromkeys(told_names([key], self._contract)))
            return None
        self._told.seen.add(column.name)
        other = None if key == column.name else column.name
        if other is not None:
            self._told.renamed[key] = other
        found = self._known[key] = self._places[column.name], other
        return found


def _text(value: msgspec.Raw) -> str | None:
    """Return a JSON value as a text."""
    data = bytes(value)
    if data[:1] == QUOTE:
        if ESCAPE in data:
            return msgspec.json.decode(data, type=str)
        return data[1:-1].decode()
    return None if data == NULL else data.decode()
