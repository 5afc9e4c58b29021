"""Gathers what a model card is told from: the records behind a version, the ledger, and what the project declares."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.contenders import CHAMPION, version_meant
from keelway.app.files import written
from keelway.app.wire import Workspace
from keelway.core import Digest
from keelway.errors import ErasedError, MissingRecordError, UsageError

if TYPE_CHECKING:
    from keelway.app.lab import Lab
    from keelway.features import FeatureTable
    from keelway.ledger import Transaction
    from keelway.register import CardData, CardEntry, CardEvidence, ModelCard, ModelVersion
    from keelway.train import TrainedModel


class CardRoom:
    """Use cases of those who have to know what a model is, and what nobody said of it."""

    def __init__(self, workspace: Workspace, lab: Lab) -> None:
        self._at = workspace
        self._lab = lab

    def card(self, name: str) -> ModelCard:
        """Return the model card of a version.

        Args:
            name: `MODEL:NUMBER`, `MODEL` (its newest version), `MODEL@ENVIRONMENT` or `champion`.

        Raises:
            MissingRecordError: There is no such version.
        """
        from keelway.register import model_card

        wanted = self._lab.champion() if name == CHAMPION else name
        with self._at.state.snapshot() as tx:
            version = version_meant(wanted, at=self._at, tx=tx) if wanted else None
            if version is None:
                raise MissingRecordError(
                    f"There is no version of {name}",
                    expected="MODEL:NUMBER, MODEL, MODEL@ENVIRONMENT or champion",
                    found=repr(name),
                    fix="List them: keelway models",
                )
            return model_card(card_evidence(version, at=self._at, tx=tx))

    def write(self, card: ModelCard, path: Path) -> Path:
        """Write a card as Markdown, or as an HTML page where the file is called so.

        Raises:
            UsageError: The file is called neither.
            StorageError: It cannot be written.
        """
        from keelway.register import card_markdown, card_page

        forms = {".md": card_markdown, ".html": card_page, ".htm": card_page}
        if path.suffix.lower() not in forms:
            raise UsageError("A card is written as Markdown or HTML", expected="NAME.md or NAME.html", found=path.name)
        return written(path, forms[path.suffix.lower()](card))


def card_evidence(version: ModelVersion, *, at: Workspace, tx: Transaction, ledger: bool = True) -> CardEvidence:
    """Return what the card of a version is told from; without the ledger's entries, which are all read, if not asked."""
    from keelway.evaluate import Scorecard
    from keelway.features import FeatureTable
    from keelway.register import CardEvidence, check_version, was_collected
    from keelway.train import TrainedModel, member_pipelines

    trained, table = tx.by_digest(TrainedModel, version.trained), tx.by_digest(FeatureTable, version.feature_table)
    members: dict[str, Digest] = {}
    if not was_collected(version, tx=tx):
        check_version(version, artifacts=at.artifacts, public_key=at.signing.public_key)
        members = member_pipelines(version.pipeline, artifacts=at.artifacts)
    return CardEvidence(
        version=version,
        trained=trained,
        scorecard=tx.by_digest(Scorecard, version.scorecard),
        table=table,
        declared=at.project.model(version.model),
        data=tuple(_data(table, tx)),
        entries=tuple(_entries(version, tx)) if ledger else (),
        members=members,
        trained_seconds=_seconds(version, trained, tx),
        model_bytes=at.artifacts.size_of(version.onnx),
    )


def _data(table: FeatureTable, tx: Transaction) -> Iterator[CardData]:
    """Yield what the datasets of a feature table were, by the contracts that their rows were checked by."""
    from keelway.contract import CheckedBatch, Contract
    from keelway.register import CardData
    from keelway.snapshot import Snapshot

    for name, digest in sorted(table.snapshots.items()):
        snapshot = contract = None
        with contextlib.suppress(MissingRecordError, ErasedError):
            snapshot = tx.by_digest(Snapshot, digest)
            contract = tx.by_digest(Contract, tx.by_digest(CheckedBatch, snapshot.checked).contract)
        yield CardData(
            name=name,
            digest=digest,
            snapshot=f"{name} {snapshot.number}" if snapshot else "",
            rows=snapshot.rows if snapshot else None,
            known_until=snapshot.watermark if snapshot else None,
            owner=contract.owner if contract else "",
            contract=f"{contract.contract_id} {contract.version}" if contract else "",
            personal={column.name: str(column.pii) for column in contract.pii_columns} if contract else {},
        )


def _entries(version: ModelVersion, tx: Transaction) -> Iterator[CardEntry]:
    """Yield what the ledger says of a version."""
    from keelway.ledger import decisions
    from keelway.register import CardEntry

    for index, decision in decisions(tx):
        if decision.subject == version.name:
            yield CardEntry(
                index, str(decision.action), decision.environment, decision.principal, decision.at, decision.allowed
            )


def _seconds(version: ModelVersion, trained: TrainedModel, tx: Transaction) -> float | None:
    """Return how long the fit took; None where another run had done it, or no run is recorded."""
    from keelway.core import RunId
    from keelway.flow import run_view

    try:
        step = run_view(RunId(version.run_id), tx=tx).steps.get(f"train:{trained.estimator}")
    except MissingRecordError:
        return None
    if step is None or step.cached_from is not None or step.output != Digest(version.trained):
        return None
    return (step.ended_at - step.started_at).total_seconds()
