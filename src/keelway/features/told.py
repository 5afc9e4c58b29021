"""What an error may tell of rows: how many and of which cut date, and never an entity or a value, which may be a person's.

The engine's own message, which quotes the value, stays on the cause of the error, where a debugger sees it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from keelway.core import time_text
from keelway.features.names import AS_OF

if TYPE_CHECKING:
    import pyarrow as pa

_TARGET = re.compile(r" to (?:the destination type )?([A-Z][A-Z0-9_]*(?:\([\d, ]*\)|\[\])*) (?=when casting)")
_SOURCE = re.compile(r"source column (\w+)\s*$", re.MULTILINE)


def counted(wrong: pa.Table, what: str = "row", many: str = "rows") -> str:
    """Return how many rows are wrong, and the first cut date at which one is.

    Args:
        what: What a row of `wrong` stands for.
    """
    import pyarrow.compute as pc

    return f"{wrong.num_rows:,} {what if wrong.num_rows == 1 else many}, the first at {time_text(pc.min(wrong[AS_OF]).as_py())}"


def without_values(error: Exception) -> str:
    """Return what DuckDB or Ibis says went wrong; of an error that a value caused, only where and how.

    >>> import duckdb
    >>> without_values(duckdb.ConversionException("Could not convert string 'ana' to INT32 when casting from source column x"))
    'a value of column x that cannot be cast to INT32'
    """
    import duckdb

    text = str(error).strip()
    if not isinstance(error, duckdb.ConversionException | duckdb.InvalidInputException | duckdb.OutOfRangeException):
        return text
    source, target = _SOURCE.search(text), _TARGET.search(text)
    what = f"a value of column {source[1]}" if source else "a value"
    if isinstance(error, duckdb.ConversionException):
        return f"{what} that cannot be cast" + (f" to {target[1]}" if target else "")
    return f"{what} that is {'out of range' if isinstance(error, duckdb.OutOfRangeException) else 'no valid input'}"
