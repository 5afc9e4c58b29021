"""The file of a sealed segment: Parquet with a typed column for each field of a prediction and each feature.

What was made of several segments tells of each row, in one more column, the journal of the segment that it was sealed in.

    data = segment_bytes(columns_of(lines))
    SegmentFile(data).columns(["entity", "value"])
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from keelway.errors import IntegrityError
from keelway.serve.log_columns import TIMES, LogColumns
from keelway.serve.log_lines import LINE, lines_of_columns, split_lines

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS = 5_000
"""One prediction is read with at most so many others."""
JOURNAL = "journal"
_ID, _REQUEST = "prediction_id", "request_id"
_NAMES = b"keelway.features"


def segment_bytes(columns: LogColumns) -> bytes:
    """Return the file that holds columns, compressed by zstd."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = columns.table
    # An identifier is there once, and so is nearly every moment: a dictionary of them only takes room.
    encoded = [name for name in table.column_names if name not in (_ID, _REQUEST, LINE, *TIMES)]
    sink = pa.BufferOutputStream()
    writer = pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        use_dictionary=encoded,
        column_encoding={name: "DELTA_BINARY_PACKED" for name in TIMES if name in table.column_names},
        write_statistics=[name for name in (_ID, "event_time") if name in table.column_names],
        store_schema=False,
    )
    with writer:
        writer.write_table(table, row_group_size=GROUP_ROWS)
        writer.add_key_value_metadata({_NAMES: json.dumps(dict(columns.names))})
    return bytes(sink.getvalue())


class SegmentFile:
    """Reads what `segment_bytes` wrote.

    Args:
        data: The checked bytes of the artifact.

    Raises:
        IntegrityError: They are no such file.
    """

    def __init__(self, data: bytes) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            self._file = pq.ParquetFile(pa.BufferReader(data))
        except pa.ArrowException as error:
            raise _no_segment(str(error)) from error
        told = self._file.metadata.metadata or {}
        if _NAMES not in told or _ID not in self._file.schema_arrow.names:
            raise _no_segment("another file of Parquet")
        self._names = {digest: tuple(names) for digest, names in json.loads(told[_NAMES]).items()}

    def lines(self) -> list[bytes]:
        """Return every line, without its line feed."""
        groups = (self._file.read_row_group(number, use_threads=False) for number in range(self._file.num_row_groups))
        return [line for group in groups for line in _lines(group, self._names)]

    def columns(self, wanted: Sequence[str] | None = None) -> pa.Table:
        """Return columns (None: all of them); those that the segment does not have are left out."""
        there = self._file.schema_arrow.names
        chosen = [
            name for name in (there if wanted is None else wanted) if name in there and name not in (LINE, JOURNAL)
        ]
        return self._file.read(columns=chosen, use_threads=False)

    def place_of(self, prediction_id: str) -> int | None:
        """Return the number of a prediction's line; only the ids around it are read."""
        import pyarrow.compute as pc

        first = 0
        for number in range(self._file.num_row_groups):
            if self._may_hold(number, prediction_id):
                ids = self._file.read_row_group(number, columns=[_ID], use_threads=False)[_ID]
                place = pc.index(ids, prediction_id).as_py()
                if place >= 0:
                    return int(first + place)
            first += self._file.metadata.row_group(number).num_rows
        return None

    def origin(self, number: int) -> tuple[str, int] | None:
        """Return the journal of the segment that a row was sealed in, and its number there; None where that is this one.

        Only the groups of rows that hold rows of that segment are read.
        """
        import pyarrow.compute as pc

        if JOURNAL not in self._file.schema_arrow.names:
            return None
        journal, end = "", number + 1
        for group, first in reversed(self._groups(0, end)):
            journals = self._file.read_row_group(group, columns=[JOURNAL], use_threads=False)[JOURNAL]
            journals = journals.slice(0, end - first)
            journal = journal or journals[-1].as_py()
            others = pc.indices_nonzero(pc.not_equal(journals, journal))
            if len(others):
                return journal, number - (first + others[-1].as_py() + 1)
        return journal, number

    def lines_from(self, journal: str) -> list[bytes]:
        """Return the lines that were sealed in the segment of a journal; none where no row was."""
        import pyarrow.compute as pc

        if JOURNAL not in self._file.schema_arrow.names:
            return []
        journals = self._file.read(columns=[JOURNAL], use_threads=False)[JOURNAL]
        count = pc.sum(pc.equal(journals, journal)).as_py()
        return self.lines_at(pc.index(journals, journal).as_py(), count) if count else []

    def lines_at(self, first: int, count: int) -> list[bytes]:
        """Return lines that follow each other; only the groups of rows that hold them are read."""
        held = self._groups(first, first + count)
        found = self._file.read_row_groups([group for group, _ in held], use_threads=False)
        return _lines(found.slice(first - held[0][1], count), self._names)

    def _groups(self, first: int, end: int) -> list[tuple[int, int]]:
        """Return the groups that hold some of the rows from one on and before another, each with its first row."""
        found, seen = [], 0
        for number in range(self._file.num_row_groups):
            after = seen + self._file.metadata.row_group(number).num_rows
            if after > first and seen < end:
                found.append((number, seen))
            seen = after
        return found

    def _may_hold(self, number: int, prediction_id: str) -> bool:
        group = self._file.metadata.row_group(number)
        place = self._file.schema_arrow.names.index(_ID)
        told = group.column(place).statistics
        return told is None or not told.has_min_max or told.min <= prediction_id <= told.max


def _lines(table: pa.Table, names: Mapping[str, Sequence[str]]) -> list[bytes]:
    return split_lines(lines_of_columns(table, names))


def _no_segment(found: str) -> IntegrityError:
    return IntegrityError(
        "A segment of predictions cannot be read",
        expected="columns of predictions in Parquet",
        found=found,
        fix="It was written by another version of Keelway.",
    )
