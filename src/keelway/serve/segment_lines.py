"""The segment that a server seals: the canonical lines of its journal as they are, packed by gzip (RFC 1952).

Nothing but what each line tells of itself is read while sealing, so a server needs no Arrow, neither its memory nor its
time. Who reads gets columns all the same; they are made then.

    contents = packed_here(journal.read())
    SegmentLines(contents.data).columns(["entity", "value"])
"""

from __future__ import annotations

import io
import itertools
import json
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from isal import isal_zlib

from keelway.errors import IntegrityError
from keelway.ledger import RunningRoot, root_of
from keelway.serve.journal_entries import lines_in
from keelway.serve.log_columns import damaged_journal, table_of_lines

if TYPE_CHECKING:
    import pyarrow as pa

LINES_FORM = "lines/v1"
GZIP = 31
"""What tells ISA-L to write gzip, which a search of files for a person unpacks."""
LEVEL = 1
"""A seventh of the lines' size, in a fifth of the time that zlib takes for a tenth more."""
BLOCK_LINES = 128  # a power of two
"""So many lines are read before others may run."""
_YIELD_S = 0.0005


@dataclass(frozen=True, slots=True)
class SegmentContents:
    """What is stored of a segment, and what its record tells of it.

    Attributes:
        data: The file.
        form: How it is to be read.
        ids: The smallest and the largest prediction id.
        events: When the earliest and the latest answer were given.
        root: The RFC 9162 root over the canonical lines, without line feeds.
        count: How many there are.
    """

    data: bytes
    form: str
    ids: tuple[str, str]
    events: tuple[datetime, datetime]
    root: bytes
    count: int


class _SomeObject(msgspec.Struct, gc=False):
    """Any object of JSON; what is in it is passed over."""


class _SealedLine(msgspec.Struct, gc=False):
    """A line as far as sealing looks at it; its features only have to be an object of JSON."""

    prediction_id: str
    event_time: datetime
    arm: str
    as_of: datetime
    deployment: str
    entity: str
    environment: str
    features: _SomeObject
    latency_us: int | None
    model: str
    policy: str
    request_id: str
    value: float | list[float]
    version: str
    version_digest: str


Pack = Callable[[bytes], SegmentContents]
"""Packs what a journal kept, at least one entry, each with its line feed; raises IntegrityError where one is no prediction."""


def packed_lines(entries: Iterable[bytes], *, between: Callable[[], None] = lambda: None) -> SegmentContents:
    """Pack the lines of what a journal kept, at least one entry, each with its line feed; read once, some lines at a time.

    Args:
        between: Called every 128 lines, for who must not hold the interpreter for long.

    Raises:
        IntegrityError: A line is no prediction.
    """
    decoder = msgspec.json.Decoder(_SealedLine)
    packer, packed, blocks = isal_zlib.compressobj(LEVEL, wbits=GZIP), [], RunningRoot()
    ids: list[str] = []
    events: list[datetime] = []
    count, coming = 0, lines_in(entries)
    while block := [line[:-1] for line in itertools.islice(coming, BLOCK_LINES)]:
        try:
            found = [decoder.decode(line) for line in block]
        except msgspec.DecodeError as error:
            raise damaged_journal(str(error)) from error
        ids += [min(each.prediction_id for each in found), max(each.prediction_id for each in found)]
        events += [min(each.event_time for each in found), max(each.event_time for each in found)]
        packed.append(packer.compress(b"\n".join([*block, b""])))
        blocks.add_hash(root_of(block))  # ranges are split at powers of two, so a whole block is a subtree
        count += len(block)
        between()
    packed.append(packer.flush())
    told = (min(ids), max(ids)), (min(events), max(events))
    return SegmentContents(b"".join(packed), LINES_FORM, *told, blocks.root(), count)


def packed_here(entries: bytes) -> SegmentContents:
    """Do the same beside a server that answers in microseconds: the interpreter is let go of every 128 lines."""
    return packed_lines(io.BytesIO(entries), between=lambda: time.sleep(_YIELD_S))


class SegmentLines:
    """Reads what `line_contents` packed.

    Args:
        data: The checked bytes of the artifact.

    Raises:
        IntegrityError: They are no packed lines.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._data = zlib.decompress(data, wbits=GZIP)
        except zlib.error as error:
            raise IntegrityError(
                "A segment of predictions cannot be read",
                expected="lines of predictions, packed by gzip",
                found=str(error),
                fix="It was written by another version of Keelway.",
            ) from error

    def lines(self) -> list[bytes]:
        """Return every line, without its line feed."""
        return self._data.split(b"\n")[:-1]

    def columns(self, wanted: Sequence[str] | None = None) -> pa.Table:
        """Return columns (None: all of them); those that the segment does not have are left out."""
        table = table_of_lines(self._data, wanted)
        return table if wanted is None else table.select([name for name in wanted if name in table.column_names])

    def lines_at(self, first: int, count: int) -> list[bytes]:
        """Return lines that follow each other."""
        return self.lines()[first : first + count]

    def place_of(self, prediction_id: str) -> int | None:
        """Return the number of a prediction's line."""
        needle = f'"prediction_id":"{prediction_id}"'.encode()
        found = [(line, number) for number, line in enumerate(self.lines()) if needle in line]
        return next((number for line, number in found if json.loads(line)["prediction_id"] == prediction_id), None)
