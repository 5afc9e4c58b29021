"""Reads business events from files that people bring: CSV with a header, or one JSON object a line."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from keelway.core import BusinessEvent, parse_time
from keelway.errors import DataError, KeelwayError

NEEDED = ("entity", "event_time")
KNOWN = (*NEEDED, "amount", "event_id", "known_at")
JSON_LINES = (".jsonl", ".ndjson")


def events_in(file: Path, stream: str, *, now: datetime) -> Iterator[BusinessEvent]:
    """Yield the events in a file, in its order.

    Args:
        file: Fields `entity` and `event_time`; `amount` (1 where it is missing), `event_id`, and `known_at` (else now).
        now: When what does not say so became known.

    Raises:
        DataError: A line is no event.
    """
    rows = _json_rows(file) if file.suffix in JSON_LINES else _csv_rows(file)
    for number, row in rows:
        try:
            yield _event(row, stream, now)
        except (KeelwayError, ValueError, TypeError) as error:
            raise DataError(
                f"{file}, line {number}: this is no event of {stream}",
                expected="entity, event_time, and a finite amount",
                found=str(error),
                fix="Mend the line and record the file again; nothing was written.",
            ) from error


def _event(row: Mapping[str, Any], stream: str, now: datetime) -> BusinessEvent:
    given = {name: value for name, value in row.items() if value not in (None, "")}
    missing = [name for name in NEEDED if name not in given]
    if missing:
        raise DataError("Something is missing", expected=", ".join(missing), found="nothing")
    amount = float(given.get("amount", 1))
    if isinstance(given.get("amount"), bool) or not math.isfinite(amount):
        raise DataError("This is no amount", expected="a finite number", found=repr(given["amount"]))
    return BusinessEvent(
        stream=stream,
        entity=str(given["entity"]),
        amount=amount,
        event_time=parse_time(str(given["event_time"])),
        known_at=parse_time(str(given["known_at"])) if "known_at" in given else now,
        event_id=str(given.get("event_id", "")),
    )


def _csv_rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        _check_fields(file, reader.fieldnames or ())
        for row in reader:
            if None in row:  # such as an amount with a decimal comma
                told = f"{len(row[None])} more"
                raise DataError(f"{file}, line {reader.line_num}: more values than columns", found=told)
            yield reader.line_num, row


def _json_rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with file.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(
                    f"{file}, line {number}: this is no JSON", expected="an object", found=str(error)
                ) from error
            if not isinstance(row, dict):
                raise DataError(
                    f"{file}, line {number}: this is no event", expected="an object", found=type(row).__name__
                )
            _check_fields(file, tuple(row))
            yield number, row


def _check_fields(file: Path, fields: Collection[str]) -> None:
    """Refuse fields that nobody reads: a misspelt `amount` would count as 1."""
    unknown = sorted(set(fields) - set(KNOWN))
    missing = sorted(set(NEEDED) - set(fields))
    if unknown or missing:
        raise DataError(
            f"{file} has other fields than events have",
            expected=", ".join(KNOWN),
            found=", ".join(map(str, fields)) or "no header",
            fix="; ".join([*(f"add {name}" for name in missing), *(f"take out {name}" for name in unknown)]),
        )
