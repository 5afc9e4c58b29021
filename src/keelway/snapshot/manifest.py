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

    A manifest may go on where an earlier one ends, so that a version of thousands of files does not write them all
    down again. Which one is a matter of its number since the last that lists everything: it goes on from the number
    that is left when its lowest binary digit 1 becomes 0. So n loads write some n/2 log n entries and not n squared,
    and no version needs more manifests than its number has binary digits, and one.

    Attributes:
        files: In the order they were added; those of the manifest it goes on from come first.
        schema: Column to type.
        after: Digest of the manifest it goes on from, or None for one that lists everything.
        turn: Its number since the last one that lists everything, which has 0.
    """

    dataset: str
    files: tuple[ManifestFile, ...]
    contract: Digest
    contract_version: str
    schema: dict[str, str]
    after: Digest | None = None
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a dataset.

    Attributes:
        number: Counts the dataset's snapshots from 1, without a gap.
        snapshot_id: Digest of the manifest's bytes.
        table_version: Version of the table that holds exactly these files; -1 while there is no table.
        rows: In the whole version; `rows_added` by this batch.
        checked: Digest of the last checked batch in it; it adds this one unless it is `compacted`.
        parent: Digest of the snapshot before.
        watermark: When the youngest file became known.
        columns: Column to type.
        compacted: Digest of the snapshot whose rows it holds in fewer files; None where it adds a batch.
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
    compacted: Digest | None = None
