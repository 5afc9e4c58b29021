"""Moves the predictions of many small segments into columnar files, an hour at a time.

An hour is read segment by segment, checked against what was sealed, and written to files of at most 25,000 predictions;
each of them is read back before it counts. One transaction then records the files, moves the pointer of the log and writes
the decision, so a reader sees every prediction once, before and after. Killed before that, files lie there that nothing
names; the next compaction makes the same ones again. Two at once do no harm: whoever comes second to the transaction finds
the pointer moved, and goes on with what is left.

    done = compact_segments("churn", "prod", before=hour, ports=ports, now=now)

So that the servers of a log need not all do the same work, those who do it `every` so often take turns in the state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keelway.core import Action, Decision, Digest, PointerMove, PrincipalId, digest_of, sortable_id
from keelway.errors import ConflictError, ErasedError, IntegrityError
from keelway.ledger import Transaction, record_decision, root_of
from keelway.serve.log_columns import LogColumns, columns_at_once, columns_of
from keelway.serve.sealed import opened
from keelway.serve.segment import FEW_LINES, FORM, SealingPorts, column_contents, stored_segment
from keelway.serve.segment_file import JOURNAL, SegmentFile
from keelway.serve.segment_records import (
    INSTANT,
    PredictionSegment,
    SegmentCompaction,
    compacted_place,
    log_pointer,
    place_of,
    segment_key,
    waiting_segments,
)

FILE_ROWS = 25_000
"""A file holds at most so many predictions, but for a single segment that has more: whoever reads one checks all its bytes."""
FILE_BYTES = 64_000_000
"""And at most so many bytes of lines."""
_HOUR = timedelta(hours=1)
_TRIES = 5  # at an hour in which something is sealed meanwhile
_EARLY = 0.1  # of the time between turns: who comes every hour comes a little early now and then


@dataclass(frozen=True, slots=True)
class LogCompaction:
    """What a compaction did.

    Attributes:
        hours: How many hours were compacted.
        segments: How many segments were replaced.
        kept: How many stayed as they are, because they are columns, few lines alone, or gone.
        files: How many files took the place of those.
        predictions: How many predictions were moved.
        until: When the last segment that was looked at was sealed; None where there was nothing to do.
        is_left: Whether nothing was done because somebody else has the turn.
    """

    model: str
    environment: str
    hours: int
    segments: int
    kept: int
    files: int
    predictions: int
    until: datetime | None
    is_left: bool = False


@dataclass(frozen=True, slots=True)
class CompactionTurn:
    """That somebody set out to compact a log; others who do so every so often leave it to them."""

    model: str
    environment: str
    principal: PrincipalId
    at: datetime


@dataclass(frozen=True, slots=True)
class _Sheaf:
    """Segments that go into one file, with their lines."""

    sources: list[PredictionSegment]
    lines: list[list[bytes]]

    @property
    def every_line(self) -> list[bytes]:
        """The lines of all of them."""
        return [line for lines in self.lines for line in lines]

    def stored(self, columns: LogColumns, ports: SealingPorts) -> PredictionSegment:
        """Store the file and return its record.

        Raises:
            IntegrityError: Its lines do not come back; nothing is replaced.
        """
        import pyarrow as pa

        counted = zip(self.sources, self.lines, strict=True)
        journals = [pa.repeat(pa.scalar(source.journal, pa.string()), len(lines)) for source, lines in counted]
        table = columns.table.append_column(JOURNAL, pa.chunked_array(journals))
        contents = column_contents(LogColumns(table, columns.names), self.every_line)
        if SegmentFile(contents.data).lines() != self.every_line:
            raise IntegrityError("Segments cannot be compacted", expected="every line as it was sealed", found="others")
        first, last = self.sources[0], self.sources[-1]
        place = first.environment, first.model, f"{first.journal}-{len(self.sources)}"
        return stored_segment(contents, place=place, artifacts=ports.artifacts, sealed_at=last.sealed_at)


def compact_segments(
    model: str,
    environment: str,
    *,
    before: datetime,
    ports: SealingPorts,
    now: datetime,
    every: timedelta | None = None,
) -> LogCompaction:
    """Move what was sealed before a moment into columnar files; what was moved already stays as it is.

    Args:
        before: Best the beginning of an hour: files never reach beyond one, and the rest of an hour gets files of its own.
        every: Leave it to whoever set out to do so less than this ago, on whatever machine; None does it in any case.

    Raises:
        ConflictError: Others change the log all the time; hours before were compacted.
        IntegrityError: A segment is not what was sealed, or cannot be read; hours before were compacted.
    """
    if every is not None and not _is_mine(model, environment, before, every, ports, now):
        return LogCompaction(model, environment, 0, 0, 0, 0, 0, until=None, is_left=True)
    done: list[SegmentCompaction] = []
    tries, stood = 0, None
    while hour := _next_hour(model, environment, before, ports):
        tries = tries + 1 if hour.pointer == stood else 1  # where it moved, an hour was compacted: here, or by another
        stood = hour.pointer
        if tries > _TRIES:
            raise ConflictError(
                "The log changes while it is compacted",
                expected=f"{model} in {environment} unchanged up to {hour.sources[-1].sealed_at}",
                found=f"a change during each of {_TRIES} tries",
                fix="Compact what is older: --before.",
            )
        made = _compact_hour(hour, ports=ports, now=now)
        done += [made] if made else []
    return LogCompaction(
        model=model,
        environment=environment,
        hours=len(done),
        segments=sum(each.replaced for each in done),
        kept=sum(each.kept for each in done),
        files=sum(len(each.files) for each in done),
        predictions=sum(each.predictions for each in done),
        until=done[-1].until if done else None,
    )


def _is_mine(
    model: str, environment: str, before: datetime, every: timedelta, ports: SealingPorts, now: datetime
) -> bool:
    """Take the turn to compact a log, and say whether it was free; where nothing waits, no turn is taken.

    Turns save work and guard nothing, because compactions at once do no harm. Whoever takes one and dies has had it: what they
    left waits for the next. A turn that a clock put further ahead than the next one counts for nothing.
    """
    place = place_of(model, environment)
    with ports.state.snapshot() as tx:
        if not waiting_segments(model, environment, tx, until=before - INSTANT, limit=1):
            return True
    with ports.state.transaction() as tx:
        if tx.between(CompactionTurn, parent=place, since=now - every * (1 - _EARLY), until=now + every, limit=1):
            return False
        turn = CompactionTurn(model, environment, ports.principal, now)
        tx.insert(f"{place}/{sortable_id()}", turn, parent=place, at=now)
    return True


@dataclass(frozen=True, slots=True)
class _Hour:
    """The segments of an hour, oldest first, and where the log's pointer stood beside them."""

    sources: list[PredictionSegment]
    pointer: Digest | None


