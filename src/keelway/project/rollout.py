"""Rollout: how a version that the door let in comes to answer in an environment, step by step, and what has to be shown first.

Rollout.canary("prod", steps=(5, 25, 50), hold="30m")
Rollout.blue_green("prod", hold="10m", keep="1h")
Rollout.ab("prod", analysis=Analysis(metrics=(Metric("conversion"),)), layer="prices")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal, get_args

from keelway.core import checked_name, parse_duration
from keelway.errors import KeelwayError, ProjectError
from keelway.project.analysis import STANDARD_GUARDRAILS, Analysis, Metric
from keelway.project.choice import check_choice
from keelway.project.task import LABEL_FIGURES, LABEL_KINDS, Task

RolloutStrategy = Literal["all_at_once", "shadow", "canary", "blue_green", "ab", "champion_challenger", "bandit"]
Undecided = Literal["pause", "back"]
MANY_ARMED = ("ab", "bandit")
CHALLENGE = Analysis(STANDARD_GUARDRAILS, (Metric("brier", "brier", higher_is_better=False),))
"""A challenger has to be shown to be better on labels that have matured."""
NUMBER_CHALLENGE = Analysis(STANDARD_GUARDRAILS, (Metric("mae", "mae", higher_is_better=False),))
"""The same for a model that answers with a number, which has no Brier score."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a rollout.

    Attributes:
        percent: Of the entities that get the new version; in a trial of several, that take part in it.
        hold: How long it lasts at least, such as `30m`.
        mirror: Whether the new version scores copies of the requests and answers nobody.
    """

    percent: int
    hold: str = "0m"
    mirror: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ProjectError("This is no share of a stage", expected="0 to 100 percent", found=str(self.percent))
        if self.mirror and self.percent:
            raise ProjectError(
                "A stage mirrors requests or answers them",
                expected="mirror at 0 percent",
                found=f"{self.percent} percent",
            )
        if not _duration(self.hold, what="hold of a stage") >= timedelta(0):
            raise ProjectError("A stage holds for a time", expected="such as 30m", found=self.hold)

    @property
    def hold_time(self) -> timedelta:
        """How long it lasts at least."""
        return parse_duration(self.hold)


@dataclass(frozen=True, slots=True)
class Rollout:
    """How versions come to answer in an environment. The factories say what each strategy needs.

    Attributes:
        environment: Where it applies.
        strategy: What kind it is.
        stages: Its steps, in order.
        analysis: By what the new version is judged at every stage, against the version in use.
        patience: How long a stage may stay undecided.
        undecided: What follows then: `pause` waits for a person, `back` gives all traffic to the version in use.
        layer: Trials in one layer never share an entity; empty for none.
        floor: The least share of any arm of a bandit.

    Raises:
        ProjectError: The stages do not fit the strategy, or the analysis cannot decide it.
    """

    environment: str
    strategy: RolloutStrategy = field(kw_only=True)
    stages: tuple[Stage, ...] = field(kw_only=True)
    analysis: Analysis = field(default_factory=Analysis, kw_only=True)
    patience: str = field(default="7d", kw_only=True)
    undecided: Undecided = field(default="pause", kw_only=True)
    layer: str = field(default="", kw_only=True)
    floor: float = field(default=0.05, kw_only=True)

    def __post_init__(self) -> None:
        checked_name(self.environment, what="environment")
        check_choice(self.strategy, get_args(RolloutStrategy), what="strategy of a rollout")
        check_choice(self.undecided, get_args(Undecided), what="way to go on when nothing is decided")
        object.__setattr__(self, "stages", tuple(self.stages))
        if not _duration(self.patience, what="patience of a rollout") > timedelta(0):
            raise ProjectError("A rollout needs patience", expected="such as 7d", found=self.patience)
        if not 0 <= self.floor < 0.5:
            raise ProjectError("A bandit's floor leaves nothing to share", expected="0 to 0.5", found=str(self.floor))
        _check_stages(self)
        _check_analysis(self)
        _check_layer(self)

    @classmethod
    def all_at_once(cls, environment: str) -> Rollout:
        """All traffic at once, after the smoke test; nothing is compared."""
        return cls(environment, strategy="all_at_once", stages=(Stage(100),))

    @classmethod
    def shadow(
        cls, environment: str, *, hold: str = "1h", analysis: Analysis | None = None,
        patience: str = "7d", undecided: Undecided = "pause",
    ) -> Rollout:  # fmt: skip
        """The new version scores copies of the requests until it is judged; the traffic stays where it is."""
        return cls(
            environment, strategy="shadow", stages=(Stage(0, hold, mirror=True),), analysis=analysis or Analysis(),
            patience=patience, undecided=undecided,
        )  # fmt: skip

    @classmethod
    def canary(
        cls, environment: str, *, steps: Sequence[int] = (5, 25, 50), hold: str = "0m", mirror: str = "",
        analysis: Analysis | None = None, patience: str = "7d", undecided: Undecided = "pause", layer: str = "",
    ) -> Rollout:  # fmt: skip
        """A share that grows step by step, each judged by itself, and then everything.

        Args:
            steps: Percent of the entities, growing.
            hold: How long each step lasts at least.
            mirror: For how long it shadows before the first step; empty for not at all.
        """
        shadow = (Stage(0, mirror, mirror=True),) if mirror else ()
        return cls(
            environment, strategy="canary", stages=(*shadow, *(Stage(step, hold) for step in steps)),
            analysis=analysis or Analysis(), patience=patience, undecided=undecided, layer=layer,
        )  # fmt: skip

    @classmethod
    def blue_green(
        cls, environment: str, *, hold: str = "10m", keep: str = "1h", mirror: bool = True,
        analysis: Analysis | None = None, patience: str = "7d", undecided: Undecided = "pause",
    ) -> Rollout:  # fmt: skip
        """Green is loaded and checked beside blue, then gets everything at once; blue stays loaded for a while.

        Args:
            hold: How long green is beside blue at least.
            keep: How long blue stays loaded after the switch, so that the way back loads nothing.
            mirror: Whether green is judged by copies of the requests; else by its smoke test alone.
        """
        return cls(
            environment, strategy="blue_green", stages=(Stage(0, hold, mirror=mirror), Stage(100, keep)),
            analysis=analysis or Analysis(), patience=patience, undecided=undecided,
        )  # fmt: skip

    @classmethod
    def ab(
        cls, environment: str, *, analysis: Analysis, percent: int = 100, hold: str = "7d",
        patience: str = "28d", undecided: Undecided = "back", layer: str = "",
    ) -> Rollout:  # fmt: skip
        """One version or several beside the one in use, in equal shares; all traffic to the one that wins, if one does.

        Args:
            percent: Of the entities that take part, control included.
        """
        return cls(
            environment, strategy="ab", stages=(Stage(percent, hold),), analysis=analysis,
            patience=patience, undecided=undecided, layer=layer,
        )  # fmt: skip

    @classmethod
    def champion_challenger(
        cls, environment: str, *, percent: int = 10, hold: str = "0m", analysis: Analysis = CHALLENGE,
        patience: str = "90d", undecided: Undecided = "pause", layer: str = "",
    ) -> Rollout:  # fmt: skip
        """A challenger beside the champion, judged on labels that mature; the winner takes the traffic.

        Args:
            percent: Of the entities that the challenger answers; 0 lets it shadow.
            analysis: By default of the Brier score, or of the mean absolute error where the model answers with a number.
        """
        return cls(
            environment, strategy="champion_challenger", stages=(Stage(percent, hold, mirror=not percent),),
            analysis=analysis, patience=patience, undecided=undecided, layer=layer,
        )  # fmt: skip

    @classmethod
    def bandit(
        cls, environment: str, *, analysis: Analysis, percent: int = 100, floor: float = 0.05, hold: str = "0m",
        patience: str = "28d", undecided: Undecided = "pause", layer: str = "",
    ) -> Rollout:  # fmt: skip
        """Shares follow the belief in each arm (Thompson), by the first metric; it earns more and tells less than `ab`.

        Args:
            floor: The least share of any arm, of those that take part.
        """
        return cls(
            environment, strategy="bandit", stages=(Stage(percent, hold),), analysis=analysis,
            patience=patience, undecided=undecided, layer=layer, floor=floor,
        )  # fmt: skip

    @property
    def patience_time(self) -> timedelta:
        """How long a stage may stay undecided."""
        return parse_duration(self.patience)

    @property
    def keep(self) -> str:
        """How long the version that was in use stays loaded after the switch."""
        return self.stages[-1].hold if self.strategy == "blue_green" else "0m"

    @property
    def takes_over(self) -> bool:
        """Whether success gives the traffic to the new version."""
        return self.strategy != "shadow"

    @property
    def several(self) -> bool:
        """Whether it may try several versions at once."""
        return self.strategy in MANY_ARMED

    def for_task(self, task: Task) -> Rollout:
        """Return the rollout of a model with this task: where a challenger has the standard analysis, the task's own."""
        if self.analysis == CHALLENGE and "brier" not in LABEL_FIGURES[task]:
            return replace(self, analysis=NUMBER_CHALLENGE)
        return self

    def is_judged(self, stage: int) -> bool:
        """Say whether there is anything to compare at a stage: requests that both versions get."""
        each = self.stages[stage]
        return each.mirror or self.several or 0 < each.percent < 100


