"""Bringing data in, and looking at what was kept out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.wire import Workspace
from keelway.core import Digest
from keelway.errors import MissingRecordError

if TYPE_CHECKING:
    from keelway.contract import CheckedBatch, QuarantinedRow
    from keelway.ingest import Batch
    from keelway.project import Dataset
    from keelway.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one ingest of a dataset did; all counts are 0 where nothing was new.

    Attributes:
        files: How many files were taken.
        skipped: How many files were left out (duplicates, changed content, empty).
        late: How many of the files taken came late.
        rows: How many rows the snapshot holds.
        told: One line for each thing a person should know: files skipped, late, repaired, quarantined.
    """

    dataset: str
    files: int
    skipped: int
    late: int
    rows_in: int
    rows_ok: int
    rows_repaired: int
    rows_quarantined: int
    repairs: dict[str, dict[str, int]]
    reasons: dict[str, int]
    told: tuple[str, ...]
    snapshot_number: int
    snapshot_id: Digest
    rows: int


@dataclass(frozen=True, slots=True)
class FileRefusal:
    """One file that was not taken, or not kept."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class QuarantineReport:
    """What of a dataset was kept out: rows (at most as many as asked for) and whole files."""

    dataset: str
    rows: tuple[QuarantinedRow, ...]
    files: tuple[FileRefusal, ...]
    total_rows: int


class DataRoom:
    """Use cases on datasets."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def ingest(self, dataset: str | None = None) -> list[IngestReport]:
        """Pull the new files of a dataset (of every one when None), check them and take a snapshot.

        Raises:
            SourceError: The object store cannot be read, or has no data of a dataset at all.
            ContractError: A contract does not parse, or stops the load; nothing was loaded.
        """
        return [self._ingest(declared) for declared in self._datasets(dataset)]

    def _ingest(self, dataset: Dataset) -> IngestReport:
        from keelway.contract import CheckedBatch
        from keelway.flow import bring_in
        from keelway.ingest import Batch

        at = self._at
        with at.state.snapshot() as tx:
            before = tx.count(CheckedBatch, parent=dataset.name)
        snapshot = bring_in(dataset, at.context())
        with at.state.snapshot() as tx:
            fresh = tx.count(CheckedBatch, parent=dataset.name) - before
            checked = tx.newest(CheckedBatch, parent=dataset.name, limit=fresh) if fresh else []
            batches = [tx.by_digest(Batch, item.batch) for item in checked]
        return _report(snapshot, checked, batches)

    def check(self, dataset: str, files: Sequence[Path] = ()) -> CheckedBatch:
        """Check files against a dataset's contract without loading them; with none, all that its source matches.

        Works on a state of its own that is thrown away, so nothing is recorded.

        Raises:
            MissingRecordError: There is nothing to check.
            ContractError: The contract does not parse, or would stop the load.
        """
        from keelway.contract import check, load_contract
        from keelway.engines.local.artifacts import LocalArtifacts
        from keelway.engines.local.checker import DuckDbChecker
        from keelway.engines.local.objects import LocalObjects
        from keelway.engines.sql import SqlState
        from keelway.ingest import pull

        at = self._at
        declared = self._datasets(dataset)[0]
        contract = load_contract(at.root / declared.contract, declared.name)
        with tempfile.TemporaryDirectory(prefix="keelway-check-") as folder:
            scratch = Path(folder)
            state = SqlState(f"sqlite:///{scratch / 'state.db'}")
            try:
                source = at.source
                if files:
                    source, declared = LocalObjects(scratch / "files"), _copied(declared, files, scratch / "files")
                artifacts = LocalArtifacts(scratch / "artifacts")
                batch = pull(
                    declared, source=source, state=state, artifacts=artifacts, now=at.now(), actor=at.principal.id
                )
                if batch is None or not batch.files:
                    raise MissingRecordError(
                        "There is nothing to check", expected=f"files that match {declared.source}", found="none"
                    )
                return check(
                    batch,
                    contract=contract,
                    checker=DuckDbChecker(),
                    artifacts=artifacts,
                    state=state,
                    now=at.now(),
                    actor=at.principal.id,
                    event_time=declared.event_time,
                )
            finally:
                state.close()

    def quarantine(self, dataset: str, *, limit: int = 20) -> QuarantineReport:
        """Return the newest quarantined rows of a dataset, and every file that was not taken or not kept."""
        from keelway.contract import CheckedBatch, quarantined_rows
        from keelway.ingest import Batch

        declared = self._datasets(dataset)[0]
        rows: list[QuarantinedRow] = []
        files: list[FileRefusal] = []
        total = 0
        with self._at.state.snapshot() as tx:
            checked = tx.newest(CheckedBatch, parent=declared.name)
            batches = {item.batch: tx.by_digest(Batch, item.batch) for item in checked}
        for item in checked:
            total += item.rows_quarantined
            rows += quarantined_rows(item, artifacts=self._at.artifacts, limit=limit - len(rows))
            files += [FileRefusal(file.name, "; ".join(file.reasons)) for file in item.files if file.reasons]
            files += [FileRefusal(file.name, _why(file)) for file in batches[item.batch].skipped]
        return QuarantineReport(declared.name, tuple(rows), tuple(files), total)

    def snapshots(self, dataset: str | None = None) -> list[Snapshot]:
        """Return the snapshots of a dataset (of every one when None), newest first."""
        from keelway.snapshot import snapshots

        with self._at.state.snapshot() as tx:
            return [item for each in self._datasets(dataset) for item in snapshots(each.name, tx)]

    def _datasets(self, name: str | None) -> list[Dataset]:
        project = self._at.project
        return [project.dataset(name)] if name else list(project.datasets)


