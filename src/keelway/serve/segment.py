"""Seals journals of predictions into the ledger, each exactly once.

A segment is a file with the RFC 9162 root over the canonical lines of its predictions, so that one prediction can be proven
without showing the others: of a journal packed lines (`segment_lines`), of a batch columns (`segment_file`). A journal becomes
one segment, under the journal's own id: sealing it again does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, ArtifactKind, ArtifactStore, Clock, Decision, Digest, PrincipalId, sortable_id
from keelway.ledger import StateStore, Transaction, record_decision, root_of
from keelway.serve.log_columns import LogColumns
from keelway.serve.log_lines import lines_of_columns, split_lines
from keelway.serve.ports import BatchLog, Journal, Journals
from keelway.serve.segment_file import segment_bytes
from keelway.serve.segment_lines import LINES_FORM, SegmentContents, line_contents

if TYPE_CHECKING:
    from collections.abc import Sequence

FORM = "columns/v1"
SUFFIXES = {FORM: "parquet", LINES_FORM: "jsonl.gz"}
# Hashing holds the interpreter, beside a server that answers in microseconds: it lets go of it every 128 lines.
_YIELD_S = 0.0005


@dataclass(frozen=True, slots=True)
class PredictionSegment:
    """Predictions that were sealed together.

    Attributes:
        data: Artifact that holds them.
        root: RFC 9162 root over their canonical lines (without line feeds), in hexadecimal.
        first_id: Smallest prediction id.
        last_id: Largest prediction id.
        journal: Id of the journal they were written to first; of a batch, its own.
        torn_lines: Lines at the end that a dying process left unfinished; never acknowledged, dropped.
        form: How the artifact is to be read; empty for segments of JSON lines, which are not read any more.
        first_event: When the earliest answer was given; None only where the form is empty.
        last_event: When the latest was.
    """

    model: str
    environment: str
    data: Digest
    root: str
    count: int
    first_id: str
    last_id: str
    sealed_at: datetime
    journal: str
    torn_lines: int = 0
    form: str = ""
    first_event: datetime | None = None
    last_event: datetime | None = None


@dataclass(frozen=True, slots=True)
class SealingPorts:
    """What segments are sealed with: where they go, and in whose name."""

    state: StateStore
    artifacts: ArtifactStore
    principal: PrincipalId


def seal(
    journal: Journal,
    *,
    model: str,
    environment: str,
    state: StateStore,
    artifacts: ArtifactStore,
    principal: PrincipalId,
    now: datetime,
) -> PredictionSegment | None:
    """Seal a journal that nobody writes to any more, and delete it; None where it held no whole line.

    Raises:
        IntegrityError: A line is no prediction; the journal is kept.
    """
    written = journal.read()
    whole = written[: written.rfind(b"\n") + 1]
    segment = None
    if whole:
        key = f"{environment}/{model}/{journal.journal_id}"
        with state.snapshot() as tx:
            segment = tx.find(PredictionSegment, key)
        if segment is None:
            segment = seal_lines(
                whole.split(b"\n")[:-1],
                journal=journal.journal_id,
                model=model,
                environment=environment,
                ports=SealingPorts(state, artifacts, principal),
                now=now,
                torn=len(written) > len(whole),
                between=_let_others_run,
            )
    journal.remove()
    return segment


def seal_journals(
    journals: Journals, *, state: StateStore, artifacts: ArtifactStore, principal: PrincipalId, now: datetime
) -> list[PredictionSegment]:
    """Seal what dead processes left behind, and what this one let go of; as many at once as the journals hold."""
    sealed: list[PredictionSegment | None] = []
    while True:
        with journals.leftovers() as held:
            sealed += [
                seal(
                    journal,
                    model=model,
                    environment=environment,
                    state=state,
                    artifacts=artifacts,
                    principal=principal,
                    now=now,
                )
                for model, environment, journal in held
            ]
        if not held:
            return [segment for segment in sealed if segment is not None]


def seal_lines(
    lines: Sequence[bytes],
    *,
    journal: str,
    model: str,
    environment: str,
    ports: SealingPorts,
    now: datetime,
    torn: bool = False,
    between: Callable[[], None] = lambda: None,
) -> PredictionSegment:
    """Store canonical lines and their segment; one that is there under its id already is returned.

    Args:
        lines: Without line feeds.
        torn: Whether an unfinished line stood behind them.
        between: Called every 128 lines, for who must not hold the interpreter for long.

    Raises:
        IntegrityError: A line is no prediction.
    """
    contents = line_contents(lines, between=between)
    root = root_of(lines, between=between)
    place = (environment, model, journal)
    return _stored(contents, root, len(lines), place=place, ports=ports, now=now, torn_lines=int(torn))


def seal_columns(
    columns: LogColumns,
    lines: Sequence[bytes],
    *,
    journal: str,
    model: str,
    environment: str,
    ports: SealingPorts,
    now: datetime,
) -> PredictionSegment:
    """Store the columns of predictions and their segment; one that is there under its id already is returned.

    Args:
        lines: The canonical lines of the columns, without line feeds.
    """
    import pyarrow.compute as pc

    ids, events = (pc.min_max(columns.table[name]).as_py() for name in ("prediction_id", "event_time"))
    told = (ids["min"], ids["max"]), (events["min"], events["max"])
    contents = SegmentContents(segment_bytes(columns), FORM, *told)
    place = (environment, model, journal)
    return _stored(contents, root_of(lines), len(lines), place=place, ports=ports, now=now)


def _stored(
    contents: SegmentContents,
    root: bytes,
    count: int,
    *,
    place: tuple[str, str, str],
    ports: SealingPorts,
    now: datetime,
    torn_lines: int = 0,
) -> PredictionSegment:
    """Store a segment's file and record it; `place` is its environment, model and journal."""
    environment, model, journal = place
    name = f"{journal}.{SUFFIXES[contents.form]}"
    stored = ports.artifacts.put(contents.data, kind=ArtifactKind.PREDICTIONS, name=name)
    made = PredictionSegment(
        model=model,
        environment=environment,
        data=stored.digest,
        root=root.hex(),
        count=count,
        first_id=contents.ids[0],
        last_id=contents.ids[1],
        sealed_at=now,
        journal=journal,
        torn_lines=torn_lines,
        form=contents.form,
        first_event=contents.events[0],
        last_event=contents.events[1],
    )
    with ports.state.transaction() as tx:
        return _record(made, "/".join(place), ports.principal, tx)