def _duration(text: str, *, what: str) -> timedelta:
    try:
        return parse_duration(text)
    except KeelwayError as error:
        raise ProjectError(f"The {what} is no duration", expected="such as 30m, 6h, 7d", found=repr(text)) from error


def _check_stages(rollout: Rollout) -> None:
    """Refuse stages that the strategy cannot go through."""
    shares = [stage.percent for stage in rollout.stages]
    mirrored = [stage.mirror for stage in rollout.stages]
    steps = shares[sum(mirrored) :]
    fits, expected = {
        "all_at_once": (shares == [100], "one stage of 100 percent"),
        "shadow": (mirrored == [True], "one stage that mirrors"),
        "canary": (
            bool(steps) and steps == sorted(set(steps)) and min(steps) > 0 and max(steps) <= 99 and not any(mirrored[1:]),
            "shares that grow from 1 percent or more to 99 or less",
        ),
        "blue_green": (shares == [0, 100], "a stage of 0 percent and one of 100"),
        "ab": (len(shares) == 1 and shares[0] >= 2, "one stage of 2 to 100 percent"),
        "champion_challenger": (
            len(shares) == 1 and (mirrored[0] or 1 <= shares[0] <= 99), "one stage of 1 to 99 percent, or that mirrors",
        ),
        "bandit": (len(shares) == 1 and shares[0] >= 2, "one stage of 2 to 100 percent"),
    }[rollout.strategy]  # fmt: skip
    if not fits:
        raise ProjectError(f"These stages are not those of {rollout.strategy!r}", expected=expected, found=str(shares))


