"""Says whether a contract stops a batch as a whole, by its files."""

from __future__ import annotations

from collections.abc import Sequence

from keelway.contract.checked import CheckedFile
from keelway.contract.contract import Contract, UnknownColumns


def reasons_to_stop(files: Sequence[CheckedFile], contract: Contract) -> tuple[str, ...]:
    """Return why a contract stops a batch of these files: too many rows quarantined, or unknown columns."""
    reasons = []
    limit = contract.stop_at_quarantined_share
    rows = sum(file.rows_in for file in files)
    bad = sum(file.rows_quarantined for file in files)
    if bad > limit * rows:
        reasons.append(f"{bad} of {rows} rows ({bad / rows:.1%}) would be quarantined, at most {limit:.1%} may be")
    if contract.unknown_columns is UnknownColumns.STOP:
        reasons += [f"{file.name} has unknown columns: {', '.join(file.extra)}" for file in files if file.extra]
    return tuple(reasons)
