"""What contract asks of the world: an engine that checks rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from keelway.contract.checked import CheckedFile, QuarantinedRow
from keelway.contract.contract import Contract
from keelway.ingest import RawFile


@dataclass(frozen=True, slots=True)
class Findings:
    """What a checker found, with the files it wrote.

    Attributes:
        rows: Parquet file of kept rows: the contract's columns, then `_known_at` (timestamp, UTC), `_file` (digest of
            the raw file) and `_row` (line number), ordered by file name and line.
        quarantine: Parquet file of the others: `file`, `digest`, `row`, `raw`, `reasons`; None when there are none.
        examples: At most five quarantined rows.
    """

    rows: Path
    quarantine: Path | None
    rows_repaired: int
    repairs: dict[str, dict[str, int]]
    reasons: dict[str, int]
    files: tuple[CheckedFile, ...]
    columns: dict[str, str]
    examples: tuple[QuarantinedRow, ...]


class Checker(Protocol):
    """Checks files against a contract.

    Promises: pure (the same bytes and contract give the same bytes out, whatever the number of threads); memory
    does not grow with the number of rows beyond a fixed limit; no row is lost (each line of each file that is not
    blank is kept or quarantined); a value is never changed but by a repair that the contract allows.
    """

    def check(
        self, files: Sequence[tuple[RawFile, Path]], contract: Contract, *, event_time: str, folder: Path
    ) -> Findings:
        """Check files, given with a local path to their bytes, and write the outcome into a folder.

        Raises:
            ContractError: A rule of the contract cannot be evaluated, such as a pattern that is no expression.
        """
        ...