def _check_analysis(rollout: Rollout) -> None:
    """Refuse an analysis that can never decide the strategy."""
    figures, metrics = rollout.analysis.figures, rollout.analysis.metrics
    if rollout.strategy == "champion_challenger" and not any(each.kind in LABEL_KINDS for each in figures):
        raise ProjectError(
            "A challenger is judged on matured labels",
            expected=f"a figure of kind {', '.join(LABEL_KINDS)}",
            found=", ".join(each.name for each in figures),
        )
    if rollout.several and not metrics:
        raise ProjectError(
            f"{rollout.strategy!r} needs what it is for",
            expected="Analysis(metrics=(Metric(...),))",
            found="guardrails alone",
        )
    if rollout.strategy == "bandit" and metrics[0].kind not in ("rate", "mean"):
        raise ProjectError(
            "A bandit follows a rate or a mean", expected="a first metric of kind rate or mean", found=metrics[0].kind
        )


def _check_layer(rollout: Rollout) -> None:
    """Refuse a layer where no entities are split."""
    if not rollout.layer:
        return
    checked_name(rollout.layer, what="layer")
    if rollout.strategy in ("all_at_once", "blue_green") or not any(stage.percent for stage in rollout.stages):
        raise ProjectError(
            f"{rollout.strategy!r} splits no entities, so it needs no layer",
            expected="layer=''",
            found=repr(rollout.layer),
        )