def _next_hour(model: str, environment: str, before: datetime, ports: SealingPorts) -> _Hour | None:
    """Return the first hour that is not compacted yet; None where there is none."""
    with ports.state.snapshot() as tx:
        first = waiting_segments(model, environment, tx, until=before - INSTANT, limit=1)
        if not first:
            return None
        end = first[0].sealed_at.replace(minute=0, second=0, microsecond=0) + _HOUR
        pointer = tx.pointer(log_pointer(model, environment))
        sources = waiting_segments(model, environment, tx, until=min(end, before) - INSTANT)
        return _Hour(sources, pointer.target if pointer else None)


def _compact_hour(hour: _Hour, *, ports: SealingPorts, now: datetime) -> SegmentCompaction | None:
    """Compact one hour; None where somebody else did, or something was sealed in it meanwhile."""
    sources, files = hour.sources, list[PredictionSegment]()
    moved: list[PredictionSegment] = []
    for sheaf in _sheaves([each for each in sources if _is_moved(each, sources)], ports):
        for part, columns in _by_kind(sheaf):
            files.append(part.stored(columns, ports))
            moved += part.sources
    with ports.state.transaction() as tx:
        first, last = sources[0], sources[-1]
        if waiting_segments(first.model, first.environment, tx, until=last.sealed_at) != list(sources):
            return None
        return _record(files, moved, sources, before=hour.pointer, ports=ports, now=now, tx=tx)


def _is_moved(segment: PredictionSegment, sources: Sequence[PredictionSegment]) -> bool:
    return segment.form != FORM and (len(sources) > 1 or segment.count > FEW_LINES)


