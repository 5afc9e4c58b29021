"""Predictions as typed columns, made of the canonical lines of a journal.

A segment keeps columns and no lines. Its lines are written again from the columns (`log_lines`), byte for byte; a row for
which that would give other bytes keeps its line too, in the column `line`. Columns are named as the fields of a
`Prediction`, features as `features.NAME`.

    columns = columns_of(journal.read())
    columns.table["features.recency_d"]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keelway.core import Prediction, parse_json
from keelway.errors import IntegrityError
from keelway.serve.log_lines import FEATURES, LINE, bytes_in, lines_of_columns

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS = (
    "prediction_id", "entity", "version", "version_digest", "deployment", "model", "environment", "arm",
    "policy", "request_id",
)  # fmt: skip
TIMES = ("as_of", "event_time")
VALUE = "value"
LATENCY = "latency_us"
"""The one column of every prediction that may be null."""
_NUMBERS = ("null", "int64", "double")


@dataclass(frozen=True, slots=True)
class LogColumns:
    """Predictions in columns.

    Attributes:
        table: One row per prediction, in the order of the lines; times in UTC, to the microsecond.
        names: By version digest, the features of that version in the order in which its lines name them.
    """

    table: pa.Table
    names: Mapping[str, Sequence[str]]


def columns_of(data: bytes) -> LogColumns:
    """Return the columns of canonical lines, each with its line feed.

    Raises:
        IntegrityError: A line is no prediction.
    """
    found = columns_at_once(data)
    if found is not None:
        return found
    lines = data.split(b"\n")[:-1]
    return _whole(_read_one_by_one(lines), lines, data)


def columns_at_once(data: bytes) -> LogColumns | None:
    """Return the columns of canonical lines, or None where a feature changes its kind among them, or a line is no prediction."""
    lines = data.split(b"\n")[:-1]
    table = _read_at_once(data, len(lines))
    return None if table is None else _whole(table, lines, data)


def table_of_lines(data: bytes, wanted: Sequence[str] | None = None) -> pa.Table:
    """Return canonical lines, each with its line feed, as a table that has at least the columns that are wanted.

    Args:
        wanted: Where no feature is among them, none is read; None wants all columns.

    Raises:
        IntegrityError: A line is no prediction.
    """
    count = data.count(b"\n")
    if wanted is not None and not any(name.startswith(FEATURES) for name in wanted):
        for value in ("number", "list"):
            table = _read_without_features(data, count, value)
            if table is not None:
                return table
    table = _read_at_once(data, count)
    return table if table is not None else _read_one_by_one(data.split(b"\n")[:-1])


def damaged_journal(found: str) -> IntegrityError:
    """Return the refusal of a journal of which a line is no prediction."""
    return IntegrityError(
        "A prediction journal is damaged",
        expected="one prediction in each line",
        found=found,
        fix="Move its file elsewhere and keep it: what it held cannot be proven any more.",
    )


def flat_type(kind: pa.DataType) -> pa.DataType | None:
    """Return the type in which a feature's column is kept; None for what JSON was misread as, such as a time."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        return pa.list_(pa.float64()) if str(kind.value_type) in _NUMBERS else None
    if pa.types.is_null(kind) or pa.types.is_string(kind):
        return kind
    return pa.float64() if str(kind) in _NUMBERS else None


def _read_at_once(data: bytes, count: int) -> pa.Table | None:
    """Return the columns as Arrow reads them, without holding the interpreter; None for what it does not understand."""
    import pyarrow as pa

    try:
        found = _arrow_table(data, {})
        features = found.schema.field("features").type
        misread = {field.name: pa.string() for field in features if flat_type(field.type) is None}
        if misread:  # a text that looks like a time
            kinds = {field.name: misread.get(field.name, field.type) for field in features}
            found = _arrow_table(data, kinds)
        if found.num_rows != count or any(found[name].null_count for name in (*TEXTS, *TIMES, VALUE, "features")):
            return None
        return _flat(found)
    except (pa.ArrowException, KeyError):
        return None


def _arrow_table(data: bytes, features: Mapping[str, pa.DataType]) -> pa.Table:
    """Read lines of JSON; `features` are the types of features that are known."""
    import pyarrow as pa

    known = _known_types()
    if features:
        known["features"] = pa.struct(list(features.items()))
    return _parsed(data, known)


