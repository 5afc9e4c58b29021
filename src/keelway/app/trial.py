"""Tries files out: what a contract says of them, and what an ingest would do, without recording anything."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.ingest_report import IngestPreview, ingest_preview
from keelway.app.rehearsal import RehearsalArtifacts, RehearsalState, RehearsalTokens
from keelway.app.wire import Workspace
from keelway.errors import MissingRecordError

if TYPE_CHECKING:
    from keelway.contract import CheckedBatch, Contract, Findings
    from keelway.core import ArtifactStore
    from keelway.ingest import Batch
    from keelway.ledger import StateStore
    from keelway.project import Dataset


def preview(
    at: Workspace,
    dataset: Dataset,
    contract: Contract,
    *,
    since: date | datetime | None,
    until: date | datetime | None,
) -> IngestPreview:
    """Return what an ingest of a dataset would take, and what the contract would say of the first batch."""
    from keelway.contract import reasons_to_stop
    from keelway.engines.local.artifacts import LocalArtifacts
    from keelway.ingest import pull
    from keelway.privacy import WORK, working_folder

    with working_folder(at.root / WORK, name="preview") as scratch:
        artifacts = RehearsalArtifacts(LocalArtifacts(scratch / "artifacts"), at.artifacts)
        pulled = pull(
            dataset, source=at.source, state=RehearsalState(at.state), artifacts=artifacts, now=at.now(),
            actor=at.principal.id, since=since, until=until, work=at.root / WORK,
        )  # fmt: skip
        if pulled.batch is None or not pulled.batch.files:
            return ingest_preview(dataset.name, pulled, None, ())
        findings = _findings(at, pulled.batch, contract, dataset.event_time, artifacts, scratch)
    stops = (*findings.stops, *reasons_to_stop(findings.files, contract))
    return ingest_preview(dataset.name, pulled, findings, stops)


def check_files(at: Workspace, dataset: Dataset, contract: Contract, files: Sequence[Path]) -> CheckedBatch:
    """Return what a contract says of files, on a state that is thrown away; with none, of all the source has.

    Files are compared with the newest version, as an ingest of them would be; all that the source has is not, because
    most of it is in that version.

    Raises:
        MissingRecordError: There is nothing to check.
    """
    from keelway.contract import check
    from keelway.engines.local.artifacts import LocalArtifacts
    from keelway.engines.sql import SqlState
    from keelway.flow import comparison
    from keelway.privacy import WORK, working_folder

    against, compared = comparison(contract, at.context())
    if not files:
        against = replace(against, previous=())
        compared.pop("previous", None)
    with working_folder(at.root / WORK, name="trial") as scratch:
        state, artifacts = SqlState(f"sqlite:///{scratch / 'state.db'}"), LocalArtifacts(scratch / "artifacts")
        try:
            return check(
                _batch(at, dataset, files, state, artifacts, scratch), contract=contract, checker=at.checker,
                artifacts=artifacts, state=state, now=at.now(), actor=at.principal.id, event_time=dataset.event_time,
                against=against, compared=compared, tokenizer=RehearsalTokens() if contract.pii_columns else None,
                work=at.root / WORK,
            )  # fmt: skip
        finally:
            state.close()


def _findings(
    at: Workspace, batch: Batch, contract: Contract, event_time: str, artifacts: RehearsalArtifacts, folder: Path
) -> Findings:
    from keelway.flow import comparison

    against, _ = comparison(contract, at.context())
    return at.checker.check(
        [(file, artifacts.path_of(file.digest)) for file in batch.files], contract, event_time=event_time, folder=folder,
        against=against, tokenizer=RehearsalTokens() if contract.pii_columns else None, waived=frozenset(batch.waived),
        keep=False,
    )  # fmt: skip


def _batch(
    at: Workspace, dataset: Dataset, files: Sequence[Path], state: StateStore, artifacts: ArtifactStore, scratch: Path
) -> Batch:
    """Pull files, or with none all that the source has, into a state that knows nothing."""
    from keelway.engines.local.objects import LocalObjects
    from keelway.ingest import pull
    from keelway.privacy import WORK

    source = at.source
    if files:
        source, dataset = LocalObjects(scratch / "files"), _copied(dataset, files, scratch / "files")
    batch = pull(
        dataset,
        source=source,
        state=state,
        artifacts=artifacts,
        now=at.now(),
        actor=at.principal.id,
        work=at.root / WORK,
    ).batch
    if batch is None or not batch.files:
        raise MissingRecordError(
            "There is nothing to check", expected=f"files that match {dataset.source}", found="none"
        )
    return batch


def _copied(dataset: Dataset, files: Sequence[Path], folder: Path) -> Dataset:
    """Copy files into a scratch object store and return the dataset with its source there."""
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        target = folder / f"{number:05d}" / file.name
        target.parent.mkdir()
        shutil.copy2(file, target)
    return replace(dataset, source="**/*", marker="", settle_s=0)