def _sheaves(sources: Sequence[PredictionSegment], ports: SealingPorts) -> Iterator[_Sheaf]:
    """Read segments, and yield as many as a file may hold; those whose retention time is over are left out.

    Raises:
        IntegrityError: A segment is not what was sealed.
    """
    sheaf, rows, size_bytes = _Sheaf([], []), 0, 0
    for source in sources:
        try:
            lines = opened(source, ports.artifacts).lines()
        except ErasedError:
            continue
        found = root_of(lines).hex()
        if found != source.root:
            raise IntegrityError(
                f"A segment of {source.model} is not what was sealed", expected=source.root, found=found
            )
        more = sum(map(len, lines))
        if sheaf.sources and (rows + len(lines) > FILE_ROWS or size_bytes + more > FILE_BYTES):
            yield sheaf
            sheaf, rows, size_bytes = _Sheaf([], []), 0, 0
        sheaf.sources.append(source)
        sheaf.lines.append(lines)
        rows, size_bytes = rows + len(lines), size_bytes + more
    if sheaf.sources:
        yield sheaf


def _by_kind(sheaf: _Sheaf) -> Iterator[tuple[_Sheaf, LogColumns]]:
    """Yield segments with their columns, apart where a feature has another kind than in those before."""
    columns = columns_at_once(_text(sheaf.every_line))
    if columns is not None:
        yield sheaf, columns
        return
    part, whole = _Sheaf([], []), None
    for source, lines in zip(sheaf.sources, sheaf.lines, strict=True):
        mine = columns_of(_text(lines))
        joined = mine if whole is None else _joined(whole, mine)
        if joined is None and whole is not None:
            yield part, whole
            part, joined = _Sheaf([], []), mine
        part.sources.append(source)
        part.lines.append(lines)
        whole = joined
    if whole is not None:
        yield part, whole


def _joined(one: LogColumns, other: LogColumns) -> LogColumns | None:
    """Return the rows of both, or None where a column has another kind, or a version other features."""
    import pyarrow as pa

    kinds = {each.name: each.type for each in one.table.schema if each.type != pa.null()}
    fits = all(kinds.get(each.name, each.type) == each.type for each in other.table.schema if each.type != pa.null())
    if not fits or any(one.names.get(each, names) != names for each, names in other.names.items()):
        return None
    table = pa.concat_tables([one.table, other.table], promote_options="permissive")
    return LogColumns(table, {**one.names, **other.names})


def _text(lines: Sequence[bytes]) -> bytes:
    return b"\n".join([*lines, b""])


def _record(
    files: Sequence[PredictionSegment],
    moved: Sequence[PredictionSegment],
    sources: Sequence[PredictionSegment],
    *,
    before: Digest | None,
    ports: SealingPorts,
    now: datetime,
    tx: Transaction,
) -> SegmentCompaction:
    """Record the files of an hour and what they replace, move the log's pointer, and write the decision."""
    model, environment, until = sources[0].model, sources[0].environment, sources[-1].sealed_at
    parent = compacted_place(model, environment)
    for each in files:
        tx.insert(segment_key(model, environment, each.journal), each, parent=parent, at=each.sealed_at)
    replaced = {each.journal for each in moved}
    kept = [each for each in sources if each.journal not in replaced]
    for each in kept:  # once more, where it is looked for from now on
        tx.insert(f"{segment_key(model, environment, each.journal)}/kept", each, parent=parent, at=each.sealed_at)
    made = SegmentCompaction(
        model=model,
        environment=environment,
        files=tuple(digest_of(each) for each in files),
        replaced=len(moved),
        replaced_root=root_of([digest_of(each).encode() for each in moved]).hex(),
        kept=len(kept),
        predictions=sum(each.count for each in moved),
        until=until,
        compacted_at=now,
    )
    digest = tx.insert(f"{parent}/{until.isoformat()}", made, parent=place_of(model, environment), at=now)
    move = PointerMove(log_pointer(model, environment), before, digest)
    tx.move(move.name, before=before, after=digest, at=now)
    record_decision(_decision(made, files, move, principal=ports.principal), tx=tx)
    return made


def _decision(
    made: SegmentCompaction, files: Sequence[PredictionSegment], move: PointerMove, *, principal: PrincipalId
) -> Decision:
    """Return what the ledger tells of a compaction: the digests of its record, and of each file and its bytes."""
    evidence = {"compaction": move.after}
    for number, each in enumerate(files, start=1):
        evidence |= {f"segment_{number}": digest_of(each), f"data_{number}": each.data}
    return Decision(
        Action.COMPACT,
        subject=made.model,
        allowed=True,
        principal=principal,
        at=made.compacted_at,
        evidence=evidence,
        environment=made.environment,
        moves=(move,),
        comment=f"{made.replaced} segments in {len(files)} files",
    )