def _read_without_features(data: bytes, count: int, value: str) -> pa.Table | None:
    """Return all columns but features, where every value is a number, or a list of them; None where it is not."""
    import pyarrow as pa

    kinds = {"number": pa.float64(), "list": pa.list_(pa.float64())}
    try:
        found = _parsed(data, _known_types() | {VALUE: kinds[value]}, ignores_others=True)
    except pa.ArrowException:
        return None
    whole = found.num_rows == count and not any(
        found[name].null_count for name in found.column_names if name != LATENCY
    )
    return found if whole else None


def _known_types() -> dict[str, pa.DataType]:
    """Return the types of the columns that every prediction has, but of the value."""
    import pyarrow as pa

    return dict.fromkeys(TEXTS, pa.string()) | dict.fromkeys(TIMES, pa.timestamp("us", "UTC")) | {LATENCY: pa.int64()}


def _parsed(data: bytes, known: Mapping[str, pa.DataType], *, ignores_others: bool = False) -> pa.Table:
    import pyarrow as pa
    import pyarrow.json

    return pyarrow.json.read_json(
        pa.BufferReader(data),
        # A line longer than a block cannot be read, so the block is everything.
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=pa.schema(list(known.items())),
            unexpected_field_behavior="ignore" if ignores_others else "infer",
        ),
    )


def _flat(found: pa.Table) -> pa.Table | None:
    """Return a table whose features are columns of their own; None where a value has an unknown type."""
    import pyarrow as pa

    whole = found.combine_chunks()
    value_type = flat_type(whole[VALUE].type)
    if value_type is None or pa.types.is_string(value_type):
        return None
    made = {name: whole[name] for name in (*TEXTS, *TIMES, LATENCY)} | {VALUE: whole[VALUE].cast(value_type)}
    features = whole["features"]
    for place, field in enumerate(features.type):
        kind = flat_type(field.type)
        if kind is None:
            return None
        column = pa.chunked_array([chunk.field(place) for chunk in features.chunks], type=field.type)
        made[FEATURES + field.name] = column.cast(kind)
    return pa.table(made)


def _read_one_by_one(lines: Sequence[bytes]) -> pa.Table:
    """Return the columns of lines whose features change their kind between versions, and the like."""
    import msgspec

    decoder = msgspec.json.Decoder(Prediction)
    try:
        found = [decoder.decode(line) for line in lines]
    except msgspec.DecodeError as error:
        raise damaged_journal(str(error)) from error
    return table_of(found)


def table_of(found: Sequence[Prediction]) -> pa.Table:
    """Return predictions as a table; what has another kind than the first of its column is null there."""
    import pyarrow as pa

    moment = pa.timestamp("us", "UTC")
    made: dict[str, Any] = {name: pa.array([getattr(each, name) for each in found], pa.string()) for name in TEXTS}
    made |= {name: pa.array([getattr(each, name) for each in found], moment) for name in TIMES}
    made[LATENCY] = pa.array([each.latency_us for each in found], pa.int64())
    made[VALUE] = _column([each.value for each in found])
    for name in dict.fromkeys(name for each in found for name in each.features):
        made[FEATURES + name] = _column([each.features.get(name) for each in found])
    return pa.table(made)


def _column(values: Iterable[float | str | tuple[float, ...] | None]) -> pa.Array:
    import pyarrow as pa

    given = list(values)
    kind = next((type(value) for value in given if value is not None), None)
    types: dict[object, pa.DataType] = {str: pa.string(), tuple: pa.list_(pa.float64()), float: pa.float64()}
    return pa.array([value if type(value) is kind else None for value in given], types.get(kind, pa.null()))


def _names(table: pa.Table, lines: Sequence[bytes]) -> dict[str, tuple[str, ...]]:
    """Return the features of each version, as its first line names them."""
    import pyarrow.compute as pc

    digests = table["version_digest"]
    found = {}
    for digest in digests.unique().to_pylist():
        first = parse_json(lines[pc.index(digests, digest).as_py()])
        found[digest] = tuple(first["features"])
    return found


def _whole(table: pa.Table, lines: Sequence[bytes], data: bytes) -> LogColumns:
    """Return the columns, and in one more the lines that cannot be written again from them."""
    import pyarrow as pa

    columns = LogColumns(table, _names(table, lines))
    written = lines_of_columns(columns.table, columns.names)
    if bytes_in(written) == memoryview(data):
        return columns
    again = written.cast(pa.binary()).to_pylist()
    odd = [None if line + b"\n" == other else line for line, other in zip(lines, again, strict=True)]
    return LogColumns(columns.table.append_column(LINE, pa.array(odd, pa.string())), columns.names)
