"""What a serving process says of itself: one line an event on standard error, as text or as JSON.

    {"at": "2026-03-01T00:00:00.123Z", "level": "info", "logger": "...", "message": "Another deployment answers", "version": "churn:3"}

With `log_requests` there is one more line a request: its id, model, versions, arms, status and milliseconds. No line holds a
value of a feature or an entity, and what names a person is masked wherever it turns up (an id that a caller made up, say).
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from keelway.privacy import Scrubber, ScrubFilter
from keelway.serve import Answer
from keelway.surfaces.scoring.exchange import HttpCall

LogForm = Literal["text", "json"]
FIELDS = "keelway_fields"
"""The attribute of a log record that holds what belongs to its event, by name: texts and numbers."""

_log = logging.getLogger(__name__)


class EventLines(logging.Formatter):
    """Writes a log record and the fields of its event as one line.

    Args:
        form: As JSON, or as text with `name=value` behind the message.
    """

    def __init__(self, form: LogForm) -> None:
        super().__init__()
        self._form = form
        self._scrubber = Scrubber()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; an exception's traceback stands in it, in JSON as `error`."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {name: self._shown(value) for name, value in getattr(record, FIELDS, {}).items()}
        error = record.exc_text or (self.formatException(record.exc_info) if record.exc_info else "")
        if self._form == "json":
            told = {"at": at, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
            return json.dumps(told | fields | ({"error": self._shown(error)} if error else {}))
        behind = "".join(f" {name}={json.dumps(value)}" for name, value in fields.items())
        return f"{at} {record.levelname.lower()} {record.getMessage()}{behind}" + (f"\n{error}" if error else "")

    def _shown(self, value: Any) -> Any:
        return self._scrubber.scrub(value) if isinstance(value, str) else value


def fields(**named: str | float) -> dict[str, dict[str, str | float]]:
    """Return what a log call takes as `extra`, so that its line has these fields."""
    return {FIELDS: named}


def configure_logs(form: LogForm, *, requests: bool, stream: TextIO | None = None) -> None:
    """Let this process write its lines in a form, scrubbed.

    Args:
        requests: Whether each request has a line.
        stream: Where to; None is standard error.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(EventLines(form))
    handler.addFilter(ScrubFilter())
    root = logging.getLogger()
    for before in list(root.handlers):
        if isinstance(before.formatter, EventLines):
            root.removeHandler(before)
    root.addHandler(handler)
    logging.getLogger("keelway").setLevel(logging.INFO)
    _log.setLevel(logging.DEBUG if requests else logging.INFO)


def tells_requests() -> bool:
    """Say whether each request has a line."""
    return _log.isEnabledFor(logging.DEBUG)


def tell_request(call: HttpCall, model: str, *, status: int, took_s: float) -> None:
    """Write the line of a request for predictions.

    Args:
        took_s: Seconds from its first byte to its reply.
    """
    told: dict[str, str | float] = {"request_id": call.request_id.decode("latin-1"), "method": call.method}
    told |= {"model": model, "status": status, "duration_ms": round(took_s * 1000, 3), **answered_by(call.answers)}
    if call.span is not None:
        told["trace_id"] = call.span.trace_id
    _log.debug("Request answered", extra=fields(**told))


def answered_by(answers: Sequence[Answer]) -> dict[str, str | float]:
    """Return who answered a request: its rows, and the versions and arms in the order in which they first did."""
    if not answers:
        return {}
    versions = dict.fromkeys(each.version.version for each in answers)
    arms = dict.fromkeys(each.version.arm for each in answers)
    return {"rows": len(answers), "version": ",".join(versions), "arm": ",".join(arms)}


class Seldom:
    """Lets the first event of a time through, and counts those that it holds back.

    Args:
        every_s: Seconds between two that are let through.
    """

    def __init__(self, every_s: float = 10.0) -> None:
        self._every_s = every_s
        self._next = float("-inf")
        self._held_back = 0

    def passes(self, now: float) -> int:
        """Return how many events the line of this one stands for; 0 where it is held back."""
        self._held_back += 1
        if now < self._next:
            return 0
        count, self._held_back, self._next = self._held_back, 0, now + self._every_s
        return count
