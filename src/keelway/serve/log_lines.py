"""Writes the canonical lines of predictions that are kept in columns: many at once, the same bytes as `LineWriter`.

Everything is done by Arrow, column by column, so that the interpreter is free meanwhile; only numbers that are written with
an exponent and texts that must be escaped are written by Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

from keelway.serve.line import neighbours_joined, number_text

if TYPE_CHECKING:
    import pyarrow as pa

FEATURES = "features."
LINE = "line"
_ESCAPED = r'["\\\x00-\x1f]'

_Part = Any
"""A text that is the same in every row, or an array of one for each."""


def lines_of_columns(table: pa.Table, names: Mapping[str, Iterable[str]]) -> pa.Array:
    """Return the line of each row with its line feed, as an array of texts.

    Args:
        names: By version digest, the features of that version in the order in which its lines name them.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = table.combine_chunks()
    digests = whole["version_digest"].unique().to_pylist()
    if len(digests) == 1:
        made = _lines(whole, digests[0], names[digests[0]])
    else:
        places, parts = [], []
        for digest in digests:
            mine = pc.indices_nonzero(pc.equal(whole["version_digest"], digest))
            places.append(mine)
            parts.append(_lines(whole.take(mine), digest, names[digest]))
        order = pc.sort_indices(pa.concat_arrays(places))
        made = pa.concat_arrays(parts).take(order)
    if LINE not in whole.column_names:
        return made
    kept = one_array(whole[LINE])
    return pc.if_else(kept.is_valid(), pc.binary_join_element_wise(kept, "\n", ""), made)


def split_lines(written: pa.Array) -> list[bytes]:
    """Return the lines that `lines_of_columns` wrote, without their line feeds."""
    return bytes(bytes_in(written)).split(b"\n")[:-1]


def bytes_in(texts: pa.Array) -> memoryview:
    """Return the bytes of all texts, one after the other, without copying them."""
    import numpy as np

    _, offsets, data = texts.buffers()
    if data is None:
        return memoryview(b"")
    places = np.frombuffer(offsets, dtype=np.int32, count=texts.offset + len(texts) + 1)
    return memoryview(data).cast("B")[places[texts.offset] : places[-1]]


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    import pyarrow as pa

    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def number_texts(column: pa.Array) -> pa.Array:
    """Return finite numbers as RFC 8785 writes them; a null stays one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.cast(column, pa.string())
    odd = pc.fill_null(pc.or_(pc.match_substring(texts, "e"), pc.equal(texts, "-0")), False)
    if not pc.any(odd).as_py():
        return texts
    again = [number_text(value) for value in column.filter(odd).to_pylist()]
    return pc.replace_with_mask(texts, odd, pa.array(again, pa.string()))


def quoted_texts(column: pa.Array) -> pa.Array:
    """Return texts as JSON writes them, in their quotes; a null stays one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.any(pc.match_substring_regex(column, _ESCAPED)).as_py():
        encoded = column.dictionary_encode()
        texts = pa.array([encode_basestring(text) for text in encoded.dictionary.to_pylist()], pa.string())
        return texts.take(encoded.indices)
    return pc.binary_join_element_wise('"', column, '"', "")


def time_texts(column: pa.Array) -> pa.Array:
    """Return moments in UTC as `time_text` writes them: microseconds only where there are any."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # Without a zone, Arrow writes them twenty times as fast: 1998-01-01 00:00:00.000000
    texts = pc.cast(pc.cast(column, pa.timestamp("us")), pa.string())
    short = pc.replace_substring(pc.binary_replace_slice(texts, 10, 11, "T"), ".000000", "")
    return pc.binary_join_element_wise(short, "Z", "")


def list_texts(column: pa.Array) -> pa.Array:
    """Return lists of numbers as JSON writes them; a null stays one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(column), 0)
    ends = pc.cumulative_sum(lengths)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends.cast(pa.int32())])
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, number_texts(column.flatten())), ",")
    written = pc.binary_join_element_wise("[", joined, "]", "")
    return pc.if_else(column.is_valid(), written, pa.scalar(None, pa.string()))


def _lines(table: pa.Table, digest: str, names: Iterable[str]) -> pa.Array:
    """Return the lines of rows of one version."""
    parts: list[_Part] = ['{"arm":', _texts(table["arm"]), ',"as_of":"', _moments(table["as_of"])]
    parts += ['","deployment":', _texts(table["deployment"]), ',"entity":', _texts(table["entity"])]
    parts += [',"environment":', _texts(table["environment"]), ',"event_time":"', _moments(table["event_time"])]
    parts.append('","features":{')
    for place, name in enumerate(names):
        parts += ["," * bool(place) + encode_basestring(name) + ":", _written(one_array(table[FEATURES + name]))]
    parts += ['},"latency_us":', _written(one_array(table["latency_us"])), ',"model":', _texts(table["model"])]
    parts += [',"policy":', _texts(table["policy"]), ',"prediction_id":', _texts(table["prediction_id"])]
    parts += [',"request_id":', _texts(table["request_id"]), ',"value":', _written(one_array(table["value"]))]
    parts += [',"version":', _texts(table["version"])]
    parts.append(f',"version_digest":"{digest}"}}\n')
    return _joined(parts, table.num_rows)


def _written(column: pa.Array) -> _Part:
    """Return the JSON of a column of values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count == len(column):
        return "null"
    if pa.types.is_list(column.type):
        texts = list_texts(column)
    else:
        texts = quoted_texts(column) if pa.types.is_string(column.type) else number_texts(column)
    return pc.fill_null(texts, "null") if column.null_count else texts


def _texts(column: pa.ChunkedArray) -> _Part:
    """Return the JSON of texts; one text where all rows have the same."""
    first = column[0].as_py()
    return encode_basestring(first) if _is_constant(column) else quoted_texts(one_array(column))


def _moments(column: pa.ChunkedArray) -> _Part:
    """Return moments as text; one text where all rows have the same."""
    if _is_constant(column):
        return time_texts(one_array(column.slice(0, 1)))[0].as_py()
    return time_texts(one_array(column))


def _is_constant(column: pa.ChunkedArray) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.equal(column, column[0])).as_py())


def _joined(parts: list[_Part], count: int) -> pa.Array:
    """Return the parts of each row as one text; neighbours that are the same in every row are joined before."""
    import pyarrow as pa
    import pyarrow.compute as pc

    merged = neighbours_joined(parts)
    if len(merged) == 1:
        return pa.array(merged * count, pa.string())
    return pc.binary_join_element_wise(*merged, "")
