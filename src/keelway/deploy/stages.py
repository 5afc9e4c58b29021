"""Which traffic a stage of a rollout means: who answers for which buckets, who listens, and which trial holds them.

A trial outside of any layer takes its part of all entities, and `stable` is what it is compared with. So it is with one in
a layer, but that only the entities of its own buckets there take part, and inside it the arm `control` keeps the version in
use. Trials of several versions have a `control` of the size of the others, wherever they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.core import VersionName
from keelway.deploy.buckets import BUCKETS
from keelway.deploy.layers import NOBODY, Allocation
from keelway.deploy.record import CANARY, CONTROL, EVERYBODY, STABLE, Deployment, Strategy
from keelway.deploy.rollouts import RolloutStart

if TYPE_CHECKING:
    from keelway.project import Rollout

ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class DesiredTraffic:
    """Traffic that somebody wants; see `Deployment`."""

    stable: VersionName
    traffic: dict[VersionName, int]
    salt: str
    strategy: Strategy = "all"
    shadows: tuple[VersionName, ...] = ()
    allocation: Allocation = EVERYBODY
    rollout: str = ""
    stage: int = 0
    layer: str = ""
    members: Allocation = EVERYBODY

    @property
    def versions(self) -> tuple[VersionName, ...]:
        """Every version that is to be loaded."""
        return (*self.traffic, *self.shadows)

    def is_that_of(self, deployment: Deployment) -> bool:
        """Say whether a deployment gives this traffic already."""
        return (deployment.stable, deployment.traffic, deployment.shadows, deployment.rollout) == (
            self.stable, self.traffic, self.shadows, self.rollout,
        )  # fmt: skip


def all_traffic(version: VersionName, environment: str) -> DesiredTraffic:
    """Return the traffic in which one version answers everything."""
    return DesiredTraffic(version, {version: 100}, f"{environment}/{version}")


def stage_traffic(
    start: RolloutStart,
    stage: int,
    *,
    before: Deployment,
    members: Allocation = EVERYBODY,
    shares: Mapping[str, float] | None = None,
) -> DesiredTraffic:
    """Return the traffic of a stage that moves the fewest entities.

    Args:
        before: The traffic as it is.
        members: Which buckets of its layer the trial holds.
        shares: Of the arms of a trial of several; None for equal ones. What they leave of 1 is in the trial no more.
    """
    rollout, declared = start.plan, start.plan.stages[stage]
    salt = f"{start.environment}/{'+'.join(start.treatments)}"
    wanted = _shares(start, rollout, stage, members=members, shares=shares)
    same = before.allocation.salt == salt
    allocation = before.allocation.changed(wanted) if same else Allocation.of(wanted, salt=salt)
    traffic = _percent(start, allocation, members, mirrored=declared.mirror)
    return DesiredTraffic(
        start.control, traffic, salt, rollout.strategy if rollout.strategy != "all_at_once" else "all",
        start.treatments if declared.mirror else (), allocation, start.rollout, stage, rollout.layer, members,
    )  # fmt: skip


def part_of_layer(rollout: Rollout) -> float:
    """Return the percent of its layer that a trial holds from its beginning to its end; a canary's control is as large."""
    largest = max(stage.percent for stage in rollout.stages)
    return largest if rollout.several else min(2 * largest, 100)


def trial_shares(deployment: Deployment, percent: float) -> dict[str, float]:
    """Return the share of each arm of a trial of several, as `stage_traffic` takes them to leave everything as it is.

    Args:
        percent: Of the entities that take part at this stage.
    """
    whole = BUCKETS * (1.0 if deployment.members.starts else percent / 100)
    counts = deployment.allocation.counts()
    return {arm: count / whole for arm, count in counts.items() if arm != STABLE}


def _shares(
    start: RolloutStart, rollout: Rollout, stage: int, *, members: Allocation, shares: Mapping[str, float] | None
) -> dict[str, float]:
    """Return what each arm is to have, in the order of their buckets; of all entities, or of those in the trial."""
    percent = float(rollout.stages[stage].percent)
    layered = bool(members.starts)
    if rollout.several:
        arms = (CONTROL, *start.treatments)
        parts = shares or dict.fromkeys(arms, 1 / len(arms))
        found = {arm: parts[arm] * percent for arm in arms if arm in parts}
        rest = (percent if layered else 100.0) - sum(found.values())
        return {**found, STABLE: rest if rest > ROUNDING else 0.0}
    whole = part_of_layer(rollout) if layered else 100.0
    return {CANARY: percent, CONTROL if layered else STABLE: whole - percent}


def _percent(
    start: RolloutStart, allocation: Allocation, members: Allocation, *, mirrored: bool
) -> dict[VersionName, int]:
    """Return the traffic by version, in whole percent that sum to 100; who waits has 0."""
    inside = 1 - members.counts().get(NOBODY, 0) / BUCKETS if members.starts else 1.0
    counts = allocation.counts()
    tried = {} if mirrored else {
        version: counts.get(version, counts.get(CANARY, 0) if len(start.treatments) == 1 else 0)
        for version in start.treatments
    }  # fmt: skip
    percent = {version: round(count / BUCKETS * inside * 100) for version, count in tried.items()}
    return {start.control: 100 - sum(percent.values()), **percent}
