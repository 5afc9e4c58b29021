"""Keeping the prediction log small: the segments of servers moved into columnar files."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keelway.app.persons import log_store
from keelway.app.wire import Workspace

if TYPE_CHECKING:
    from keelway.core import ArtifactStore
    from keelway.serve import LogCompaction


def compact_log(
    model: str, environment: str, *, before: datetime | None, every: timedelta | None, at: Workspace
) -> LogCompaction:
    """Move what was sealed before a moment into columnar files, an hour at a time.

    Args:
        before: None for the beginning of this hour.
        every: Leave it to whoever began to do so less than this ago; None does it in any case.

    Raises:
        ConflictError: Others change the log all the time.
        IntegrityError: A segment is not what was sealed.
        UsageError: There is no such model or environment.
    """
    from keelway.serve import SealingPorts, compact_segments

    at.environment(environment)
    end = before or at.now().replace(minute=0, second=0, microsecond=0)
    store = _store(model, environment, end, at)
    ports = SealingPorts(at.state, store, at.principal.id)
    return compact_segments(model, environment, before=end, ports=ports, now=at.now(), every=every)


def _store(model: str, environment: str, end: datetime, at: Workspace) -> ArtifactStore:
    """Return where files are kept: sealed where the model's datasets name persons, or did when something was logged."""
    from keelway.serve import waiting_segments

    store = log_store(at.project.model(model), at=at)
    if not at.safe.vault_path.exists():
        return store
    with at.state.snapshot() as tx:
        waiting = waiting_segments(model, environment, tx, until=end)
    was_sealed = any(at.artifacts.seals_of(each.data) is not None for each in waiting)
    return at.personal.artifacts if was_sealed else store
