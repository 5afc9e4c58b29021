"""What one look at a rollout finds: the verdict on each version that is tried, and the shares that a bandit draws from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from keelway.app.wire import Workspace

if TYPE_CHECKING:
    from keelway.deploy import ArmVerdict, NextMove, RolloutScene
    from keelway.deploy.analysis import ArmFigures, Moments, RateCounts, RolloutEvidence
    from keelway.ledger import Transaction
    from keelway.monitor.rollout import SegmentCache

NOTICEABLE = 0.02
"""A bandit's shares are drawn anew once an arm's would change by so much."""


def verdicts_of(scene: RolloutScene, *, tx: Transaction, at: Workspace, now: datetime) -> list[ArmVerdict]:
    """Return the verdict on each version that is tried; none where the stage compares nothing."""
    from keelway.deploy import ArmVerdict, failing_part
    from keelway.deploy.analysis import judge

    if not scene.is_judged:
        return []
    analysis = scene.start.plan.analysis
    part = failing_part(scene.start.plan, scene.draws)
    found = []
    for arm, version in scene.arms:
        evidence = _evidence(scene, arm, tx=tx, at=at, now=now)
        found.append(ArmVerdict(arm, version, judge(analysis, evidence, part=part)))
    return found


def bandit_shares(
    scene: RolloutScene,
    verdicts: Sequence[ArmVerdict],
    move: NextMove,
    *,
    tx: Transaction,
    at: Workspace,
    now: datetime,
) -> dict[str, float] | None:
    """Return the shares that Thompson's bandit gives its arms from here on; None where they stay as they are.

    What is believed of an arm comes from all steps of the rollout. Shares are drawn anew once each arm had the minimum of
    requests since they were drawn last, from a seed that the deployment's digest gives.
    """
    from keelway.deploy import trial_shares
    from keelway.deploy.analysis import thompson_shares

    plan, held = scene.start.plan, scene.standing.deployment
    believable = verdicts and all(each.verdict.outcome in ("inconclusive", "success") for each in verdicts)
    if plan.strategy != "bandit" or move.move != "hold" or move.dropped or not believable:
        return None
    if min(min(each.verdict.requests) for each in verdicts) < plan.analysis.minimum:
        return None
    metric = plan.analysis.metrics[0]
    shares = thompson_shares(
        _beliefs(scene, metric.name, tx=tx, at=at, now=now),
        seed=int(scene.standing.digest[-8:], 16),
        greater_is_better=metric.higher_is_better,
        floor=plan.floor,
    )
    before = trial_shares(held, plan.stages[held.stage].percent)
    noticed = any(abs(share - before.get(arm, 0.0)) >= NOTICEABLE for arm, share in shares.items())
    return shares if noticed else None


def _evidence(
    scene: RolloutScene, arm: str, *, tx: Transaction, at: Workspace, now: datetime, step: int | None = None
) -> RolloutEvidence:
    """Return what is known of an arm and its control, over the whole rollout or over one of its steps."""
    from keelway.monitor.rollout import rollout_evidence

    declared = at.project.model(scene.start.model)
    version = dict(scene.arms)[arm]
    return rollout_evidence(
        scene.start,
        scene.steps if step is None else scene.steps[step : step + 1],
        arm,
        analysis=scene.start.plan.analysis,
        tx=tx,
        artifacts=at.artifacts,
        now=now,
        version=version,
        label=declared.label.name,
        business=declared.business,
        cache=_cache_of(at),
    )


@lru_cache(maxsize=2)
def _cache_of(at: Workspace) -> SegmentCache:  # noqa: ARG001 - one for each project that a process looks at
    """Return what keeps the parts of the log that were read, for the next look."""
    from keelway.monitor.rollout import SegmentCache

    return SegmentCache()


def _beliefs(
    scene: RolloutScene, figure: str, *, tx: Transaction, at: Workspace, now: datetime
) -> Mapping[str, RateCounts] | Mapping[str, Moments]:
    """Return tallies or moments of a figure by arm, added up over the steps of the rollout.

    An entity that comes back after shares were drawn anew counts once in each step.
    """
    from keelway.deploy.analysis import Moments, RateCounts

    rates: dict[str, RateCounts] = {}
    means: dict[str, Moments] = {}
    for step in range(len(scene.steps)):
        for number, (arm, _) in enumerate(scene.arms):
            evidence = _evidence(scene, arm, tx=tx, at=at, now=now, step=step)
            sides: list[ArmFigures] = [evidence.treatment, *([evidence.control] if not number else [])]
            for side in sides:
                if (tally := side.tallies.get(figure)) is not None:
                    known = rates.get(side.arm, RateCounts(0, 0))
                    rates[side.arm] = RateCounts(known.count + tally.count, known.rows + tally.rows)
                if (moments := side.moments.get(figure)) is not None:
                    means[side.arm] = means.get(side.arm, Moments()).merged(moments)
    return rates or means
