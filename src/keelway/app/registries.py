"""The registries that show what the environments' pointers hold: compared with them, healed, and told of."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.app.wire import Workspace, database_url
from keelway.core import Action
from keelway.errors import KeelwayError, UsageError

if TYPE_CHECKING:
    from keelway.promote import AliasDrift, AliasKeeper, UnsafeSkipGate


@dataclass(frozen=True, slots=True)
class DoorCheck:
    """What a scheduled look at the door found.

    Attributes:
        drifted: Aliases that do not show the pointers.
        raised: Those of them for which an alert was recorded now.
        expired: Versions that were let in past the gate and should not stand any more.
    """

    drifted: tuple[AliasDrift, ...]
    raised: tuple[AliasDrift, ...]
    expired: tuple[UnsafeSkipGate, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.drifted and not self.expired


class Registries:
    """Use cases of those who look after registries."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def look(self) -> tuple[AliasDrift, ...]:
        """Return the aliases that do not show the pointers; none where no registry is kept."""
        from keelway.promote import alias_drift

        at = self._at
        kept = registries(at)
        if not kept:
            return ()
        writers = {name: one.registry_writers for name, one in at.settings.environments.items()}
        models: list[str] = []
        with contextlib.suppress(KeelwayError):  # a project that does not load hides no edit of what is live
            models = [model.name for model in at.project.models]
        with at.state.snapshot() as tx:
            found = alias_drift(tx, tracker=at.tracker, registries=kept, writers=writers, models=models)
        return tuple(one for one in found if one.environment in kept)

    def check(self) -> DoorCheck:
        """Look at aliases and skipped gates; record an alert for each alias that was edited past the door."""
        from keelway.promote import alert_drift, expired_skips

        at = self._at
        drifted = self.look()
        raised = alert_drift(drifted, principal=at.principal.id, state=at.state, now=at.now())
        with at.state.snapshot() as tx:
            return DoorCheck(drifted, raised, expired_skips(tx=tx, now=at.now()))

    def sync(self) -> tuple[AliasDrift, ...]:
        """Let every alias show its pointer again, alerts first; return those that could not be moved.

        Raises:
            UsageError: No registry is kept.
        """
        from keelway.identity import on_record, require_role
        from keelway.promote import alert_drift, heal_aliases

        at = self._at
        with on_record(Action.CHECK, "registry aliases", principal=at.principal, state=at.state, now=at.now()):
            require_role(at.principal, "deployer", "admin")
        kept = registries(at)
        if not kept:
            raise UsageError(
                "No registry is kept",
                expected="engines.tracking, or environments.NAME.registry",
                found="neither",
                fix="Name one in keelway.toml.",
            )
        drifted = self.look()
        alert_drift(drifted, principal=at.principal.id, state=at.state, now=at.now())
        return heal_aliases(drifted, tracker=at.tracker, registries=kept, state=at.state)

    def heal(self) -> tuple[AliasDrift, ...]:
        """Move the aliases that were left behind, and return the others: edited, or not to be moved now."""
        from keelway.promote import heal_aliases

        at = self._at
        drifted = self.look()
        behind = [one for one in drifted if not one.edited]
        left = heal_aliases(behind, tracker=at.tracker, registries=registries(at), state=at.state)
        return tuple(one for one in drifted if one.edited or one in left)


def registry_of(environment: str, *, at: Workspace) -> AliasKeeper:
    """Return the registry that shows an environment: its own, or that of the tracking store."""
    url = at.environment(environment).registry or at.settings.engines.tracking
    if not url:
        return at.tracker
    from keelway.engines.mlflow.registry import MlflowRegistry

    return MlflowRegistry(database_url(url, root=at.root))


def registries(at: Workspace) -> dict[str, AliasKeeper]:
    """Return the registries of all environments that something can be let into, by name."""
    return {
        name: registry_of(name, at=at)
        for name, one in at.settings.environments.items()
        if one.policy and (one.registry or at.settings.engines.tracking)
    }
