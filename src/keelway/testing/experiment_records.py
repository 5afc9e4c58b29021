"""The records of simulated rollouts, as a server would leave them: what a report is told from.

records = told([canary(seed=1), canary(seed=2)], Rollout.canary("prod", steps=(10, 50)))  # one treatment, stage by stage
records = trial(seed=1, looks=30)                                   # two treatments against a control, with CUPED
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from keelway.core import (
    Action,
    Decision,
    Digest,
    Environment,
    PointerMove,
    PrincipalId,
    VersionName,
    digest_bytes,
    digest_of,
    plain,
    split_version,
)
from keelway.deploy import ArmVerdict, Deployment, Move, RolloutLook, RolloutStart, RolloutState, next_move, pointer_of
from keelway.deploy.analysis import ArmFigures, Moments, Phase, RateCounts, RolloutEvidence, judge, moments_of
from keelway.ledger import StateStore, record_decision
from keelway.project import Analysis, Guardrail, Metric, Rollout
from keelway.report import ExperimentRecords

BEGAN = datetime(2026, 3, 2, 8, tzinfo=UTC)
CONTROL = VersionName("churn:1")
WHO = PrincipalId("sp:release")
STATES: dict[str, RolloutState] = {"back": "back", "pause": "paused", "finish": "finished"}
_Look = Sequence[tuple[str, RolloutEvidence]]
TRIAL = Analysis(
    (Guardrail("error_rate", margin=0.01),),
    (Metric("conversion"), Metric("spent", "mean", goal="not worse", margin=1.0)),
    comparisons=2,
    planned=2_000,
)


def told(
    stages: Iterable[Iterable[RolloutEvidence]],
    plan: Rollout,
    *,
    model: str = "churn",
    every: timedelta = timedelta(minutes=30),
    last: Move | None = None,
) -> ExperimentRecords:
    """Return the records of a rollout with one treatment, judged until it is decided.

    Args:
        stages: The evidence of each stage, one look after another.
        plan: What was declared.
        model: Its name.
        every: Between two looks.
        last: What the newest look leads to, where it does not follow from the verdict.
    """
    looks = (([(each.treatment.arm, each)] for each in stage) for stage in stages)
    return _records(looks, plan, (VersionName(f"{model}:2"),), every=every, last=last)


def trial(
    *,
    seed: int,
    looks: int = 30,
    rates: Sequence[float] = (0.10, 0.10, 0.13),
    plan: Rollout | None = None,
    every: timedelta = timedelta(hours=12),
    last: Move | None = None,
) -> ExperimentRecords:
    """Return the records of a control and treatments that convert at these rates, and spend what they spent before.

    Args:
        seed: Decides everything.
        looks: How many, a day's worth of 2,000 entities between two.
        rates: Of the control and of each treatment.
        plan: What was declared.
        every: Between two looks.
        last: What the newest look leads to.
    """
    declared = plan or Rollout.ab("prod", analysis=TRIAL)
    versions = tuple(VersionName(f"churn:{number}") for number in range(2, len(rates) + 1))
    return _records([_trial_looks(seed, looks, rates, versions)], declared, versions, every=every, last=last)


def store_rollout(records: ExperimentRecords, state: StateStore, *, rollout: str = "r1") -> RolloutStart:
    """Store the records of a rollout as `deploy` does, each change of the traffic with its decision; return the beginning.

    What ended the rollout is no step of it.
    """
    start = replace(records.start, rollout=rollout)
    place, pointer = f"{start.environment}/{start.model}", pointer_of(start.model, start.environment)
    looks = [replace(look, rollout=rollout) for look in records.looks]
    last = records.deployments[-1] if records.state in ("finished", "back") else None
    with state.transaction() as tx:
        tx.insert(f"{place}/{rollout}", start, parent=place, at=start.at)
        for look in looks:
            tx.insert(f"{start.place}/{look.number:06d}", look, parent=start.place, at=look.at)
        for deployment in records.deployments:
            number = tx.count(Deployment, parent=place) + 1
            kept = replace(deployment, number=number, rollout="" if deployment is last else rollout)
            digest, before = tx.insert(f"{place}/{number}", kept, parent=place, at=kept.at), tx.pointer(pointer)
            target = before.target if before else None
            tx.move(pointer, before=target, after=digest, at=kept.at)
            evidence = {"deployment": digest} | ({"look": digest_of(looks[-1])} if deployment is last else {})
            told = replace(_decision(start, kept), evidence=evidence, moves=(PointerMove(pointer, target, digest),))
            record_decision(told, tx=tx)
    return start


def _trial_looks(seed: int, looks: int, rates: Sequence[float], versions: Sequence[str]) -> Iterator[_Look]:
    import numpy as np

    generator = np.random.default_rng(seed)
    arms = ("control", *versions)
    spent = dict.fromkeys(arms, Moments())
    sold, rows = dict.fromkeys(arms, 0), dict.fromkeys(arms, 0)
    for _ in range(looks):
        for arm, rate, count in zip(
            arms, rates, generator.multinomial(2_000, [1 / len(arms)] * len(arms)), strict=True
        ):
            before = generator.exponential(20.0, count)
            spent[arm] = spent[arm].merged(moments_of(before + generator.normal(0, 10, count), before))
            sold[arm] += int(generator.binomial(count, rate))
            rows[arm] += int(count)
        shares, counts = dict.fromkeys(arms, 1 / len(arms)), dict(rows)
        figures = {
            arm: ArmFigures(
                arm,
                rows[arm],
                tallies={"conversion": RateCounts(sold[arm], rows[arm]), "error_rate": RateCounts(0, rows[arm])},
                moments={"spent": spent[arm]},
            )
            for arm in arms
        }
        yield [(arm, RolloutEvidence(figures["control"], figures[arm], (Phase(shares, counts),))) for arm in versions]


def _records(
    stages: Iterable[Iterable[_Look]],
    plan: Rollout,
    versions: tuple[VersionName, ...],
    *,
    every: timedelta,
    last: Move | None,
) -> ExperimentRecords:
    """Judge every look, and move on as `next_move` says."""
    model = split_version(versions[0])[0]
    control = VersionName(f"{model}:1")
    start = RolloutStart("r1", model, Environment(plan.environment), plain(plan), control, versions, BEGAN, WHO)
    deployments: list[Deployment] = []
    looks: list[RolloutLook] = []
    for stage, evidence in enumerate(stages):
        since = looks[-1].at if looks else BEGAN
        deployments.append(_deployment(start, len(deployments) + 1, _shares(start, stage), since, stage))
        for arms in evidence:
            verdicts = tuple(
                ArmVerdict(arm, version, judge(plan.analysis, each))
                for version, (arm, each) in zip(versions, arms, strict=True)
            )
            at = BEGAN + (len(looks) + 1) * every
            found = next_move(plan, stage, since, verdicts, at)
            number, digest = len(looks) + 1, digest_of(deployments[-1])
            place = (model, start.environment, start.rollout, stage, number, digest, control)
            looks.append(RolloutLook(*place, verdicts, found.move, found.reasons, at))
            if found.move != "hold":
                break
        if looks and looks[-1].move not in ("hold", "advance"):
            break
    if last is not None and looks:
        looks[-1] = replace(looks[-1], move=last)
    return _ended(start, looks, deployments)


def _ended(start: RolloutStart, looks: list[RolloutLook], deployments: list[Deployment]) -> ExperimentRecords:
    move = looks[-1].move if looks else "hold"
    if move in ("back", "finish"):
        winner = start.control if move == "back" else start.treatments[-1]
        last = deployments[-1]
        deployments.append(_deployment(start, last.number + 1, {winner: 100}, looks[-1].at, last.stage))
    decisions = tuple((number, _decision(start, deployment)) for number, deployment in enumerate(deployments, start=41))
    return ExperimentRecords(start, tuple(looks), (), tuple(deployments), decisions, STATES.get(move, "running"))


def _shares(start: RolloutStart, stage: int) -> dict[VersionName, int]:
    plan = start.plan
    if plan.several:
        each = 100 // (len(start.treatments) + 1)
        return {start.control: 100 - each * len(start.treatments), **dict.fromkeys(start.treatments, each)}
    percent = plan.stages[stage].percent
    return {start.control: 100 - percent, start.treatments[0]: percent}


def _deployment(
    start: RolloutStart, number: int, traffic: Mapping[VersionName, int], at: datetime, stage: int
) -> Deployment:
    digests: dict[VersionName, Digest] = {version: digest_bytes(version.encode()) for version in traffic}
    stable = start.control if start.control in traffic else next(iter(traffic))
    return Deployment(
        start.model, start.environment, number, "canary", stable, dict(traffic), digests, "salt", None, at, WHO,
        rollout="r1", stage=stage,
    )  # fmt: skip


def _decision(start: RolloutStart, deployment: Deployment) -> Decision:
    return Decision(
        Action.DEPLOY,
        subject=start.model,
        allowed=True,
        principal=WHO,
        at=deployment.at,
        evidence={"deployment": digest_of(deployment)},
        environment=start.environment,
        comment="as the rollout says",
    )
