"""Writes predictions as canonical JSON, the same bytes as `canonical_json(prediction)`, from parts made once.

    lines = writer.lines(ids, rows, ["0.25"], at="1998-01-02T00:00:00Z")

msgspec writes texts as RFC 8785 does, and numbers too where they are no whole ones and lie between 0.00001 and 1e15; the others
are handed to it as integers, or as bytes that are written already.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Any

import msgspec

from keelway.core import LARGEST_PLAIN, SMALLEST_PLAIN, Digest, canonical_json, in_utc, parse_json, plain_number

if TYPE_CHECKING:
    from keelway.serve.wire.columns import Row

_LEAST, _MOST = SMALLEST_PLAIN, LARGEST_PLAIN
COLUMNS_FROM = 8
"""From so many rows on, their values are looked at column by column, which is faster."""

_ENCODER = msgspec.json.Encoder(enc_hook=float)
_encode = _ENCODER.encode


class _Line(msgspec.Struct, gc=False):
    """A prediction, its fields in the order of canonical JSON."""

    arm: str
    as_of: str
    deployment: str
    entity: str
    environment: str
    event_time: str
    features: Any
    latency_us: int | None
    model: str
    policy: str
    prediction_id: str
    request_id: str
    value: msgspec.Raw
    version: str
    version_digest: str


class RequestMark(msgspec.Struct, frozen=True):
    """What the log tells of the request that asked for a prediction.

    Attributes:
        request_id: Its id; empty where there is none.
        began: When its first byte was read, in seconds of `time.perf_counter`; None where nobody waits for it.
    """

    request_id: str = ""
    began: float | None = None

    def latency_us(self, now: float) -> int | None:
        """Return how many microseconds after its first byte it is now."""
        return None if self.began is None else round((now - self.began) * 1e6)


UNMARKED = RequestMark()
"""Of what no request asked for."""


@lru_cache(maxsize=64)
def moment_text(moment: datetime) -> str:
    """Return what `time_text` returns, at a tenth of its cost: msgspec writes RFC 3339 as well."""
    return _encode(in_utc(moment))[1:-1].decode()


def number_text(value: float) -> str:
    """Return a finite number as RFC 8785 writes it."""
    text = repr(float(value))
    if "e" in text or text == "-0.0":
        return canonical_json(float(value)).decode()
    return text.removesuffix(".0")


def number_texts(values: Sequence[float]) -> list[str]:
    """Return finite numbers, at least one, as RFC 8785 writes them."""
    return _encode(_plain_column(values))[1:-1].decode().split(",")


def plain_value(value: Any) -> Any:
    """Return a feature's value in a form that msgspec writes as RFC 8785 does."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return [plain_value(each) for each in value]
    return plain_number(float(value))


def canonical_order(names: Iterable[str]) -> list[str]:
    """Return names as RFC 8785 sorts the keys of an object."""
    return list(parse_json(canonical_json(dict.fromkeys(names))))


def lines_of(
    writers: Sequence[LineWriter],
    ids: Sequence[str],
    rows: Sequence[Row],
    texts: Sequence[str],
    *,
    at: str,
    marks: Sequence[RequestMark] = (),
) -> bytes:
    """Return the lines of predictions in their order, each by its writer; see `LineWriter.lines`."""
    if all(writer is writers[0] for writer in writers):
        return writers[0].lines(ids, rows, texts, at=at, marks=marks)
    marks = marks or [UNMARKED] * len(rows)
    groups: dict[LineWriter, list[int]] = {}
    for place, writer in enumerate(writers):
        groups.setdefault(writer, []).append(place)
    lines = [b""] * len(rows)
    for writer, mine in groups.items():
        parts = zip(*((ids[place], rows[place], texts[place]) for place in mine), strict=True)
        told = writer.lines(*parts, at=at, marks=[marks[place] for place in mine])
        for place, line in zip(mine, told.splitlines(keepends=True), strict=True):
            lines[place] = line
    return b"".join(lines)


class LineWriter:
    """Writes the lines of one version in one arm of one deployment."""

    def __init__(
        self, *, model: str, version: str, version_digest: Digest, deployment: Digest, environment: str, arm: str,
        features: tuple[str, ...], policy: str = "",
    ) -> None:  # fmt: skip
        names = canonical_order(features)
        places = [features.index(name) for name in names]
        self._sorted: Callable[[Sequence[Any]], Iterable[Any]] = lambda values: [values[place] for place in places]
        self._features = _record(names)
        self._arm, self._deployment, self._environment = repeat(arm), repeat(deployment), repeat(environment)
        self._model, self._version, self._digest = repeat(model), repeat(version), repeat(version_digest)
        self._policy = repeat(policy)

    def lines(
        self,
        ids: Sequence[str],
        rows: Sequence[Row],
        texts: Sequence[str],
        *,
        at: str,
        marks: Sequence[RequestMark] = (),
    ) -> bytes:
        """Return the lines of predictions, each with its line feed.

        Args:
            texts: What was answered to each row, written as JSON already.
            at: When that was, as `moment_text` writes it.
            marks: The request of each row; none where no request asked.
        """
        entities, moments, values = zip(*rows, strict=True)
        requests, latencies = _told_of(marks)
        told = map(
            _Line, self._arm, map(moment_text, moments), self._deployment, entities, self._environment, repeat(at),
            self._told(values), latencies, self._model, self._policy, ids, requests, map(msgspec.Raw, texts),
            self._version, self._digest,
        )  # fmt: skip
        return _ENCODER.encode_lines(list(told))

    def _told(self, rows: Sequence[Sequence[Any]]) -> Iterable[Any]:
        """Return the features of rows, in canonical order."""
        if len(rows) < COLUMNS_FROM or not rows[0]:
            return [self._features(*_plain_values(self._sorted(values))) for values in rows]
        return map(self._features, *map(_plain_column, self._sorted(list(zip(*rows, strict=True)))))


def _told_of(marks: Sequence[RequestMark]) -> tuple[Iterable[str], Iterable[int | None]]:
    """Return the request id of each row and how long its request has taken until now."""
    now = time.perf_counter()
    if not marks or marks.count(marks[0]) == len(marks):
        mark = marks[0] if marks else UNMARKED
        return repeat(mark.request_id), repeat(mark.latency_us(now))
    return [mark.request_id for mark in marks], [mark.latency_us(now) for mark in marks]


def _record(names: Sequence[str]) -> Callable[..., Any]:
    """Return what makes of values something that msgspec writes as an object with these keys."""
    fields = {f"f{place}": name for place, name in enumerate(names)}
    try:
        return msgspec.defstruct("Features", [(field, Any) for field in fields], rename=fields, gc=False)
    except ValueError:  # a name with a quote or a backslash, which is no name of a field
        return lambda *values: dict(zip(names, values, strict=True))


def _plain_values(values: Iterable[Any]) -> list[Any]:
    """Return values in forms that msgspec writes as RFC 8785 does."""
    return [
        value
        if value.__class__ is str
        or value is None
        or (value.__class__ is float and (_LEAST < value < _MOST or -_MOST < value < -_LEAST) and value % 1)
        else plain_value(value)
        for value in values
    ]


def _plain_column(values: Sequence[Any]) -> list[Any]:
    """Do the same for values of one feature."""
    if values[0].__class__ is not float:
        return _plain_values(values)
    return [
        value
        if value is None or ((_LEAST < value < _MOST or -_MOST < value < -_LEAST) and value % 1)
        else plain_value(value)
        for value in values
    ]