def _why(file: object) -> str:
    """Return why a file was skipped, with the name it repeats."""
    from keelway.ingest import SkippedFile

    assert isinstance(file, SkippedFile)
    return f"{file.reason}{f' of {file.of}' if file.of and file.of != file.name else ''}"


def _report(snapshot: Snapshot, checked: list[CheckedBatch], batches: list[Batch]) -> IngestReport:
    """Add up what was done to all batches of one ingest."""
    repairs: dict[str, dict[str, int]] = {}
    reasons: dict[str, int] = {}
    told: list[str] = []
    for batch in batches:
        told += [f"{file.name}: skipped, {_why(file)}" for file in batch.skipped]
        told += [f"{file.name}: {file.late_days} days late" for file in batch.late]
    for item in checked:
        told += _files_told(item)
        for column, kinds in item.repairs.items():
            for kind, count in kinds.items():
                mine = repairs.setdefault(column, {})
                mine[kind] = mine.get(kind, 0) + count
        for reason, count in item.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
    return IngestReport(
        dataset=snapshot.dataset,
        files=sum(len(batch.files) for batch in batches),
        skipped=sum(len(batch.skipped) for batch in batches),
        late=sum(len(batch.late) for batch in batches),
        rows_in=sum(item.rows_in for item in checked),
        rows_ok=sum(item.rows_ok for item in checked),
        rows_repaired=sum(item.rows_repaired for item in checked),
        rows_quarantined=sum(item.rows_quarantined for item in checked),
        repairs=repairs,
        reasons=reasons,
        told=tuple(told),
        snapshot_number=snapshot.number,
        snapshot_id=snapshot.snapshot_id,
        rows=snapshot.rows,
    )


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


def _copied(dataset: Dataset, files: Sequence[Path], folder: Path) -> Dataset:
    """Copy files into a scratch object store and return the dataset with its source there."""
    import shutil
    from dataclasses import replace

    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        target = folder / f"{number:05d}" / file.name
        target.parent.mkdir()
        shutil.copy2(file, target)
    return replace(dataset, source="**/*")
