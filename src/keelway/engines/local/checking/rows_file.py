"""Writes Parquet files whose bytes depend on nothing but their rows.

Row groups have a fixed size whatever size the rows come in, and each column one encoding: texts by a dictionary,
integers and times by their differences, so that row numbers cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.contract import Contract, PiiClass

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 131_072
"""Rows in one row group of the Parquet files."""
BATCH = 16_384
"""Rows that are handed on at once: small, because several batches are under way at any time."""


def kept_schema(contract: Contract) -> pa.Schema:
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
    own = [
        (column.name, pa.string() if column.pii is not PiiClass.NONE else types[column.kind])
        for column in contract.columns
    ]
    return pa.schema([*own, ("_known_at", types["timestamp"]), ("_file", pa.string()), ("_row", pa.int64())])


def quarantine_schema() -> pa.Schema:
    """Return the schema of quarantined rows."""
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [("file", text), ("digest", text), ("row", pa.int64()), ("raw", text), ("reasons", pa.list_(text))]
    )


def write_rows(path: Path, schema: pa.Schema, parts: Iterable[pa.RecordBatch]) -> int:
    """Write batches in row groups of exactly `ROW_GROUP` rows, and return how many rows there were."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    held: list[pa.RecordBatch] = []
    count = total = 0
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=_dictionaries(schema),
        column_encoding=_encodings(schema),
        store_schema=False,  # the types of Parquet say it all; Arrow's would tell how a batch was held in memory
    ) as writer:
        for part in parts:
            held.append(part)
            count += part.num_rows
            total += part.num_rows
            if count >= ROW_GROUP:
                table = pa.Table.from_batches(held, schema=schema)
                whole = count - count % ROW_GROUP
                writer.write_table(table.slice(0, whole), row_group_size=ROW_GROUP)
                held, count = table.slice(whole).to_batches(), count - whole
        if count or not total:
            writer.write_table(pa.Table.from_batches(held, schema=schema), row_group_size=ROW_GROUP)
    return total


def _dictionaries(schema: pa.Schema) -> list[str]:
    """Return the columns that are stored by a dictionary: texts, and times that are those of a file."""
    import pyarrow as pa

    return [
        field.name
        for field in schema
        if field.name == "_known_at" or pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)
    ]


def _encodings(schema: pa.Schema) -> dict[str, str]:
    """Return the encodings of the columns that are stored by differences."""
    import pyarrow as pa

    stepwise = (pa.types.is_integer, pa.types.is_date, pa.types.is_timestamp)
    return {
        field.name: "DELTA_BINARY_PACKED"
        for field in schema
        if field.name != "_known_at" and any(is_it(field.type) for is_it in stepwise)
    }
