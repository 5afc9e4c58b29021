"""Makes the bill of a version from its records, stores it at registration, and tells policies of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from keelway.core import ArtifactKind, ArtifactStore, Digest, digest_of, parse_json
from keelway.evaluate import Scorecard
from keelway.features import FeatureTable
from keelway.ledger import Transaction
from keelway.project import Card
from keelway.register.bom.make import bill_of
from keelway.register.bom.records import BillOfMaterials, PackageList
from keelway.register.records import ModelVersion
from keelway.snapshot import Snapshot
from keelway.train import TrainedModel, installed_packages


@dataclass(frozen=True, slots=True)
class BillDraft:
    """A bill whose bytes are stored, before it is recorded with its version."""

    record: BillOfMaterials
    packages: PackageList | None


def package_list() -> PackageList:
    """Return what is installed here and now."""
    return PackageList(".".join(map(str, sys.version_info[:3])), installed_packages())


def bill_now(version: ModelVersion, *, card: Card, tx: Transaction, packages: PackageList | None = None) -> bytes:
    """Return the bill of a version as its records tell it.

    Args:
        card: What people say of the model.
        packages: What is installed, counted only where it is what the version was trained with; else what is recorded.

    Raises:
        MissingRecordError: A record that the version rests on is not there.
    """
    trained = tx.by_digest(TrainedModel, version.trained)
    table = tx.by_digest(FeatureTable, version.feature_table)
    found = {name: tx.by_digest(Snapshot, each) for name, each in table.snapshots.items() if tx.text_of(each)}
    return bill_of(
        version,
        trained,
        tx.by_digest(Scorecard, version.scorecard),
        table,
        snapshots=found,
        packages=known_packages(trained, tx, packages),
        card=card,
    )


def known_packages(trained: TrainedModel, tx: Transaction, packages: PackageList | None) -> PackageList | None:
    """Return what was installed where a model was trained, or None where nobody knows."""
    wanted = trained.code.environment_digest
    if packages is not None and digest_of(packages) == wanted:
        return packages
    return tx.by_digest(PackageList, wanted) if tx.text_of(wanted) else None


def draft_bill(version: ModelVersion, *, card: Card, artifacts: ArtifactStore, tx: Transaction) -> BillDraft:
    """Store the bytes of a version's bill and return it ready to be recorded."""
    here = package_list()
    data = bill_now(version, card=card, tx=tx, packages=here)
    stored = artifacts.put(data, kind=ArtifactKind.REPORT, name=f"{version.name}.cdx.json")
    components = parse_json(data)["components"]
    libraries = sum(each["type"] == "library" for each in components)
    record = BillOfMaterials(
        version.name, digest_of(version), stored.digest, len(components), libraries, version.created_at
    )
    return BillDraft(record, here if libraries else None)


def record_bill(draft: BillDraft, *, tx: Transaction) -> Digest:
    """Record a bill, and the list of packages that it names, in the transaction that records its version."""
    record, packages = draft.record, draft.packages
    if packages is not None:
        tx.insert(digest_of(packages), packages, at=record.at)
    return tx.insert(record.name, record, parent=record.name, at=record.at)


def bill_evidence(version: ModelVersion, *, tx: Transaction) -> dict[str, Any]:
    """Return what a policy reads of a version's bill: whether there is one, and how many components it lists."""
    found = tx.find(BillOfMaterials, version.name)
    if found is None or found.version != digest_of(version):
        return {"present": False, "components": 0, "libraries": 0}
    return {
        "present": True,
        "components": found.components,
        "libraries": found.libraries,
        "digest": found.data,
    }
