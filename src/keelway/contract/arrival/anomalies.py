"""Keeps account of what each loaded batch brought, judges its volume, and raises the alerts of the way in.

Each batch is accounted for once, in one transaction with its alerts. A process that dies between loading a batch and
accounting for it leaves that to the next one; so does a dataset that was loaded before accounts were kept, whose
past is taken down without an alert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from keelway.contract.arrival.alerts import IngestAlert, IngestAlertKind, raise_in
from keelway.contract.arrival.schedule import nearest_due
from keelway.contract.arrival.volume import WINDOW, Delivery, VolumeCheck, VolumeVerdict, check_volume
from keelway.contract.checked import CheckedBatch
from keelway.core import ArtifactStore, Digest, PrincipalId, digest_of, time_text
from keelway.ingest import Batch, SkipReason, batch_key, loaded_pointer

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.ledger.ports import StateStore, Transaction
    from keelway.project import Dataset

SHOWN = 5
"""Names told in an alert."""


@dataclass(frozen=True, slots=True)
class SlotVolume:
    """What came for one due time; without a schedule, within one hour."""

    slot: datetime
    files: int
    rows: int
    verdict: VolumeVerdict


@dataclass(frozen=True, slots=True)
class Arrival:
    """What one loaded batch brought, in the figures that later ones are compared with.

    Attributes:
        batch: Digest of the batch.
        slots: The volume by due time, the newest of many; empty for a release.
        newest_file: When its youngest file was written; None where none was taken.
        newest_event: When its youngest row happened that is not dated after the youngest file; the date of the
            earliest where all are, and None where none was kept.
    """

    dataset: str
    number: int
    batch: Digest
    slots: tuple[SlotVolume, ...]
    newest_file: datetime | None
    newest_event: datetime | None

    @property
    def is_undated(self) -> bool:
        """Whether all its rows are dated after its youngest file, so that none says how old the data is."""
        event, written = self.newest_event, self.newest_file
        return event is not None and written is not None and event > written


@dataclass(frozen=True, slots=True)
class Account:
    """What taking account of new batches found.

    Attributes:
        volumes: How each delivery of them compares with those before; where there are too few, nothing is said.
        alerts: Those raised now.
        arrivals: The newest batches that are accounted for, oldest first.
    """

    volumes: tuple[VolumeCheck, ...]
    alerts: tuple[IngestAlert, ...]
    arrivals: tuple[Arrival, ...]

    @property
    def newest_file(self) -> datetime | None:
        """When the youngest file of the dataset was written; None while there is none."""
        return max((item.newest_file for item in self.arrivals if item.newest_file), default=None)

    @property
    def newest_event(self) -> datetime | None:
        """When the youngest row happened that is not dated after the file it came in; None while there is none."""
        dated = (item.newest_event for item in self.arrivals if item.newest_event and not item.is_undated)
        return max(dated, default=None)


def take_account(
    dataset: Dataset,
    *,
    outcomes: Mapping[Digest, CheckedBatch],
    artifacts: ArtifactStore,
    state: StateStore,
    now: datetime,
    actor: PrincipalId,
) -> Account:
    """Account for the loaded batches that nobody accounted for yet.

    Args:
        outcomes: Batch to what its contract said, as far as the caller knows.
    """
    with state.snapshot() as tx:
        known = sorted(tx.newest(Arrival, parent=dataset.name, limit=WINDOW), key=lambda item: item.number)
        batches = _unaccounted(dataset.name, known, tx)
        found = {**_outcomes(dataset.name, batches, outcomes, tx), **outcomes}
    past = not known
    arrivals, volumes, alerts = list(known), [], []
    for batch in batches:
        checked = found.get(digest_of(batch))
        brought = _slots(dataset, batch, checked)
        judged = [] if past else _judged(dataset, brought, arrivals)
        volumes += judged
        alerts += _alerts(batch, judged, arrivals, now)
        event = _event(batch, checked, dataset.event_time, artifacts) if checked else None
        arrivals.append(_arrival(batch, brought, judged, event))
    fresh: tuple[IngestAlert, ...] = ()
    if batches:
        with state.transaction() as tx:
            for arrival in arrivals[len(known) :]:
                tx.insert(batch_key(dataset.name, arrival.number), arrival, parent=dataset.name, at=now)
            fresh = raise_in(alerts, tx=tx, actor=actor)
    return Account(tuple(volumes), fresh, tuple(arrivals))


def _unaccounted(dataset: str, known: Sequence[Arrival], tx: Transaction) -> list[Batch]:
    """Return the loaded batches after the last one that was accounted for, at most a window of them."""
    pointer = tx.pointer(loaded_pointer(dataset))
    if pointer is None:
        return []
    loaded = tx.by_digest(Batch, pointer.target).number
    first = known[-1].number + 1 if known else 1
    return [tx.get(Batch, batch_key(dataset, number)) for number in range(max(first, loaded - WINDOW), loaded + 1)]


def _outcomes(
    dataset: str, batches: Sequence[Batch], outcomes: Mapping[Digest, CheckedBatch], tx: Transaction
) -> dict[Digest, CheckedBatch]:
    """Return what their contract said of batches, looking for it only where the caller does not know."""
    if all(not batch.files or digest_of(batch) in outcomes for batch in batches):
        return {}
    found: dict[Digest, CheckedBatch] = {}
    for checked in tx.newest(CheckedBatch, parent=dataset):
        found.setdefault(checked.batch, checked)
    return found


def _judged(dataset: Dataset, brought: Sequence[SlotVolume], arrivals: Sequence[Arrival]) -> list[VolumeCheck]:
    """Compare what a batch brought with all before it, whatever part of a delivery came in earlier batches."""
    totals = _totals([item for arrival in arrivals for item in arrival.slots])
    found = []
    for part in brought:
        rows, files = _counts(totals.get(part.slot))
        whole = SlotVolume(part.slot, files + part.files, rows + part.rows, "usual")
        before = sorted((item for item in totals.values() if item.slot < part.slot), key=lambda item: item.slot)
        judged = check_volume(_delivery(dataset, whole), [_delivery(dataset, item) for item in before[-WINDOW:]])
        if judged is not None:
            found.append(judged)
    return found


def _totals(volumes: Sequence[SlotVolume]) -> dict[datetime, SlotVolume]:
    """Return the volume by due time over several batches; the last verdict stands."""
    totals: dict[datetime, SlotVolume] = {}
    for item in volumes:
        rows, files = _counts(totals.get(item.slot))
        totals[item.slot] = SlotVolume(item.slot, files + item.files, rows + item.rows, item.verdict)
    return totals


def _counts(volume: SlotVolume | None) -> tuple[int, int]:
    return (volume.rows, volume.files) if volume else (0, 0)


def _delivery(dataset: Dataset, volume: SlotVolume) -> Delivery:
    """Return what is compared: all rows of a due time; without a schedule, rows per file."""
    rows = float(volume.rows) if dataset.schedule else volume.rows / max(1, volume.files)
    return Delivery(volume.slot, rows, volume.verdict)


def _slots(dataset: Dataset, batch: Batch, checked: CheckedBatch | None) -> tuple[SlotVolume, ...]:
    """Return the rows and files of a pulled batch by due time."""
    if checked is None or batch.released is not None:
        return ()
    written = {file.name: file.known_at for file in batch.files}
    counts: dict[datetime, tuple[int, int]] = {}
    for file in checked.files:
        slot = _slot(dataset, written[file.name])
        files, rows = counts.get(slot, (0, 0))
        counts[slot] = (files + 1, rows + file.rows_in)
    return tuple(SlotVolume(slot, *counts[slot], "usual") for slot in sorted(counts)[-WINDOW:])


def _slot(dataset: Dataset, written_at: datetime) -> datetime:
    if dataset.schedule:
        return nearest_due(dataset.schedule, written_at)
    return written_at.replace(minute=0, second=0, microsecond=0)


def _arrival(
    batch: Batch, brought: Sequence[SlotVolume], judged: Sequence[VolumeCheck], event: datetime | None
) -> Arrival:
    verdicts = {item.at: item.verdict for item in judged}
    written = [file.known_at for file in batch.files] if batch.released is None else []
    return Arrival(
        dataset=batch.dataset,
        number=batch.number,
        batch=digest_of(batch),
        slots=tuple(replace(item, verdict=verdicts.get(item.slot, "usual")) for item in brought),
        newest_file=max(written, default=None),
        newest_event=event,
    )


def _event(batch: Batch, checked: CheckedBatch, event_time: str, artifacts: ArtifactStore) -> datetime | None:
    """Return the `newest_event` of a batch; a release of rows that are dated after it says nothing."""
    written = max((file.known_at for file in batch.files), default=batch.pulled_at)
    event = newest_event(checked, event_time, artifacts, written=written)
    return None if event is not None and event > written and batch.released is not None else event


def newest_event(
    checked: CheckedBatch, event_time: str, artifacts: ArtifactStore, *, written: datetime
) -> datetime | None:
    """Return when the youngest kept row of a batch happened (a date: its first moment), None without rows.

    A row that is dated after the batch was written does not count: one wrong date would make a feed look fresh for
    years. Where all rows are, the earliest of their dates is returned. The file's own statistics are asked first.
    """
    if not checked.rows_ok or not event_time or checked.rows not in artifacts:  # a vacuum may have taken old rows
        return None
    import pyarrow.parquet as pq

    earlier: list[datetime] = []
    later: list[datetime] = []
    with pq.ParquetFile(artifacts.path_of(checked.rows)) as stored:
        column = stored.schema_arrow.names.index(event_time)
        for number in range(stored.num_row_groups):
            statistics = stored.metadata.row_group(number).column(column).statistics
            if not statistics or not statistics.has_min_max:
                continue
            low, high = _moment(statistics.min), _moment(statistics.max)
            if low > written:
                later.append(low)
            elif high <= written:
                earlier.append(high)
            else:
                earlier.append(_youngest(stored.read_row_group(number, columns=[event_time])[event_time], written))
    return max(earlier, default=min(later, default=None))


def _youngest(dates: pa.ChunkedArray, written: datetime) -> datetime:
    """Return the youngest of dates or times of which at least one is not later than a moment."""
    import pyarrow as pa
    import pyarrow.compute as pc

    moments = dates.cast(pa.timestamp("us")) if pa.types.is_date(dates.type) else dates
    zone = moments.type.tz
    limit = pa.scalar(written if zone else written.astimezone(UTC).replace(tzinfo=None), moments.type)
    return _moment(pc.max(moments.filter(pc.less_equal(moments, limit))).as_py())


def _moment(value: date | datetime) -> datetime:
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.combine(value, time(), UTC)


def _alerts(
    batch: Batch, judged: Sequence[VolumeCheck], arrivals: Sequence[Arrival], now: datetime
) -> list[IngestAlert]:
    """Return the alerts that a batch gives reason for; of deliveries that are odd in a row, the first."""
    evidence = {"batch": digest_of(batch)}
    found = []
    last = next((item.slots[-1].verdict for item in reversed(arrivals) if item.slots), "usual")
    for item in judged:
        if item.verdict not in ("usual", last):
            about = time_text(item.at)
            found.append(
                IngestAlert(batch.dataset, IngestAlertKind.VOLUME, about, (_volume_told(item),), evidence, now)
            )
        last = item.verdict
    changed = [file.name for file in batch.skipped if file.reason is SkipReason.CONTENT_CHANGED]
    if changed:
        more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        told = f"other content under a known name, quarantined: {', '.join(changed[:SHOWN])}{more}"
        found.append(
            IngestAlert(batch.dataset, IngestAlertKind.CHANGED, f"batch {batch.number}", (told,), evidence, now)
        )
    return found


def _volume_told(item: VolumeCheck) -> str:
    return (
        f"{item.rows:,.0f} rows came for {time_text(item.at)}; usual are {item.usual:,.0f}, between {item.low:,.0f} and "
        f"{item.high:,.0f} (by {item.of} deliveries: {item.like})"
    )
