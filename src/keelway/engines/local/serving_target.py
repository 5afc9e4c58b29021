"""The target that is there without any other: serving processes that read the state of the project every second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelway.deploy import ObservedTraffic, TargetCapabilities, current
from keelway.serve import present_replicas

if TYPE_CHECKING:
    from keelway.core import Clock
    from keelway.deploy import Deployment, ServingTarget
    from keelway.ledger import StateStore


class LocalTarget:
    """Processes that follow the ledger's pointer by themselves, on one machine or on several, and say what they answer by."""

    name = "local"
    capabilities = TargetCapabilities(sticky=True, shadows=True)

    def __init__(self, state: StateStore, clock: Clock) -> None:
        self._state, self._clock = state, clock

    def apply(self, deployment: Deployment) -> None:
        """Do nothing: the pointer that processes follow was moved with the decision, and is never older than `deployment`."""

    def observed(self, model: str, environment: str) -> ObservedTraffic:
        """Return where the pointer stands, and what processes said last."""
        with self._state.snapshot() as tx:
            deployment = current(model, environment, tx)
            replicas = present_replicas(model, environment, now=self._clock.now(), tx=tx)
        return ObservedTraffic(deployment.number if deployment else None, replicas)


if TYPE_CHECKING:
    _: type[ServingTarget] = LocalTarget
