"""Manifest: the files of a dataset at one version; Snapshot: the record that names it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from keelway.core import Digest


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One Parquet file of a table, by its path in the table's folder."""

    path: str
    size_bytes: int
    digest: Digest
    rows: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything a version is made of; its canonical JSON is an artifact, whose digest is the snapshot's id.

    Attributes:
        files: In the order they were added.
        schema: Column to type.
    """

    dataset: str
    files: tuple[ManifestFile, ...]
    contract: Digest
    contract_version: str
    schema: dict[str, str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a dataset.

    Attributes:
        number: Counts the dataset's snapshots from 1, without a gap.
        snapshot_id: Digest of the manifest's bytes.
        table_version: Version of the table that holds exactly these files; -1 while there is no table.
        rows: In the whole version; `rows_added` by this batch.
        checked: Digest of the checked batch it adds.
        parent: Digest of the snapshot before.
        watermark: When the youngest file became known.
        columns: Column to type.
    """

    dataset: str
    number: int
    snapshot_id: Digest
    table_version: int
    rows: int
    rows_added: int
    contract: Digest
    checked: Digest
    parent: Digest | None
    watermark: datetime
    taken_at: datetime
    columns: dict[str, str]
