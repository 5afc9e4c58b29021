"""Where a batch is logged: a segment for each place of it, sealed at once and never twice.

The name of a batch follows from what is scored: the bytes of the rows, the deployment that answers, the moment. So a run that goes
on after another was killed finds what that one sealed.

    log = SegmentLog("churn", "prod", batch=batch_name(table.data, deployment, as_of=as_of), ports=ports, clock=clock)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Clock, Digest, digest_of, time_text
from keelway.serve.log_columns import VALUE, LogColumns, table_of_lines
from keelway.serve.log_lines import lines_of_columns, split_lines
from keelway.serve.ports import AnswersKept, BatchLog
from keelway.serve.sealed import columns_in, lines_of
from keelway.serve.segment import FORM, SealingPorts, seal_columns
from keelway.serve.segment_records import PredictionSegment, segment_key

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from keelway.deploy import Deployment

_VERSION = "version"
_NAME_DIGITS = 32


def batch_name(rows: Digest, deployment: Deployment, *, as_of: datetime) -> str:
    """Return the name of a batch: the same for the same rows, scored by the same deployment as of the same moment."""
    told = digest_of([rows, digest_of(deployment), time_text(as_of)])
    return f"batch-{told.rpartition(':')[2][:_NAME_DIGITS]}"


class SegmentLog:
    """Seals the predictions of a batch, which needs no journal: what is not sealed yet was not promised to anybody.

    Args:
        batch: Its name. Another run of the same batch has the same, and seals nothing again.
    """

    def __init__(self, model: str, environment: str, *, batch: str, ports: SealingPorts, clock: Clock) -> None:
        self._model, self._environment, self._batch = model, environment, batch
        self._ports, self._clock = ports, clock

    def kept(self, place: str) -> AnswersKept | None:
        """Return what was sealed at a place."""
        wanted = (_VERSION, VALUE)
        with self._ports.state.snapshot() as tx:
            segment = tx.find(PredictionSegment, segment_key(self._model, self._environment, self._journal(place)))
            if segment is None:
                return None
            if segment.form == FORM:
                table = columns_in(segment, wanted, artifacts=self._ports.artifacts)
            else:  # so few that a compaction may have moved them
                lines = lines_of(segment, tx=tx, artifacts=self._ports.artifacts)
                table = table_of_lines(b"".join(line + b"\n" for line in lines), wanted)
        return AnswersKept(table[_VERSION][0].as_py(), _numbers(table[VALUE]))

    def keep(self, columns: LogColumns, *, place: str) -> None:
        """Seal predictions as one segment."""
        seal_columns(
            columns,
            split_lines(lines_of_columns(columns.table, columns.names)),
            journal=self._journal(place),
            model=self._model,
            environment=self._environment,
            ports=self._ports,
            now=self._clock.now(),
        )

    def _journal(self, place: str) -> str:
        return f"{self._batch}-{place}"


def _numbers(values: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return answers as they were given: a number each, or a list of as many numbers each."""
    import numpy as np

    listed: Sequence[float | Sequence[float]] = values.to_pylist()
    return np.asarray(listed, dtype=np.float64)


if TYPE_CHECKING:

    def _batch_log(ports: SealingPorts, clock: Clock) -> BatchLog:
        return SegmentLog("", "", batch="", ports=ports, clock=clock)
