"""What of a dataset was kept out, for people to look at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keelway.app.wire import Workspace
from keelway.core import Action

if TYPE_CHECKING:
    from keelway.contract import HeldFile, HeldRow, Selection, StoppedBatch

READERS = ("data-scientist", "approver", "auditor", "admin")
"""Who may read quarantined rows in which a column names a person; they lie there as they came in."""
HIDDEN = "[hidden: the dataset has columns that name a person; --clear shows it]"
"""Stands for the text of a row that may name a person."""


@dataclass(frozen=True, slots=True)
class QuarantineReport:
    """What of a dataset was kept out, newest batch first.

    Attributes:
        files: By batch and file, with counts by reason; rows that were asked for by what became of them.
        rows: The rows themselves, at most as many as asked for.
        total_rows: How many rows were asked for in all.
        stopped: The batch that waits as a whole because its contract stops it, or None.
    """

    dataset: str
    files: tuple[HeldFile, ...]
    rows: tuple[HeldRow, ...]
    total_rows: int
    stopped: StoppedBatch | None


def quarantine_report(
    at: Workspace, dataset: str, selection: Selection, *, limit: int, personal: bool, clear: bool = False
) -> QuarantineReport:
    """Return what a selection finds in the quarantine of a dataset.

    Args:
        personal: Whether the rows that are asked for may name a person; their text is hidden then.
        clear: Show it nevertheless.

    Raises:
        IdentityError: The text names persons, is asked for, and the actor may not read it.
    """
    from keelway.contract import quarantined, quarantined_files, stopped_batch
    from keelway.identity import on_record, require_role

    if personal and clear:
        with on_record(Action.CHECK, dataset, principal=at.principal, state=at.state, now=at.now()):
            require_role(at.principal, *READERS)
    with at.state.snapshot() as tx:
        files = quarantined_files(dataset, selection, tx=tx, artifacts=at.artifacts)
        rows = quarantined(dataset, selection, tx=tx, artifacts=at.artifacts, limit=limit) if limit else []
        stopped = stopped_batch(dataset, tx)
    if personal and not clear:
        rows = [replace(row, raw=HIDDEN) for row in rows]
    total = sum(sum(file.rows.values()) for file in files)
    return QuarantineReport(dataset, tuple(files), tuple(rows), total, stopped)
