"""Writes predictions as canonical JSON, the same bytes as `canonical_json(prediction)`, from parts made once.

    lines = writer.lines(ids, rows, ["0.25"], at="1998-01-02T00:00:00Z")

msgspec writes texts as RFC 8785 does, and numbers too where they are no whole ones and lie between 0.00001 and 1e15; the others
are handed to it as integers, or as bytes that are written already. Many lines are written column by column: what msgspec made
of the numbers of a column is looked at as a whole, and mended where that is not what RFC 8785 wants.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from keelway.core import LARGEST_PLAIN, SMALLEST_PLAIN, Digest, canonical_json, in_utc, parse_json, plain_number

if TYPE_CHECKING:
    from keelway.serve.wire.columns import Row

_LEAST, _MOST = SMALLEST_PLAIN, LARGEST_PLAIN
COLUMNS_FROM = 32
"""From so many rows on, their lines are written column by column, which is faster."""
BLOCK_ROWS = 512
"""So many are written at once: their texts are there only that long."""
_NO_EXPONENT = b"0123456789.,-nul"
"""What numbers without an exponent, and nulls, are written with."""

_Column = TypeVar("_Column")
_Part = str | Sequence[str]
"""A text that is the same in every row, or one for each."""

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


def number_texts(values: Sequence[float | None]) -> list[str]:
    """Return finite numbers and nulls, at least one, as RFC 8785 writes them."""
    written = _encode(values)[1:-1] + b","
    # msgspec writes numbers without an exponent as RFC 8785 does, but whole ones with a zero behind the point.
    if written.translate(None, _NO_EXPONENT):
        written = _encode(_plain_values(values))[1:-1] + b","
    elif b".0," in written:
        written = written.replace(b".0,", b",")
        if b"-0," in written:
            written = written.replace(b"-0,", b"0,")
    return written[:-1].decode().split(",")


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
    if writers.count(writers[0]) == len(writers):
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


class WriterParts(msgspec.Struct, frozen=True, kw_only=True):
    """What the lines of one version in one arm of one deployment have in common.

    Attributes:
        features: The names of the features, in the model's order.
    """

    model: str
    version: str
    version_digest: Digest
    deployment: Digest
    environment: str
    arm: str
    features: tuple[str, ...]
    policy: str = ""


class LineWriter:
    """Writes the lines of one version in one arm of one deployment."""

    def __init__(self, parts: WriterParts) -> None:
        self.parts = parts
        names = canonical_order(parts.features)
        places = [parts.features.index(name) for name in names]
        self._sorted: Callable[[Sequence[Any]], Sequence[Any]] = lambda values: [values[place] for place in places]
        if len(places) > 1:
            self._sorted = itemgetter(*places)
        self._features = _record(names)
        self._keys = ["," * bool(place) + encode_basestring(name) + ":" for place, name in enumerate(names)]

    def lines(
        self,
        ids: Sequence[str],
        rows: Sequence[Row],
        texts: Sequence[str],
        *,
        at: str,
        marks: Sequence[RequestMark] = (),
        now: float | None = None,
    ) -> bytes:
        """Return the lines of predictions, each with its line feed.

        Args:
            texts: What was answered to each row, written as JSON already.
            at: When that was, as `moment_text` writes it.
            marks: The request of each row; none where no request asked.
            now: Up to when its latency is told, in seconds of `time.perf_counter`; None for now.
        """
        now = time.perf_counter() if now is None else now
        if len(rows) >= COLUMNS_FROM:
            marks = marks or [UNMARKED] * len(rows)
            written = io.BytesIO()
            for begin in range(0, len(rows), BLOCK_ROWS):
                some = slice(begin, begin + BLOCK_ROWS)
                written.write(self._block(ids[some], rows[some], texts[some], at, marks[some], now))
            return written.getvalue()
        parts = self.parts
        told = [
            _Line(
                parts.arm, moment_text(moment), parts.deployment, entity, parts.environment, at,
                self._features(*_plain_values(self._sorted(values))), mark.latency_us(now), parts.model, parts.policy,
                prediction_id, mark.request_id, msgspec.Raw(text), parts.version, parts.version_digest,
            )
            for prediction_id, (entity, moment, values), text, mark in zip(
                ids, rows, texts, marks or [UNMARKED] * len(rows), strict=True
            )
        ]  # fmt: skip
        return _ENCODER.encode_lines(told)

    def _block(
        self, ids: Sequence[str], rows: Sequence[Row], texts: Sequence[str], at: str, marks: Sequence[RequestMark],
        now: float,
    ) -> bytes:  # fmt: skip
        """Return the lines of some rows: their parts column by column, in the order of canonical JSON, then joined."""
        common = self.parts
        entities, moments, values = zip(*rows, strict=True)
        parts: list[_Part] = [f'{{"arm":{encode_basestring(common.arm)},"as_of":"', _alike(moments, _moments)]
        parts += [f'","deployment":"{common.deployment}","entity":', *_written_column(entities)]
        parts.append(f',"environment":{encode_basestring(common.environment)},"event_time":"{at}","features":{{')
        for key, column in zip(self._keys, self._sorted(list(zip(*values, strict=True))), strict=True):
            parts += [key, *_written_column(column)]
        parts += ['},"latency_us":', _alike(marks, lambda some: _latencies(some, now))]
        parts.append(f',"model":{encode_basestring(common.model)},"policy":{encode_basestring(common.policy)}')
        parts += [',"prediction_id":"', ids, '","request_id":', _alike(marks, _requests)]
        parts += [',"value":', texts, f',"version":"{common.version}","version_digest":"{common.version_digest}"}}\n']
        return _joined(parts, len(rows))


def _alike(values: Sequence[Any], write: Callable[[Sequence[Any]], Sequence[str]]) -> _Part:
    """Return one text where all rows have the same, else one for each."""
    return write(values[:1])[0] if values.count(values[0]) == len(values) else write(values)


def _moments(moments: Sequence[datetime]) -> Sequence[str]:
    return list(map(moment_text, moments))


def _latencies(marks: Sequence[RequestMark], now: float) -> Sequence[str]:
    return _encode([mark.latency_us(now) for mark in marks])[1:-1].decode().split(",")


def _requests(marks: Sequence[RequestMark]) -> Sequence[str]:
    return [encode_basestring(mark.request_id) for mark in marks]


def _written_column(values: Sequence[Any]) -> list[_Part]:
    """Return what values of one feature are joined from, as RFC 8785 writes them."""
    first = next((value for value in values if value is not None), None)
    if first is None:
        return ["null"]
    if first.__class__ is float:
        return [number_texts(values)]
    with contextlib.suppress(TypeError):  # something that is no text
        together = "".join(values)
        if len(encode_basestring(together)) == len(together) + len('""'):  # nothing in them must be escaped
            return ['"', values, '"']
    return [[encode_basestring(value) if value.__class__ is str else _written(value) for value in values]]


def _written(value: Any) -> str:
    """Return a value as RFC 8785 writes it."""
    return _encode(plain_value(value)).decode()


def neighbours_joined(parts: Iterable[str | _Column]) -> list[str | _Column]:
    """Return the parts of lines with neighbours as one that are the same in every row."""
    merged: list[str | _Column] = []
    for part in parts:
        before = merged[-1] if merged else None
        if isinstance(part, str) and isinstance(before, str):
            merged[-1] = before + part
        else:
            merged.append(part)
    return merged


def _joined(parts: Sequence[_Part], count: int) -> bytes:
    """Return the parts of all rows, those of each row together."""
    merged = neighbours_joined(parts)
    whole = [part if isinstance(part, str) else "" for part in merged] * count
    for place, part in enumerate(merged):
        if not isinstance(part, str):
            whole[place :: len(merged)] = part
    return "".join(whole).encode()


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
