"""Garbage collection of the project's artifacts, by the times that its settings give."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keelway.app.tracking import journals_of
from keelway.app.wire import Workspace
from keelway.core import SystemClock

if TYPE_CHECKING:
    from keelway.engines.local.artifacts import LocalArtifacts
    from keelway.engines.obstore import ObjectArtifacts
    from keelway.register import Collection, RetentionRules


class CollectRoom:
    """Use cases of those who keep the store small."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def collect(self, *, dry_run: bool = False) -> Collection:
        """Remove the artifacts that nothing needs any more, or only say which.

        Raises:
            IdentityError: Only an admin removes.
            NotImplementedError: The artifacts lie in a store that cannot tell their age.
        """
        from keelway.engines.obstore import ObjectArtifacts
        from keelway.register import collect
        from keelway.serve import replaced_data

        at, store = self._at, self._store()
        rules = self._rules()
        now = min(at.now(), SystemClock().now())  # files are as old as this machine says, whatever --now says
        if isinstance(store, ObjectArtifacts) and not dry_run:
            now = min(now, store.clock())  # objects are as old as their store says
        return collect(
            store=store,
            state=at.state,
            rules=rules,
            principal=at.principal,
            now=now,
            running=journals_of(at).running(),
            replaced=lambda tx: replaced_data(tx, before=now - rules.unreferenced),
            dry_run=dry_run,
        )

    def _store(self) -> LocalArtifacts | ObjectArtifacts:
        from keelway.engines.local.artifacts import LocalArtifacts
        from keelway.engines.obstore import ObjectArtifacts

        store = self._at.artifacts.unopened
        if not isinstance(store, LocalArtifacts | ObjectArtifacts):
            raise NotImplementedError("artifacts of this kind of store cannot be collected")
        return store

    def _rules(self) -> RetentionRules:
        from keelway.register import RetentionRules

        told = self._at.settings.retention
        return RetentionRules(
            unreferenced=timedelta(days=told.unreferenced_days),
            retired=timedelta(days=told.retired_days) if told.retired_days else None,
            evidence=timedelta(days=told.evidence_days) if told.evidence_days else None,
        )
