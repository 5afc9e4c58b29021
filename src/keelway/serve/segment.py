"""Seals journals of predictions into the ledger, each exactly once.

A segment is a file with the RFC 9162 root over the canonical lines of its predictions, so that one prediction can be proven
without showing the others: of a journal packed lines (`segment_lines`), of a batch columns (`segment_file`). A journal becomes
one segment, under the journal's own id: sealing it again does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, ArtifactKind, ArtifactStore, Decision, PrincipalId
from keelway.ledger import StateStore, record_decision, root_of
from keelway.serve.log_columns import LogColumns
from keelway.serve.ports import Journal, Journals
from keelway.serve.segment_file import segment_bytes
from keelway.serve.segment_lines import LINES_FORM, Pack, SegmentContents, packed_here, packed_lines
from keelway.serve.segment_records import INSTANT, PredictionSegment, compacted_until, place_of, segment_key

if TYPE_CHECKING:
    from collections.abc import Sequence

FORM = "columns/v1"
SUFFIXES = {FORM: "parquet", LINES_FORM: "jsonl.gz"}
FEW_LINES = 64
"""A batch of up to so many predictions is packed as lines."""


@dataclass(frozen=True, slots=True)
class SealingPorts:
    """What segments are sealed with: where they go, in whose name, and what packs the lines of journals."""

    state: StateStore
    artifacts: ArtifactStore
    principal: PrincipalId
    pack: Pack = packed_here


def seal(
    journal: Journal, *, model: str, environment: str, ports: SealingPorts, now: datetime
) -> PredictionSegment | None:
    """Seal a journal that nobody writes to any more, and delete it; None where it held no whole line.

    Raises:
        IntegrityError: A line is no prediction; the journal is kept.
    """
    written = journal.read()
    whole = written[: written.rfind(b"\n") + 1]
    segment = None
    if whole:
        with ports.state.snapshot() as tx:
            segment = tx.find(PredictionSegment, segment_key(model, environment, journal.journal_id))
        if segment is None:
            segment = seal_entries(
                whole,
                journal=journal.journal_id,
                model=model,
                environment=environment,
                ports=ports,
                now=now,
                torn=len(written) > len(whole),
            )
    journal.remove()
    return segment


def seal_journals(journals: Journals, *, ports: SealingPorts, now: datetime) -> list[PredictionSegment]:
    """Seal what dead processes left behind, and what this one let go of; as many at once as the journals hold."""
    sealed: list[PredictionSegment | None] = []
    while True:
        with journals.leftovers() as held:
            sealed += [
                seal(journal, model=model, environment=environment, ports=ports, now=now)
                for model, environment, journal in held
            ]
        if not held:
            return [segment for segment in sealed if segment is not None]


def seal_entries(
    entries: bytes,
    *,
    journal: str,
    model: str,
    environment: str,
    ports: SealingPorts,
    now: datetime,
    torn: bool = False,
) -> PredictionSegment:
    """Store what a journal kept, as canonical lines, and its segment; one that is there under its id already is returned.

    Args:
        entries: Each with its line feed, at least one.
        torn: Whether an unfinished line stood behind them.

    Raises:
        IntegrityError: A line is no prediction.
    """
    contents, place = ports.pack(entries), (environment, model, journal)
    made = stored_segment(contents, place=place, artifacts=ports.artifacts, sealed_at=now, torn_lines=int(torn))
    return _recorded(made, ports)


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

    A few are packed as lines, which takes less room than thirty columns with a value each.

    Args:
        lines: The canonical lines of the columns, without line feeds.
    """
    few = len(lines) <= FEW_LINES
    contents = packed_lines(line + b"\n" for line in lines) if few else column_contents(columns, lines)
    made = stored_segment(contents, place=(environment, model, journal), artifacts=ports.artifacts, sealed_at=now)
    return _recorded(made, ports)


def column_contents(columns: LogColumns, lines: Sequence[bytes]) -> SegmentContents:
    """Return what is stored of columns, at least one row, and of their canonical lines, without line feeds."""
    import pyarrow.compute as pc

    ids, events = (pc.min_max(columns.table[name]).as_py() for name in ("prediction_id", "event_time"))
    told = (ids["min"], ids["max"]), (events["min"], events["max"])
    return SegmentContents(segment_bytes(columns), FORM, *told, root_of(lines), len(lines))


def stored_segment(
    contents: SegmentContents,
    *,
    place: tuple[str, str, str],
    artifacts: ArtifactStore,
    sealed_at: datetime,
    torn_lines: int = 0,
) -> PredictionSegment:
    """Store a segment's file and return its record; `place` is its environment, model and journal."""
    environment, model, journal = place
    name = f"{journal}.{SUFFIXES[contents.form]}"
    stored = artifacts.put(contents.data, kind=ArtifactKind.PREDICTIONS, name=name)
    return PredictionSegment(
        model=model,
        environment=environment,
        data=stored.digest,
        root=contents.root.hex(),
        count=contents.count,
        first_id=contents.ids[0],
        last_id=contents.ids[1],
        sealed_at=sealed_at,
        journal=journal,
        torn_lines=torn_lines,
        form=contents.form,
        first_event=contents.events[0],
        last_event=contents.events[1],
    )


def _recorded(segment: PredictionSegment, ports: SealingPorts) -> PredictionSegment:
    """Record a stored segment, unless one is there under its id already; return the one that is recorded."""
    key = segment_key(segment.model, segment.environment, segment.journal)
    with ports.state.transaction() as tx:
        there = tx.find(PredictionSegment, key)
        if there is not None:
            return there
        until = compacted_until(segment.model, segment.environment, tx)
        if until is not None and segment.sealed_at <= until:  # by a clock that is behind
            segment = replace(segment, sealed_at=until + INSTANT)
        now = segment.sealed_at
        digest = tx.insert(key, segment, parent=place_of(segment.model, segment.environment), at=now)
        decision = Decision(
            Action.LOG_PREDICTIONS,
            subject=segment.model,
            allowed=True,
            principal=ports.principal,
            at=now,
            evidence={"segment": digest, "data": segment.data},
            environment=segment.environment,
        )
        record_decision(decision, tx=tx)
    return segment