class SegmentLog:
    """Seals the predictions of a batch, which needs no journal: what is not sealed yet was not promised to anybody."""

    def __init__(self, model: str, environment: str, *, ports: SealingPorts, clock: Clock) -> None:
        self._model, self._environment = model, environment
        self._ports, self._clock = ports, clock

    def keep(self, columns: LogColumns) -> None:
        """Seal predictions as one segment."""
        seal_columns(
            columns,
            split_lines(lines_of_columns(columns.table, columns.names)),
            journal=sortable_id(),
            model=self._model,
            environment=self._environment,
            ports=self._ports,
            now=self._clock.now(),
        )


def _let_others_run() -> None:
    time.sleep(_YIELD_S)


def _record(segment: PredictionSegment, key: str, principal: PrincipalId, tx: Transaction) -> PredictionSegment:
    there = tx.find(PredictionSegment, key)
    if there is not None:
        return there
    now = segment.sealed_at
    digest = tx.insert(key, segment, parent=f"{segment.environment}/{segment.model}", at=now)
    decision = Decision(
        Action.LOG_PREDICTIONS,
        subject=segment.model,
        allowed=True,
        principal=principal,
        at=now,
        evidence={"segment": digest, "data": segment.data},
        environment=segment.environment,
    )
    record_decision(decision, tx=tx)
    return segment


if TYPE_CHECKING:

    def _batch_log(ports: SealingPorts, clock: Clock) -> BatchLog:
        return SegmentLog("", "", ports=ports, clock=clock)
