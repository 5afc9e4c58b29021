"""What one look at a rollout finds: the verdict on each version that is tried, and the shares that a bandit draws from it.

    view = rollout_view(rollout_scene(model, environment, tx), tx=tx, at=workspace, now=now, cache=cache)
    verdicts = view.verdicts()
    move = view.move(verdicts)

Everything that was kept is read once a look, however many arms and steps there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.app.wire import Workspace

if TYPE_CHECKING:
    from keelway.core import VersionName
    from keelway.deploy import ArmVerdict, Deployment, NextMove, RolloutScene
    from keelway.deploy.analysis import ArmFigures, Moments, RateCounts, RolloutEvidence
    from keelway.ledger import Transaction
    from keelway.monitor.rollout import RolloutReadings, SegmentCache
    from keelway.project import BusinessMetric

NOTICEABLE = 0.02
"""A bandit's shares are drawn anew once an arm's would change by so much."""


@dataclass(frozen=True, slots=True)
class RolloutView:
    """A rollout at one moment, with everything that was read about it.

    Attributes:
        now: When it is looked at.
        readings: None where its stage compares nothing.
        business: The model's business metrics.
    """

    scene: RolloutScene
    now: datetime
    readings: RolloutReadings | None = None
    business: tuple[BusinessMetric, ...] = ()

    def verdicts(self) -> list[ArmVerdict]:
        """Return the verdict on each version that is tried; none where the stage compares nothing."""
        from keelway.deploy import ArmVerdict, failing_part
        from keelway.deploy.analysis import judge

        if self.readings is None:
            return []
        scene, found = self.scene, []
        plan = scene.start.plan
        part = failing_part(plan, scene.draws)
        for arm, version in scene.arms:
            evidence = self._evidence(self.readings, scene.steps, arm, version)
            found.append(ArmVerdict(arm, version, judge(plan.analysis, evidence, part=part)))
        return found

    def move(self, verdicts: Sequence[ArmVerdict]) -> NextMove:
        """Return what verdicts lead to; where nothing moves, also why no requests reach a version."""
        from keelway.deploy import seen
        from keelway.monitor.rollout import unreached

        found = seen(self.scene, verdicts, self.now)
        if self.readings is None or found.move not in ("hold", "pause"):
            return found
        told = unreached(self.readings, self.scene.standing.deployment, verdicts)
        return replace(found, reasons=(*found.reasons, *told))

    def shares(self, verdicts: Sequence[ArmVerdict], move: NextMove) -> dict[str, float] | None:
        """Return the shares that Thompson's bandit gives its arms from here on; None where they stay as they are.

        What is believed of an arm comes from all steps of the rollout. Shares are drawn anew once each arm had the minimum of
        requests since they were drawn last, from a seed that the deployment's digest gives.
        """
        from keelway.deploy import trial_shares
        from keelway.deploy.analysis import thompson_shares

        plan, held = self.scene.start.plan, self.scene.standing.deployment
        believable = verdicts and all(each.verdict.outcome in ("inconclusive", "success") for each in verdicts)
        if self.readings is None or plan.strategy != "bandit" or move.move != "hold" or move.dropped or not believable:
            return None
        if min(min(each.verdict.requests) for each in verdicts) < plan.analysis.minimum:
            return None
        metric = plan.analysis.metrics[0]
        shares = thompson_shares(
            self._beliefs(self.readings, metric.name),
            seed=int(self.scene.standing.digest[-8:], 16),
            greater_is_better=metric.higher_is_better,
            floor=plan.floor,
        )
        before = trial_shares(held, plan.stages[held.stage].percent)
        noticed = any(abs(share - before.get(arm, 0.0)) >= NOTICEABLE for arm, share in shares.items())
        return shares if noticed else None

    def _evidence(
        self, readings: RolloutReadings, steps: Sequence[Deployment], arm: str, version: VersionName
    ) -> RolloutEvidence:
        """Return what is known of an arm and its control, over the whole rollout or over some of its steps."""
        from keelway.monitor.rollout import evidence_of

        analysis = self.scene.start.plan.analysis
        return evidence_of(readings, steps, arm, analysis=analysis, version=version, business=self.business)

    def _beliefs(self, readings: RolloutReadings, figure: str) -> Mapping[str, RateCounts] | Mapping[str, Moments]:
        """Return tallies or moments of a figure by arm, added up over the steps of the rollout.

        An entity that comes back after shares were drawn anew counts once in each step.
        """
        from keelway.deploy.analysis import Moments, RateCounts

        rates: dict[str, RateCounts] = {}
        means: dict[str, Moments] = {}
        for step in self.scene.steps:
            for number, (arm, version) in enumerate(self.scene.arms):
                evidence = self._evidence(readings, [step], arm, version)
                sides: list[ArmFigures] = [evidence.treatment, *([evidence.control] if not number else [])]
                for side in sides:
                    if (tally := side.tallies.get(figure)) is not None:
                        known = rates.get(side.arm, RateCounts(0, 0))
                        rates[side.arm] = RateCounts(known.count + tally.count, known.rows + tally.rows)
                    if (moments := side.moments.get(figure)) is not None:
                        means[side.arm] = means.get(side.arm, Moments()).merged(moments)
        return rates or means


def rollout_view(
    scene: RolloutScene, *, tx: Transaction, at: Workspace, now: datetime, cache: SegmentCache
) -> RolloutView:
    """Read what a look at a rollout needs.

    Args:
        cache: Keeps what was read of the log for the next look.
    """
    from keelway.monitor.rollout import rollout_readings

    if not scene.is_judged:
        return RolloutView(scene, now)
    start, declared = scene.start, at.project.model(scene.start.model)
    readings = rollout_readings(
        start.model, start.environment, since=scene.steps[0].at, analysis=start.plan.analysis, label=declared.label.name,
        business=declared.business, task=declared.task, tx=tx, artifacts=at.artifacts, now=now, cache=cache,
    )  # fmt: skip
    return RolloutView(scene, now, readings, declared.business)
