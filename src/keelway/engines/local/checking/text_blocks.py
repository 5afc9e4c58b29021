"""Reads a file of text in blocks: unpacks, decodes to UTF-8, and finds the lines.

Whatever is wrong with the bytes becomes a problem of the file, never an error: what could be read is still read,
so that it is counted and shown, and the file as a whole is quarantined. Memory is bounded by the size of a block
and of the longest line.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from keelway.engines.local.checking.opening import Told

if TYPE_CHECKING:
    import numpy as np

BLOCK_BYTES = 4_000_000
"""Bytes of a file held at once."""
PIECE_BYTES = 500_000
"""Bytes that are unpacked at once: so many at most are lost before the place where packed data is broken."""
LINE_BYTES = 64_000_000
"""A line that is longer makes its file unreadable from there on."""
BYTE_ORDER_MARK = "\ufeff".encode()
NEWLINE, RETURN = 10, 13


@dataclass(frozen=True, slots=True)
class Lines:
    """Some whole lines of a file, in UTF-8.

    Attributes:
        first: Number of the first of them in its file, from 1.
        data: The bytes of all of them, with their ends.
        starts: Where each begins.
        ends: Where each ends, without its line end.
        cut: Whether the last has no line end, because the file ends there.
    """

    first: int
    data: bytes
    starts: np.ndarray[Any, np.dtype[np.int64]]
    ends: np.ndarray[Any, np.dtype[np.int64]]
    cut: bool

    def __len__(self) -> int:
        return len(self.ends)

    def text(self, index: int) -> str:
        """Return a line with its line end."""
        stop = self.starts[index + 1] if index + 1 < len(self.starts) else len(self.data)
        return self.data[self.starts[index] : stop].decode()


def lines_of(path: Path, compression: str, encoding: str, told: Told) -> Iterator[Lines]:
    r"""Yield the lines of a file in blocks; a line ends in `\n`, `\r\n` or `\r`."""
    first = 1
    for data, last in _whole_lines(_decoded(path, compression, encoding, told), told):
        block = _lines(first, data, last=last)
        first += len(block)
        yield block


def _blocks(path: Path, compression: str, told: Told) -> Iterator[bytes]:
    """Yield the unpacked bytes of a file; where the packing is broken they end, and the file has a problem."""
    import pyarrow as pa

    size = PIECE_BYTES if compression else BLOCK_BYTES
    with path.open("rb") as raw:
        try:
            with _unpacked(raw, compression) as stream:
                while block := stream.read(size):
                    yield block
        except EOFError:
            told.problems.append(f"the {compression} data is cut off")
        except (zlib.error, OSError, pa.ArrowException) as error:
            if not compression:
                raise
            cut = "truncated" in str(error).lower()
            told.problems.append(f"the {compression} data is {'cut off' if cut else 'damaged'}")


def _unpacked(raw: BinaryIO, compression: str) -> BinaryIO:
    if compression == "gzip":
        return cast("BinaryIO", gzip.GzipFile(fileobj=raw))
    if compression:
        import pyarrow as pa

        return cast("BinaryIO", pa.CompressedInputStream(raw, compression))
    return raw


def _decoded(path: Path, compression: str, encoding: str, told: Told) -> Iterator[bytes]:
    """Yield the text of a file as UTF-8, without a byte order mark."""
    decoder = _Decoder(encoding, told)
    start = True
    for block in _blocks(path, compression, told):
        data = decoder.utf8(block)
        if start and data:
            data, start = data.removeprefix(BYTE_ORDER_MARK), False
        yield data
    yield decoder.utf8(b"", final=True)


class _Decoder:
    """Decodes block by block; the first byte that cannot be decoded is a problem, it and those after are replaced."""

    def __init__(self, encoding: str, told: Told) -> None:
        self._encoding = encoding
        self._told = told
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._plain = codecs.lookup(encoding).name in ("utf-8", "ascii")
        self._pending = False  # whether the decoder holds the first bytes of a character
        self._offset = 0

    def utf8(self, block: bytes, *, final: bool = False) -> bytes:
        """Return a block of the file in UTF-8."""
        if self._plain and not self._pending and block.isascii():
            self._offset += len(block)
            return block
        state = self._decoder.getstate()
        try:
            text = self._decoder.decode(block, final)
        except UnicodeDecodeError as error:
            at = self._offset - len(state[0]) + error.start
            self._told.problems.append(f"the file is not {self._encoding}: byte {at}")
            self._decoder = codecs.getincrementaldecoder(self._encoding)("replace")
            self._decoder.setstate(state)
            text = self._decoder.decode(block, final)
        self._offset += len(block)
        self._pending = bool(self._decoder.getstate()[0])
        return text.encode("utf-8", "replace")


def _whole_lines(blocks: Iterator[bytes], told: Told) -> Iterator[tuple[bytes, bool]]:
    """Yield bytes that end where a line ends, and whether they are the last of the file."""
    held: list[bytes] = []
    size = 0
    for block in filter(None, blocks):
        # A return at the very end may be half of a line end: it waits for the next block.
        cut = max(block.rfind(b"\n"), block.rfind(b"\r", 0, -1)) + 1
        if not cut and held and held[-1].endswith(b"\r"):
            whole, held, size = b"".join(held), [], 0
            yield whole, False
        if cut:
            yield b"".join([*held, block[:cut]]), False
            held, size = [], 0
        held.append(block[cut:])
        size += len(block) - cut
        if size > LINE_BYTES:
            told.problems.append(f"a line is longer than {LINE_BYTES} bytes")
            break
    if rest := b"".join(held):
        yield rest, True


def _lines(first: int, data: bytes, *, last: bool) -> Lines:
    import numpy as np

    found = np.frombuffer(data, np.uint8)
    stops = np.flatnonzero(found == NEWLINE)
    ends = stops
    if RETURN in data:
        returns = found == RETURN
        followed = np.append(found[1:] == NEWLINE, False)
        stops = np.flatnonzero((found == NEWLINE) | (returns & ~followed))
        before = (stops > 0) & (found[stops] == NEWLINE) & returns[np.maximum(stops, 1) - 1]
        ends = stops - before
    cut = last and (not len(stops) or stops[-1] != len(data) - 1)
    if cut:
        stops = np.append(stops, len(data))
        ends = np.append(ends, len(data))
    starts = np.concatenate([np.zeros(1, np.int64), stops[:-1] + 1]) if len(stops) else stops
    return Lines(first, data, starts, ends, cut)
