"""What contract asks of the world: an engine that checks rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from keelway.contract.checked import CheckedFile, QuarantinedRow
from keelway.contract.contract import Column, Contract
from keelway.ingest import RawFile


@dataclass(frozen=True, slots=True)
class Against:
    """The versions that a batch is compared with, as Parquet files.

    Attributes:
        previous: The dataset's version before: for keys that must not come again, and for distributions.
        references: Dataset to the files of its newest version: for rows that refer to it.
    """

    previous: tuple[Path, ...] = ()
    references: dict[str, tuple[Path, ...]] = field(default_factory=dict)


class Tokenizer(Protocol):
    """Gives values that name a person their tokens.

    Promises: the same value of the same column class has the same token in every batch, until it is erased;
    different values have different tokens; nothing but its keys allows to tell a value from its token.
    """

    def tokens(self, values: Sequence[str], column: Column) -> list[str]:
        """Return the token of each value, in order; values are distinct and not null."""
        ...


@dataclass(frozen=True, slots=True)
class Findings:
    """What a checker found, with the files it wrote.

    Attributes:
        rows: None where they were not asked for; else a Parquet file of kept rows: the contract's columns, then `_known_at` (timestamp, UTC), `_file` (digest of
            the raw file) and `_row` (line number), ordered by file name and line.
        quarantine: Parquet file of the others: `file`, `digest`, `row`, `raw`, `reasons`; None when there are none.
        examples: At most five quarantined rows.
        warnings: Reason to number of rows (1 for a rule on the whole batch) that break a rule of severity `warn`.
        stops: What breaks a rule of severity `stop`, with the figures found.
    """

    rows: Path | None
    quarantine: Path | None
    rows_repaired: int
    repairs: dict[str, dict[str, int]]
    reasons: dict[str, int]
    files: tuple[CheckedFile, ...]
    columns: dict[str, str]
    examples: tuple[QuarantinedRow, ...]
    warnings: dict[str, int] = field(default_factory=dict)
    stops: tuple[str, ...] = ()


NOTHING = Against()


class Checker(Protocol):
    """Checks files against a contract.

    Promises: pure (the same bytes and contract give the same bytes out, whatever the number of threads); memory
    does not grow with the number of rows beyond a fixed limit; no row is lost (each line of each file that is not
    blank is kept or quarantined); a value is never changed but by a repair that the contract allows.
    """

    def check(
        self,
        files: Sequence[tuple[RawFile, Path]],
        contract: Contract,
        *,
        event_time: str,
        folder: Path,
        against: Against = NOTHING,
        tokenizer: Tokenizer | None = None,
        waived: frozenset[str] = frozenset(),
        keep: bool = True,
    ) -> Findings:
        """Check files, given with a local path to their bytes, and write the outcome into a folder.

        Args:
            event_time: The column that says when a row happened; a row without it is quarantined.
            against: What the batch is compared with.
            tokenizer: Needed where the contract has columns that name a person; kept rows then hold tokens.
            waived: Reasons that are not held against a row, because somebody released it.
            keep: Whether the kept rows are written; a check that loads nothing does not need them.

        Raises:
            ContractError: A rule of the contract cannot be evaluated, such as a pattern that is no expression.
        """
        ...
