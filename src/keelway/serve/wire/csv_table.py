"""Reads CSV as `DataFrame.to_csv(index=False)` writes it: a header line, an empty cell where a value is missing."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from keelway.core import parse_time
from keelway.errors import KeelwayError
from keelway.features import FeatureColumn
from keelway.serve.wire.columns import (
    AS_OF,
    ENTITY,
    LARGEST,
    MAX_ENTITY,
    MAX_TEXT,
    MAX_WORDS,
    Row,
    WireLimits,
    check_rows,
)
from keelway.serve.wire.invocations import InvocationReader
from keelway.serve.wire.refusal import refused, shown

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


class CsvReader:
    """Reads CSV for one list of features; of their kinds it can hold all but arrays."""

    def __init__(self, features: Sequence[FeatureColumn], reader: InvocationReader, *, limits: WireLimits) -> None:
        self._reader = reader
        self._limits = limits
        self._cells: dict[str, Callable[[str, str], Any]] = {ENTITY: _entity, AS_OF: _moment}
        self._cells |= {feature.name: _KINDS[feature.kind] for feature in features}

    def read(self, body: bytes, *, now: datetime) -> list[Row]:
        """Return the rows of a CSV body.

        Raises:
            BadRequestError: The body is refused.
        """
        try:
            text = body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise refused("$", "CSV in UTF-8", f"byte {error.start} is not", what="The body is not CSV") from error
        try:
            lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        except csv.Error as error:
            raise refused("$", "CSV", shown(str(error)), what="The body is not CSV") from error
        if not lines:
            raise refused("$", "a header line", "nothing", what="The body is not CSV")
        header, rows = lines[0], [line for line in lines[1:] if line]
        self._reader.check_names(header, "$")
        check_rows(len(rows), self._limits, "$")
        return self._reader.read_table(header, [self._row(header, row, at) for at, row in enumerate(rows)], now=now)

    def _row(self, header: list[str], row: list[str], at: int) -> list[Any]:
        if len(row) != len(header):
            raise refused(f"$[{at}]", f"{len(header)} cells", str(len(row)))
        return [self._cells[name](cell, f"$[{at}].{name}") for name, cell in zip(header, row, strict=True)]


def _number(cell: str, field: str) -> float | None:
    if not cell:
        return None
    if not _NUMBER.fullmatch(cell):
        raise refused(field, "a number", shown(cell))
    value = float(cell)
    if not -LARGEST <= value <= LARGEST:
        raise refused(field, "a finite number of 32 bits", shown(cell))
    return value


def _category(cell: str, field: str) -> str | None:
    return _text(cell, field, MAX_TEXT) or None


def _words(cell: str, field: str) -> str | None:
    return _text(cell, field, MAX_WORDS) or None


def _entity(cell: str, field: str) -> str:
    if not cell:
        raise refused(field, "a text of length >= 1", "nothing")
    return _text(cell, field, MAX_ENTITY)


def _text(cell: str, field: str, longest: int) -> str:
    if len(cell) > longest:
        raise refused(field, f"a text of length <= {longest}", str(len(cell)))
    return cell


def _moment(cell: str, field: str) -> datetime | None:
    if not cell:
        return None
    try:
        return parse_time(cell)
    except (KeelwayError, OverflowError) as error:
        raise refused(field, "a time with its zone, such as 2026-02-01T00:00:00Z", shown(cell)) from error


def _array(_cell: str, field: str) -> list[float]:
    raise refused(field, "JSON: CSV holds no lists of numbers", "CSV")


_KINDS: dict[str, Callable[[str, str], Any]] = {
    "numeric": _number,
    "categorical": _category,
    "text": _words,
    "array": _array,
}
