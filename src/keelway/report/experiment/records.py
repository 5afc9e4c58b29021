"""What an experiment report holds: figures with their history, looks, shares, decisions, and what is said of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from keelway.core import Decision, Digest, Environment, PrincipalId, VersionName
from keelway.deploy.analysis import Outcome, Status

if TYPE_CHECKING:
    from keelway.deploy import Deployment, RolloutLook, RolloutStart, RolloutState, RolloutTurn

Role = Literal["goal", "guardrail"]
Word = Literal["higher is better", "lower is better", "near is better"]


@dataclass(frozen=True, slots=True)
class ExperimentRecords:
    """What a report is told from; nothing else is read.

    Attributes:
        looks: Oldest first.
        turns: What people told it to do, oldest first.
        deployments: Those of this rollout and the one that ended it, oldest first.
        decisions: Those of the ledger that rest on any of these records, each with its number, oldest first.
        state: How the rollout stands: running, paused, finished, back or stopped.
    """

    start: RolloutStart
    looks: tuple[RolloutLook, ...]
    turns: tuple[RolloutTurn, ...]
    deployments: tuple[Deployment, ...]
    decisions: tuple[tuple[int, Decision], ...]
    state: RolloutState


@dataclass(frozen=True, slots=True)
class FigurePoint:
    """What one figure said at one look: the treatment less the control, and where the truth lies.

    Attributes:
        low: None where nothing bounds it from below.
        high: None where nothing bounds it from above.
    """

    look: int
    stage: int
    at: datetime
    status: Status
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class FigureStory:
    """One figure of one treatment: what it says now, and said at each look.

    A difference is the treatment less the control, in units of the figure; of a quantile it is a part of the control's, of
    a distribution a distance (PSI).

    Attributes:
        title: The name in plain words.
        control: The figure of the control, where the judgement kept it.
        treatment: The same of the treatment.
        difference: Of the newest look; None where it is not known.
        limit: The difference beyond which it fails.
        wanted: The difference that it has to be shown beyond, to hold.
        word: Which way is good.
        cuped: The part of the variance that what was known before took out; None where nothing was known.
        sentence: What it says, in plain words.
        points: By look, oldest first.
    """

    name: str
    title: str
    role: Role
    kind: str
    arm: str
    version: VersionName
    status: Status
    control: float | None
    treatment: float | None
    difference: float | None
    low: float | None
    high: float | None
    limit: float
    wanted: float
    word: Word
    cuped: float | None
    sentence: str
    points: tuple[FigurePoint, ...]


@dataclass(frozen=True, slots=True)
class ArmStory:
    """One treatment against the control, at the newest look that judged it.

    Attributes:
        requests: Of the control and of the treatment.
        mismatch_p: The always-valid p-value that the arms got their shares; None where it could not be computed.
        sample_ratio: The same in plain words.
        judged: Whether figures were read at the newest look.
    """

    arm: str
    version: VersionName
    outcome: Outcome
    requests: tuple[int, int]
    mismatch_p: float | None
    sample_ratio: str
    reasons: tuple[str, ...]
    judged: bool
    figures: tuple[FigureStory, ...]


@dataclass(frozen=True, slots=True)
class LookLine:
    """One look, in short.

    Attributes:
        outcomes: The verdict on each treatment.
        requests: Of each arm, the control's under its own name.
        move: What followed.
        news: What was settled at it, and not at the look before.
    """

    number: int
    stage: int
    at: datetime
    outcomes: dict[VersionName, Outcome]
    requests: dict[str, int]
    move: str
    news: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShareStep:
    """How the traffic was shared from a moment on, in percent by version."""

    at: datetime
    stage: int
    deployment: Digest
    shares: dict[VersionName, float]


@dataclass(frozen=True, slots=True)
class TurnLine:
    """What a person told the rollout to do."""

    at: datetime
    to: str
    principal: PrincipalId
    comment: str


@dataclass(frozen=True, slots=True)
class DecisionLine:
    """A decision of the ledger about the experiment.

    Attributes:
        entry: Its number in the ledger.
        text: Why, as it stands there.
    """

    entry: int
    at: datetime
    action: str
    allowed: bool
    principal: PrincipalId
    text: str


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """A rollout as its records tell of it.

    Attributes:
        at: For when it is told.
        ended: When the newest look was, of a rollout that goes on no more.
        verdict: What came out, in one sentence.
        meaning: What that means, in sentences.
        steps: What to do next.
        certainty: How sure it is, in sentences.
        method: How it was judged: corrections, CUPED, the bandit's warning.
        unknown: What was not known.
    """

    project: str
    model: str
    environment: Environment
    rollout: str
    strategy: str
    state: str
    at: datetime
    began: datetime
    ended: datetime | None
    principal: PrincipalId
    control: VersionName
    treatments: tuple[VersionName, ...]
    verdict: str
    meaning: tuple[str, ...]
    steps: tuple[str, ...]
    certainty: tuple[str, ...]
    arms: tuple[ArmStory, ...]
    looks: tuple[LookLine, ...]
    turns: tuple[TurnLine, ...]
    shares: tuple[ShareStep, ...]
    decisions: tuple[DecisionLine, ...]
    method: tuple[str, ...]
    unknown: tuple[str, ...]
