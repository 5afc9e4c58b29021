"""Masks what names a person in text that was not meant to hold it: log lines, error messages, listings.

Masked are e-mail addresses, phone numbers in international form, IBANs, card numbers, IPv4 and IPv6 addresses and
national identity numbers; where such a number has check digits, only one that passes them. Dates, amounts, digests,
UUIDs and version numbers stay. A scrubber that knows the columns of a contract also masks `column=value`.

>>> scrub("ana@example.com paid 12.50 with 4111 1111 1111 1111 from 203.0.113.9")
'[e-mail] paid 12.50 with [card] from [ip]'
>>> scrub("no client has customer_id=00042", columns=["customer_id"])
'no client has customer_id=[hidden]'
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from keelway.core import memory_duckdb
from keelway.privacy.shapes import IPV4, Shape, shapes

if TYPE_CHECKING:
    import pyarrow as pa

LARGE = 1 << 17
"""Texts of more characters are scrubbed by DuckDB, line by line, many times faster than by `re`."""

_SIMPLE_IPV4 = rf"(^|[^0-9A-Za-z_./:])({IPV4})\b"  # where no shape's trigger fires, this is all there can be

_FIRST_PASS = (
    "SELECT regexp_matches(line, $any) AS doubtful, regexp_replace(line, $ip, '\\1[ip]', 'g') AS line FROM log"
)


def scrub(text: str, columns: Iterable[str] = ()) -> str:
    """Return a text without what names a person, each masked by its kind in brackets.

    Args:
        text: Anything.
        columns: Columns that name a person: `column=value` and `"column": "value"` lose their values too.
    """
    return Scrubber(columns).scrub(text)


class Scrubber:
    """Masks what names a person, knowing the columns that do.

    Args:
        columns: Their names.
    """

    def __init__(self, columns: Iterable[str] = ()) -> None:
        names = "|".join(re.escape(name) for name in sorted(set(columns)))
        self._shapes = (*((_field(names),) if names else ()), *shapes())

    def scrub(self, text: str) -> str:
        """Return a text without what names a person."""
        if len(text) > LARGE:
            return "\n".join(self.lines(text.split("\n")))
        for shape in self._shapes:
            text = shape.mask(text)
        return text

    def lines(self, lines: Sequence[str]) -> list[str]:
        """Return many lines without what names a person.

        RE2 says of each line which shapes it may hold; only those few are looked at by `re`.
        """
        if not lines:
            return []
        triggers = [shape.trigger for shape in self._shapes]
        flags = ", ".join(f"regexp_matches(line, ${n + 1})" for n in range(len(triggers)))
        with memory_duckdb() as connection:
            connection.register("log", _table(range(len(lines)), lines))
            found: dict[str, Any] = connection.execute(
                _FIRST_PASS, {"any": "|".join(triggers), "ip": _SIMPLE_IPV4}
            ).fetchnumpy()
            scrubbed: list[str] = found["line"].tolist()
            doubtful = found["doubtful"].nonzero()[0].tolist()
            connection.register("doubts", _table(doubtful, [lines[number] for number in doubtful]))
            fired = connection.execute(f"SELECT n, {flags} FROM doubts", triggers).fetchall()  # noqa: S608 - `$1` and on
        for number, *wanted in fired:
            scrubbed[number] = self._masked(lines[number], wanted)
        return scrubbed

    def _masked(self, line: str, fired: Sequence[bool]) -> str:
        last, changed = len(self._shapes) - 1, False
        for number, (shape, wanted) in enumerate(zip(self._shapes, fired, strict=True)):
            # Addresses are everywhere and need no trigger; what was masked may have stood in the way of another.
            if wanted or changed or number == last:
                masked = shape.mask(line)
                line, changed = masked, changed or masked != line
        return line


class ScrubFilter(logging.Filter):
    """Scrubs log records before a handler writes them, with their arguments and the text of their exception.

    Args:
        columns: Columns that name a person.
    """

    def __init__(self, columns: Iterable[str] = ()) -> None:
        super().__init__()
        self._scrubber = Scrubber(columns)

    def filter(self, record: logging.LogRecord) -> bool:
        """Scrub a record in place and let it pass."""
        record.msg, record.args = self._scrubber.scrub(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text, record.exc_info = self._scrubber.scrub(record.exc_text), None
        return True


def scrub_logs(*names: str) -> None:
    """Let every handler of these loggers and of the root scrub what it writes, and the one that stands in for none.

    A handler that is added later is not reached: call again.
    """
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in names)]
    handlers = [handler for logger in loggers for handler in logger.handlers]
    for handler in (*handlers, *([logging.lastResort] if logging.lastResort else [])):
        if not any(isinstance(each, ScrubFilter) for each in handler.filters):
            handler.addFilter(ScrubFilter())


def scrub_tracebacks() -> None:
    """Let this process write the traceback of an error that nobody expected without what names a person."""
    sys.excepthook = _write_traceback


def _write_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(scrub("".join(traceback.format_exception(kind, error, trace))))


def _field(names: str) -> Shape:
    """Return what masks the values of `column=value` and `"column": "value"`."""
    start = rf"\b(?:{names})=|[\"'](?:{names})[\"']: ?"
    pattern = re.compile(rf"({start})(?:\"[^\"]*\"|'[^']*'|[^\s\"',;&)}}\]]+)")
    return Shape(start, lambda text: pattern.sub(lambda match: f"{match[1]}[hidden]", text))


def _table(numbers: Sequence[int], lines: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    return pa.table({"n": pa.array(numbers, pa.int64()), "line": pa.array(lines, pa.large_string())})
