"""What one ingest of a dataset did, or would do: in figures, and in lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.core import Digest

if TYPE_CHECKING:
    from keelway.contract import CheckedBatch, Findings, Freshness, IngestAlert, VolumeCheck
    from keelway.flow import Loaded
    from keelway.ingest import Batch, Pulled, SkippedFile, WaitingFile
    from keelway.snapshot import Snapshot

Counts = dict[str, int]


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one ingest of a dataset did; all counts are 0 where nothing was new.

    Attributes:
        batches: How many batches were brought in, releases included.
        files: How many files were taken.
        skipped: How many files were left out (duplicates, changed content, empty).
        late: How many of the files taken came late.
        rows_released: How many of the rows that came in had been quarantined before.
        repairs: Column to repair to the number of kept rows.
        reasons: Reason to number of quarantined rows; `warnings` likewise of rows that were kept.
        waiting: New files that were left for a later ingest, with the reason, the first of many.
        waits: How many files wait, by reason.
        seconds: How long the whole ingest took; `rows_per_s` counts all rows that came in.
        volumes: How each delivery compares with those before it; empty where these are too few to tell.
        alerts: Those raised by this ingest.
        told: One line for each thing a person should know: files skipped, late, repaired, quarantined.
        snapshot_number: The newest version's number; 0 while there is none.
        rows: How many rows the newest version holds.
    """

    dataset: str
    batches: int
    files: int
    skipped: int
    late: int
    rows_in: int
    rows_ok: int
    rows_repaired: int
    rows_quarantined: int
    rows_released: int
    repairs: dict[str, Counts]
    reasons: Counts
    warnings: Counts
    waiting: tuple[WaitingFile, ...]
    waits: Counts
    seconds: float
    rows_per_s: float
    freshness: Freshness
    volumes: tuple[VolumeCheck, ...]
    alerts: tuple[IngestAlert, ...]
    told: tuple[str, ...]
    snapshot_number: int
    snapshot_id: Digest
    rows: int


@dataclass(frozen=True, slots=True)
class IngestPreview:
    """What an ingest of a dataset would do now; nothing was recorded.

    Attributes:
        batch: The number the batch would have (or has, where one waits); 0 where nothing is new.
        files: The files it would take; `skipped` and `waiting` those it would not, with the reason.
        later: How many more new files the batches after it would take.
        stops: Why its contract would stop it; empty where it would not.
    """

    dataset: str
    batch: int
    files: tuple[str, ...]
    skipped: tuple[str, ...]
    waiting: tuple[WaitingFile, ...]
    later: int
    rows_in: int
    rows_ok: int
    rows_quarantined: int
    reasons: Counts
    warnings: Counts
    repairs: dict[str, Counts]
    stops: tuple[str, ...]


def ingest_report(
    dataset: str,
    loaded: Sequence[Loaded],
    last: Pulled,
    snapshot: Snapshot | None,
    *,
    seconds: float,
    freshness: Freshness,
    volumes: tuple[VolumeCheck, ...],
    alerts: tuple[IngestAlert, ...],
) -> IngestReport:
    """Add up what was done to all batches of one ingest.

    Args:
        last: The last pull, which found nothing more.
        snapshot: The newest version, whether this ingest made it or not.
    """
    checked = [item.checked for item in loaded if item.checked is not None]
    pulled = [item.batch for item in loaded if item.batch.released is None]
    rows_in = sum(item.rows_in for item in checked)
    return IngestReport(
        dataset=dataset, batches=len(loaded), files=sum(len(batch.files) for batch in pulled),
        skipped=sum(len(batch.skipped) for batch in pulled), late=sum(len(batch.late) for batch in pulled),
        rows_in=rows_in, rows_ok=sum(item.rows_ok for item in checked),
        rows_repaired=sum(item.rows_repaired for item in checked),
        rows_quarantined=sum(item.rows_quarantined for item in checked),
        rows_released=sum(item.checked.rows_ok for item in loaded if item.checked and item.batch.released),
        repairs=_added_by_column(item.repairs for item in checked), reasons=_added(item.reasons for item in checked),
        warnings=_added(item.warnings for item in checked), waiting=last.waiting,
        waits={str(reason): count for reason, count in sorted(last.waits.items())}, seconds=seconds,
        rows_per_s=rows_in / seconds if seconds > 0 else 0.0, freshness=freshness, volumes=volumes, alerts=alerts,
        told=tuple(_told(pulled, checked)), snapshot_number=snapshot.number if snapshot else 0,
        snapshot_id=snapshot.snapshot_id if snapshot else Digest(""), rows=snapshot.rows if snapshot else 0,
    )  # fmt: skip


def ingest_preview(dataset: str, pulled: Pulled, findings: Findings | None, stops: tuple[str, ...]) -> IngestPreview:
    """Return what a pull that is undone again found, and what the contract says of it."""
    batch = pulled.batch
    files = findings.files if findings else ()
    return IngestPreview(
        dataset=dataset,
        batch=batch.number if batch else 0,
        files=tuple(file.name for file in batch.files) if batch else (),
        skipped=tuple(f"{file.name}: {skip_told(file)}" for file in batch.skipped) if batch else (),
        waiting=pulled.waiting,
        later=pulled.later,
        rows_in=sum(file.rows_in for file in files),
        rows_ok=sum(file.rows_ok for file in files),
        rows_quarantined=sum(file.rows_quarantined for file in files),
        reasons=findings.reasons if findings else {},
        warnings=findings.warnings if findings else {},
        repairs=findings.repairs if findings else {},
        stops=stops,
    )


def skip_told(file: SkippedFile) -> str:
    """Return why a file was left out, with the name it repeats."""
    return f"{file.reason}{f' of {file.of}' if file.of and file.of != file.name else ''}"


def _told(pulled: Iterable[Batch], checked: Iterable[CheckedBatch]) -> list[str]:
    """Return a line for each thing that a person should know."""
    told: list[str] = []
    for batch in pulled:
        told += [f"{file.name}: skipped, {skip_told(file)}" for file in batch.skipped]
        told += [f"{file.name}: {file.late_days} days late" for file in batch.late]
        told += [f"{file.name}: the store's clock was {file.ahead_s:g} s ahead" for file in batch.files if file.ahead_s]
    for item in checked:
        told += _files_told(item)
    return told


def _files_told(checked: CheckedBatch) -> list[str]:
    """Return a line for each file with something to tell."""
    told = []
    for file in checked.files:
        if file.reasons:
            told.append(f"{file.name}: quarantined, {'; '.join(file.reasons)}")
        if file.renamed:
            told.append(f"{file.name}: {', '.join(f'{a} read as {b}' for a, b in sorted(file.renamed.items()))}")
        if file.extra:
            told.append(f"{file.name}: unknown column {', '.join(file.extra)} left out")
        if file.rows_quarantined and not file.reasons:
            told.append(f"{file.name}: {file.rows_quarantined} of {file.rows_in} rows quarantined")
    return told


def _added(counts: Iterable[Counts]) -> Counts:
    total: Counts = {}
    for each in counts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items()))


def _added_by_column(repairs: Iterable[dict[str, Counts]]) -> dict[str, Counts]:
    given = list(repairs)
    columns = sorted({column for each in given for column in each})
    return {column: _added(each.get(column, {}) for each in given) for column in columns}
