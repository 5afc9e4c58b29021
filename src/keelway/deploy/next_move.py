"""Decides what a look at a rollout leads to: a pure function of the rollout, its stage, the verdicts and the time.

It asks in this order, and stops at the first answer:

1. Did every treatment fail? All traffic goes back, whatever a person paused. One of several that fails is taken out.
2. Did a person pause it? Nothing moves.
3. Does the stage compare nothing? It moves on when its hold is over.
4. Is any verdict an error, or missing? It pauses: what cannot be believed never moves traffic towards a new version.
5. Is a treatment shown to be good? When the hold is over it goes to the next stage, or finishes with the best one.
6. Too little is known. It waits; once patience is over it pauses or goes back, as declared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from keelway.core import VersionName, time_text
from keelway.deploy.rollouts import ArmVerdict, Move
from keelway.project import Rollout


@dataclass(frozen=True, slots=True)
class NextMove:
    """What a look leads to.

    Attributes:
        reasons: Why; never empty.
        winner: Who gets all traffic; of `finish` only.
        dropped: Arms that are taken out of the trial, which goes on without them.
    """

    move: Move
    reasons: tuple[str, ...]
    winner: VersionName | None = None
    dropped: tuple[str, ...] = ()


def next_move(
    rollout: Rollout,
    stage: int,
    since: datetime,
    verdicts: Sequence[ArmVerdict],
    now: datetime,
    *,
    waits_since: datetime | None = None,
    paused: bool = False,
) -> NextMove:
    """Return what a look leads to, by the rules at the top of this module.

    Args:
        since: When the stage began.
        verdicts: One of each treatment that is still tried; empty where the stage compares nothing.
        waits_since: From when patience counts, where a person let the rollout go on later than it began.
        paused: Whether a person paused it.
    """
    failed = [each for each in verdicts if each.verdict.outcome == "failure"]
    reasons = tuple(_named(each, verdicts) for each in failed)
    if failed and len(failed) == len(verdicts):
        return NextMove("back", tuple(_all_reasons(failed)))
    dropped = tuple(each.arm for each in failed)
    left = [each for each in verdicts if each.arm not in dropped]
    found = _without_failures(rollout, stage, since, left, now, waits_since or since, paused=paused)
    return NextMove(found.move, (*reasons, *found.reasons), found.winner, dropped)


def failing_part(rollout: Rollout, draw: int) -> float:
    """Return which part of alpha may be spent on failing a version: over all stages and draws the parts sum to 1 at most.

    Each stage of other shares is judged by evidence of its own, so a version like its control has a chance to be failed at each.
    For success nothing is split: it has to be shown at every stage.

    Args:
        draw: How often the shares of the stage were drawn, from 1; more than once for a bandit alone, however often: 1/2, 1/6, 1/12 ...

    >>> failing_part(Rollout.canary("prod", steps=(5, 25)), 1)
    0.5
    """
    judged = max(1, sum(rollout.is_judged(stage) for stage in range(len(rollout.stages))))
    return 1 / (judged * draw * (draw + 1)) if rollout.strategy == "bandit" else 1 / judged


def _without_failures(
    rollout: Rollout,
    stage: int,
    since: datetime,
    verdicts: Sequence[ArmVerdict],
    now: datetime,
    waits_since: datetime,
    *,
    paused: bool,
) -> NextMove:
    if paused:
        return NextMove("pause", ("it was paused by a person; `--resume` lets it go on",))
    over = since + rollout.stages[stage].hold_time
    if not rollout.is_judged(stage):
        return _held(rollout, stage, over, now, verdicts, told="nothing is compared at this stage")
    errors = [each for each in verdicts if each.verdict.outcome == "error"]
    if errors or not verdicts:
        return NextMove("pause", tuple(_all_reasons(errors)) or ("there is no verdict on any treatment",))
    good = [each for each in verdicts if each.verdict.outcome == "success"]
    if good:
        best = min(good, key=lambda each: _harm_to_goal(rollout, each))
        return _held(rollout, stage, over, now, [best], told=f"{best.version} is shown to be good")
    waiting = tuple(_all_reasons(verdicts))
    if now - waits_since < rollout.patience_time:
        return NextMove("hold", waiting)
    late = f"nothing was decided within {rollout.patience}"
    return NextMove("back" if rollout.undecided == "back" else "pause", (late, *waiting))


def _held(
    rollout: Rollout, stage: int, over: datetime, now: datetime, best: Sequence[ArmVerdict], *, told: str
) -> NextMove:
    """Return the move forward, once the hold of the stage is over."""
    if now < over:
        return NextMove("hold", (f"{told}; the stage holds until {time_text(over)}",))
    reasons = (told, *_all_reasons(best))
    if stage + 1 < len(rollout.stages):
        return NextMove("advance", reasons)
    return NextMove("finish", reasons, best[0].version if best and rollout.takes_over else None)


def _harm_to_goal(rollout: Rollout, arm: ArmVerdict) -> tuple[float, str]:
    """Return what orders treatments that are good, the best one first: the harm by the first metric, or guardrail."""
    goal = (rollout.analysis.metrics or rollout.analysis.guardrails)[0].name
    harm = next((each.harm for each in arm.verdict.figures if each.name == goal and each.harm is not None), math.inf)
    return harm, arm.arm


def _named(each: ArmVerdict, verdicts: Sequence[ArmVerdict]) -> str:
    told = "; ".join(each.verdict.reasons)
    return f"{each.version} is taken out: {told}" if len(verdicts) > 1 else told


def _all_reasons(verdicts: Sequence[ArmVerdict]) -> list[str]:
    several = len(verdicts) > 1
    return [f"{each.version}: {why}" if several else why for each in verdicts for why in each.verdict.reasons]
