"""Sends spans to a collector, and says so where it does not take them: seldom, with how many were dropped and why.

OpenTelemetry's exporter writes a line or two for every batch that fails. They are kept back; the first of them is the reason
in a line of ours every ten seconds at most. It names the collector's answer, and no header that was sent.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from keelway.surfaces.scoring.logs import Seldom, fields

_log = logging.getLogger(__name__)
_theirs = logging.getLogger(OTLPSpanExporter.__module__)


class SpanSender(SpanExporter):
    """Sends batches of spans by OTLP over HTTP; one that is not taken in time is dropped.

    Args:
        endpoint: The whole URL of the collector.
        headers: Sent with every batch.
        timeout_s: So long a collector may take for a batch, trials included.
    """

    def __init__(self, endpoint: str, *, headers: Mapping[str, str], timeout_s: float) -> None:
        self._endpoint = endpoint
        self._exporter = OTLPSpanExporter(endpoint=endpoint, headers=dict(headers), timeout=timeout_s)
        self._seldom = Seldom()
        self._untold = 0
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send some spans, and tell where they are not taken, and where they are again."""
        with _overheard() as lines:
            result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._fails:
                self._tell(logging.INFO, "Spans are taken again")
            self._fails = False
            return result
        self._fails = True
        self._untold += len(spans)
        if self._seldom.passes(time.monotonic()):
            self._tell(
                logging.WARNING, "Spans are dropped: the collector does not take them", why=next(iter(lines), "")
            )
        return result

    def shutdown(self) -> None:
        """Send nothing any more, and tell of what was not told yet."""
        if self._untold:
            self._tell(logging.WARNING, "Spans were dropped: the collector did not take them")
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # it has half its types

    def _tell(self, level: int, what: str, **more: str) -> None:
        _log.log(level, what, extra=fields(collector=self._endpoint, dropped=self._untold, **more))
        self._untold = 0


@contextlib.contextmanager
def _overheard() -> Iterator[list[str]]:
    """Keep back what the exporter logs, and return it."""
    lines: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        lines.append(record.getMessage())
        return False

    _theirs.addFilter(keep)
    try:
        yield lines
    finally:
        _theirs.removeFilter(keep)
