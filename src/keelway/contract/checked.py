"""CheckedBatch: what a contract said about each file and row of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from keelway.core import Digest


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """One file of a batch.

    Attributes:
        reasons: Why the whole file was quarantined, or empty.
        renamed: Header in the file to column of the contract, where they differ.
        extra: Headers that the contract does not know.
        missing: Columns of the contract that the file does not have.
    """

    name: str
    digest: Digest
    rows_in: int
    rows_ok: int
    rows_quarantined: int
    reasons: tuple[str, ...] = ()
    renamed: dict[str, str] | None = None
    extra: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """A batch after its contract.

    Attributes:
        batch: Digest of the batch.
        contract: Digest of the contract's record.
        rows_repaired: Rows kept with at least one repair.
        repairs: Column to repair (`alias`, `trim`, `strip`, `decimal_comma`, `format`, `missing`, `default`) to the
            number of kept rows it was applied to.
        reasons: Reason to number of quarantined rows that have it; a row may have several.
        quarantine: Artifact (Parquet) of quarantined rows, or None.
        rows: Artifact (Parquet) of kept rows, ordered by file name and line.
        columns: Name to type of the kept rows' columns.
        warnings: Reason to number of rows that break a rule which only warns.
        compared: What the batch was compared with: `previous` and the datasets referred to, to their snapshot's digest.
        known_until: When the youngest file became known; when it was pulled for a batch without files.
    """

    dataset: str
    batch: Digest
    contract: Digest
    contract_version: str
    rows_in: int
    rows_ok: int
    rows_quarantined: int
    rows_repaired: int
    repairs: dict[str, dict[str, int]]
    reasons: dict[str, int]
    files: tuple[CheckedFile, ...]
    quarantine: Digest | None
    rows: Digest
    columns: dict[str, str]
    known_until: datetime
    checked_at: datetime
    warnings: dict[str, int] = field(default_factory=dict)
    compared: dict[str, Digest] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """One row that was kept out, as it stood in its file.

    Attributes:
        row: Line number in the file; the header is line 1.
        raw: The line's text. The file's exact bytes stay in the artifact store under `digest`.
        reasons: Every reason, in the order of the columns.
    """

    file: str
    digest: Digest
    row: int
    raw: str
    reasons: tuple[str, ...]
