"""The records of sealed segments, and which of them hold predictions now.

A segment never changes, nor does its record: it stays what a prediction is proven by. Compaction moves predictions into
files of an hour. Up to a moment, which the pointer of the log tells, what was sealed is read from those files; what was
sealed after it, from the segments themselves. One transaction moves the pointer and records the files, so a reader sees
each prediction once.

    for segment in live_segments("churn", "prod", tx):
        ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain

from keelway.core import Digest
from keelway.ledger import Transaction

POINTERS = "log/"
INSTANT = timedelta(microseconds=1)
"""The next moment that can be told from one."""
_DEPLOYMENTS = "deployment/"  # what pointers to deployments begin with, before environment and model
_SOON = (
    (timedelta(seconds=1), timedelta(seconds=10)),
    (timedelta(minutes=1), timedelta(minutes=61)),  # as a file of an hour is
)
"""How long before and after an id was made its segment is looked for: clocks differ, and sealing may have to wait."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID_DIGITS, _TIME_DIGITS = 32, 12


@dataclass(frozen=True, slots=True)
class PredictionSegment:
    """Predictions that were sealed together, or moved into one file.

    Attributes:
        data: Artifact that holds them.
        root: RFC 9162 root over their canonical lines (without line feeds), in hexadecimal.
        first_id: Smallest prediction id.
        last_id: Largest prediction id.
        sealed_at: When; of what was moved, when the last of it was.
        journal: Id of the journal they were written to first; of a batch and of what was moved, its own.
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
class SegmentCompaction:
    """Segments whose predictions were moved into fewer files.

    Attributes:
        files: Digests of the records of these files.
        replaced: How many segments were moved into them.
        replaced_root: RFC 9162 root over the digests of the records of those segments, oldest first, in hexadecimal.
        kept: How many segments stayed as they are, because they are columns, few lines alone, or gone.
        predictions: How many predictions were moved.
        until: When the last of all these segments was sealed.
    """

    model: str
    environment: str
    files: tuple[Digest, ...]
    replaced: int
    replaced_root: str
    kept: int
    predictions: int
    until: datetime
    compacted_at: datetime


def place_of(model: str, environment: str) -> str:
    """Return what groups the segments of a model in an environment."""
    return f"{environment}/{model}"


def compacted_place(model: str, environment: str) -> str:
    """Return what groups the segments that are read up to the moment of the last compaction."""
    return f"{place_of(model, environment)}/compacted"


def segment_key(model: str, environment: str, journal: str) -> str:
    """Return the key of a segment's record."""
    return f"{place_of(model, environment)}/{journal}"


def log_pointer(model: str, environment: str) -> str:
    """Return the name of the pointer to the last compaction."""
    return POINTERS + place_of(model, environment)


def compacted_until(model: str, environment: str, tx: Transaction) -> datetime | None:
    """Return the moment up to which segments were compacted, or None where none ever were."""
    pointer = tx.pointer(log_pointer(model, environment))
    return tx.by_digest(SegmentCompaction, pointer.target).until if pointer else None


def waiting_segments(
    model: str,
    environment: str,
    tx: Transaction,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
) -> list[PredictionSegment]:
    """Return the segments that were sealed after the last compaction, oldest first.

    Args:
        since: Only those that were sealed at this moment or later; None for all.
        until: Only those that were sealed at this moment or earlier; None for all.
    """
    done = compacted_until(model, environment, tx)
    begins = [each for each in (since, done + INSTANT if done else None) if each is not None]
    place = place_of(model, environment)
    return tx.between(PredictionSegment, parent=place, since=max(begins, default=None), until=until, limit=limit)


def live_segments(
    model: str, environment: str, tx: Transaction, *, since: datetime | None = None, until: datetime | None = None
) -> list[PredictionSegment]:
    """Return the segments that hold the predictions of a model, each of them once, oldest first.

    Args:
        since: Only those that were sealed at this moment or later; None for all.
        until: Only those that were sealed at this moment or earlier; None for all.
    """
    moved = tx.between(PredictionSegment, parent=compacted_place(model, environment), since=since, until=until)
    waiting = waiting_segments(model, environment, tx, since=since, until=until)
    return sorted([*moved, *waiting], key=lambda each: each.sealed_at)


def segments_by_id(prediction_id: str, tx: Transaction) -> Iterator[PredictionSegment]:
    """Yield the segments that may hold a prediction, by its id.

    An id tells when it was made. What was sealed soon after that is looked at first, wherever something is deployed, so that
    not every record there is has to be read; then everything.
    """
    seen: set[tuple[str, str, str]] = set()
    for segment in chain(_sealed_soon(_made_at(prediction_id), tx), _lazily(lambda: all_live_segments(tx))):
        if segment.first_id <= prediction_id <= segment.last_id and _key(segment) not in seen:
            seen.add(_key(segment))
            yield segment


def _sealed_soon(made: datetime | None, tx: Transaction) -> Iterator[PredictionSegment]:
    """Yield the live segments that were sealed within seconds after a moment, or hold what was; those of an hour next."""
    if made is None:
        return
    places = [pointer.name.split("/")[1:] for pointer in tx.pointers(prefix=_DEPLOYMENTS)]
    for before, after in _SOON:
        for environment, model in places:
            yield from live_segments(model, environment, tx, since=made - before, until=made + after)


def _lazily(found: Callable[[], Sequence[PredictionSegment]]) -> Iterator[PredictionSegment]:
    yield from found()


def _made_at(prediction_id: str) -> datetime | None:
    """Return when an id was made, to the millisecond; None where it does not tell (it is no UUID of version 7)."""
    if len(prediction_id) != _ID_DIGITS or prediction_id[_TIME_DIGITS] != "7":
        return None
    try:
        return _EPOCH + timedelta(milliseconds=int(prediction_id[:_TIME_DIGITS], 16))
    except (ValueError, OverflowError):
        return None


def all_live_segments(tx: Transaction) -> list[PredictionSegment]:
    """Return the segments that hold the predictions of all models, each of them once, newest first."""
    gone = {_key(each) for place in _compacted_places(tx) for each in _replaced(*place, tx)}
    found = {_key(each): each for each in tx.newest(PredictionSegment)}  # one that stayed as it is has two records
    return [each for key, each in found.items() if key not in gone]


def replaced_data(tx: Transaction, *, before: datetime) -> set[Digest]:
    """Return the files whose predictions were moved into others, all of them before a moment."""
    live = {each.data for each in all_live_segments(tx)}
    found: set[Digest] = set()
    for model, environment in _compacted_places(tx):
        done = tx.between(SegmentCompaction, parent=place_of(model, environment), until=before)
        if done:
            long_ago = max(each.until for each in done)
            found |= {each.data for each in _replaced(model, environment, tx) if each.sealed_at <= long_ago}
    return found - live


def _key(segment: PredictionSegment) -> tuple[str, str, str]:
    return segment.environment, segment.model, segment.journal


def _compacted_places(tx: Transaction) -> Iterator[tuple[str, str]]:
    """Yield the models and environments whose log was compacted."""
    for pointer in tx.pointers(prefix=POINTERS):
        done = tx.by_digest(SegmentCompaction, pointer.target)
        yield done.model, done.environment


def _replaced(model: str, environment: str, tx: Transaction) -> list[PredictionSegment]:
    """Return the segments whose predictions were moved."""
    until = compacted_until(model, environment, tx)
    kept = {each.journal for each in tx.between(PredictionSegment, parent=compacted_place(model, environment))}
    every = tx.between(PredictionSegment, parent=place_of(model, environment), until=until)
    return [each for each in every if each.journal not in kept]
