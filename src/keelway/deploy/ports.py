"""What deployments ask of the world: a target, the place where the versions of an environment answer.

    target.apply(deployment)                    # what the ledger wants, whole; again and again does no harm
    target.observed("churn", "prod").replicas   # what each replica answers by, as the target says

The ledger decides, a target follows: it is told after the pointer moved, outside of that transaction, and whatever it
does or fails to do changes no decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from keelway.deploy.record import Deployment


@dataclass(frozen=True, slots=True)
class TargetCapabilities:
    """What a target can do with traffic.

    Attributes:
        sticky: Whether an entity stays in its arm: buckets are assigned as `Deployment.arm_of` says, not by chance.
        shadows: Whether versions get copies of requests and answer nobody.
        most_versions: How many versions may share the traffic at once; None for any number.
    """

    sticky: bool
    shadows: bool
    most_versions: int | None = None


@dataclass(frozen=True, slots=True)
class ObservedReplica:
    """One process, pod or served entity that answers, as the target says.

    Attributes:
        name: Unique for the model in the environment.
        deployment: The number of the deployment that it answers by; None before any.
        since: Since when it does; None before.
        problem: Why it is not ready, or not as it should be; empty where nothing is wrong.
        silent_since: When it was last heard of, where that is too long ago; it may be gone, or only not be heard.
    """

    name: str
    deployment: int | None
    since: datetime | None = None
    problem: str = ""
    silent_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class ObservedTraffic:
    """What a target says of a model in an environment.

    Attributes:
        held: The number of the newest deployment that it took; None before any.
        replicas: By name.
    """

    held: int | None = None
    replicas: tuple[ObservedReplica, ...] = ()

    def lagging(self, wanted: int) -> tuple[ObservedReplica, ...]:
        """Return the replicas that are heard of and answer by another deployment than the wanted one, or by none."""
        return tuple(each for each in self.replicas if each.deployment != wanted and each.silent_since is None)

    def silent(self) -> tuple[ObservedReplica, ...]:
        """Return the replicas that are not heard of any more: nobody can wait for them, or say that they are gone."""
        return tuple(each for each in self.replicas if each.silent_since is not None)


class ServingTarget(Protocol):
    """The place where the versions of an environment answer.

    Promises: safe for several threads and processes at once. Deployments of a model in an environment are ordered by their
    number: the newest one that was ever taken holds, whatever comes late. A call that fails may have been heard or not;
    making it again is right either way.

    Two targets that are not built yet would keep this so:

    - **Kubernetes** (Gateway API). `apply`: server-side apply, as one field manager, of one Deployment a version and of an HTTPRoute
      with a weight a version and a `RequestMirror` filter a shadow. The number stands in an annotation of the HTTPRoute,
      which is written last and only over the `resourceVersion` at which a smaller one was read; a conflict is read and tried again.
      `observed`: `held` from that annotation; a replica is a pod, by the number its template was labelled with and its condition
      `Ready`. `capabilities`: weights are drawn for each request, so not sticky, unless the pods are servers of Keelway that share
      the traffic themselves.
    - **Databricks Model Serving**. `apply`: one update of the endpoint's config, with a served entity a version and whole
      percentages in `traffic_config`; the number is in the names of the served entities, and a config with a larger one is left as it
      is. An endpoint refuses a config while it takes another: that is an EngineError, and the next call brings what is wanted by
      then. `observed`: `held` from `pending_config`, else from `config`; a replica is a served entity with its state.
      `capabilities`: neither sticky nor shadows.
    """

    @property
    def name(self) -> str:
        """What people call it: the setting `environments.NAME.target`."""
        ...

    @property
    def capabilities(self) -> TargetCapabilities:
        """What it can do; the same in every call."""
        ...

    def apply(self, deployment: Deployment) -> None:
        """Take what is wanted, whole; return when it will outlive a crash, without waiting for replicas.

        A deployment with a smaller number than one that was taken before changes nothing, and the same one again nothing
        either. One with a larger number takes the place of what replicas are still getting ready for.

        Args:
            deployment: The one that the ledger's pointer holds.

        Raises:
            EngineError: It may not have been taken.
        """
        ...

    def observed(self, model: str, environment: str) -> ObservedTraffic:
        """Return what is there now, as it is, not as it was asked for.

        A replica that is not heard of any more is told as silent, with its last words, until it is known to be gone.

        Raises:
            EngineError: It cannot be told.
        """
        ...
