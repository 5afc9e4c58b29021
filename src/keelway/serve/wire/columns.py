"""The columns of a model as every protocol sees them: their types, and rows from columns.

A value of a row is a number or null (`numeric`), a text or null (`categorical`, `text`), or a list of numbers
(`array`). Numbers stay within what a 32-bit float can hold. Beside its features a row can bring `entity` and `as_of`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from keelway.errors import BadRequestError
from keelway.features import FeatureColumn
from keelway.serve.wire.refusal import refused, shown

MAX_TEXT = 1_000  # characters of a category
MAX_WORDS = 100_000  # characters of a text
MAX_ENTITY = 200  # characters
LARGEST = 3.4028234e38  # of a 32-bit float
ENTITY, AS_OF = "entity", "as_of"
TEXT_KINDS = ("categorical", "text")

ENTITY_PATTERN = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff]+$"
"""An entity has no control characters and no marks that change how it is read, so that a log shows what was asked."""

_STRANGE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

Row = tuple[str, datetime, list[Any]]
"""Entity (empty where the request names none), as-of time in UTC, and the features in the model's order."""

Number = Annotated[float, msgspec.Meta(ge=-LARGEST, le=LARGEST)]
EntityText = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ENTITY)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


@dataclass(frozen=True, slots=True)
class WireLimits:
    """How large a request may be.

    Attributes:
        body_bytes: Bytes of a body, after it was unpacked.
        rows: Rows of one request.
        explained_rows: Rows of one request for explanations.
        timeout_ms: Milliseconds from a request's first byte to its answer; 0 for no end. A caller can ask for less.
    """

    body_bytes: int = 2_000_000
    rows: int = 1_000
    explained_rows: int = 20
    timeout_ms: int = 30_000


def value_type(feature: FeatureColumn) -> Any:
    """Return the type that msgspec reads a feature's value as."""
    if feature.kind == "numeric":
        return Number | None
    if feature.kind == "array":
        return Annotated[list[Number], msgspec.Meta(min_length=feature.length, max_length=feature.length)]
    longest = MAX_WORDS if feature.kind == "text" else MAX_TEXT
    return Annotated[str, msgspec.Meta(max_length=longest)] | None


def checked_entity(entity: str, field: str = "$.entity") -> str:
    """Return an entity that can be printed as it is.

    Raises:
        BadRequestError: It holds a control character, or a mark that changes how it is read.
    """
    if not entity.isprintable() and _STRANGE.search(entity):  # what is printable has none of them
        raise refused(field, "a text without control or direction marks", shown(entity))
    return entity


def in_utc_or(moment: datetime | msgspec.UnsetType | None, now: datetime, field: str = "$.as_of") -> datetime:
    """Return the as-of time of a row in UTC; now where it has none.

    Raises:
        BadRequestError: The time does not exist in UTC.
    """
    if not moment:
        return now
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise BadRequestError(
            "This time does not exist in UTC", expected="a year from 1 to 9999", found=str(moment), field=field
        ) from error


def check_rows(count: int, limits: WireLimits, field: str) -> None:
    """Refuse a request without rows, or with too many.

    Raises:
        BadRequestError: It has none, or more than the limit.
    """
    if not 1 <= count <= limits.rows:
        raise refused(field, f"1 to {limits.rows} rows", str(count))


def rows_of(
    columns: Sequence[Sequence[Any]], *, entities: Sequence[str] | None, as_ofs: Sequence[Any] | None, now: datetime
) -> list[Row]:
    """Return rows from columns of one length, in the model's order.

    Args:
        entities: The entity of each row; None where the request names none.
        as_ofs: The as-of time of each row; None, or a null in it, is now.
    """
    values = [list(row) for row in zip(*columns, strict=True)]
    count = len(values)
    names = [checked_entity(name) for name in entities] if entities is not None else [""] * count
    moments = [in_utc_or(each, now) for each in as_ofs] if as_ofs is not None else [now] * count
    return list(zip(names, moments, values, strict=True))
