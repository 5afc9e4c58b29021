"""An experiment from its question to its verdict, as somebody runs it: planned, split, watched every morning, judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from keelway.deploy import Allocation, Layer
from keelway.deploy.analysis import (
    ArmFigures,
    ExperimentQuestion,
    Phase,
    RateCounts,
    RolloutEvidence,
    RolloutVerdict,
    experiment_plan,
    judge,
)
from keelway.project import Analysis, Guardrail, Metric

PER_DAY = 600
QUESTION = ExperimentQuestion(effect=0.04, baseline=0.10, per_day=PER_DAY)
ANALYSIS = Analysis(
    (Guardrail("error_rate", margin=0.02),),
    (Metric("conversion", goal="better"),),
    planned=experiment_plan(QUESTION).rows[1],
)


@dataclass
class Shop:
    """A shop whose visitors are in an experiment of one layer; what the arms do to them is known here and nowhere else."""

    conversion: dict[str, float]
    errors: dict[str, float] = field(default_factory=lambda: {"old": 0.005, "new": 0.005})
    forgets: str | None = None
    layer: Layer = field(default_factory=lambda: Layer.of("prices", {"discount": 50}))
    seen: Counter = field(default_factory=Counter)
    bought: Counter = field(default_factory=Counter)
    failed: Counter = field(default_factory=Counter)
    visitors: int = 0

    def day(self, draw: np.random.Generator) -> None:
        """Let the visitors of a day come, each for the first time."""
        split = self.layer.arms_of("discount", {"old": 1, "new": 1})
        for _ in range(PER_DAY):
            self.visitors += 1
            entity = f"visitor {self.visitors}"
            if self.layer.experiment_of(entity) is None:
                continue
            arm = split.holder_of(entity)
            if arm == self.forgets and draw.random() < 0.3:
                continue
            self.seen[arm] += 1
            self.bought[arm] += draw.random() < self.conversion[arm]
            self.failed[arm] += draw.random() < self.errors[arm]

    def evidence(self) -> RolloutEvidence:
        arms = [
            ArmFigures(
                name,
                self.seen[name],
                tallies={
                    "conversion": RateCounts(self.bought[name], self.seen[name]),
                    "error_rate": RateCounts(self.failed[name], self.seen[name]),
                },
            )
            for name in ("old", "new")
        ]
        return RolloutEvidence(arms[0], arms[1], (Phase({"old": 1.0, "new": 1.0}, dict(self.seen)),))


def watched(shop: Shop, *, days: int, seed: int, analysis: Analysis = ANALYSIS) -> tuple[int, RolloutVerdict]:
    """Look every morning until something is decided; return the day and the verdict."""
    draw = np.random.default_rng(seed)
    for day in range(1, days + 1):
        shop.day(draw)
        found = judge(analysis, shop.evidence())
        if found.outcome != "inconclusive":
            return day, found
    return days, found


def test_the_plan_says_how_long_and_a_real_effect_shows_within_it() -> None:
    plan = experiment_plan(QUESTION)
    assert ANALYSIS.planned == plan.rows[1]
    days = 2 * plan.days  # half of the visitors are in the experiment
    day, found = watched(Shop({"old": 0.10, "new": 0.18}), days=days, seed=1)
    assert found.outcome == "success"
    assert day < days
    assert found.reasons[1].startswith("conversion is shown to be better")


def test_an_arm_that_is_no_better_is_never_a_success() -> None:
    day, found = watched(Shop({"old": 0.10, "new": 0.10}), days=7, seed=2)
    assert (day, found.outcome) == (7, "inconclusive")
    assert "conversion is not yet shown to be better" in found.reasons[-1]


def test_an_arm_that_fails_its_visitors_is_stopped_within_days() -> None:
    day, found = watched(Shop({"old": 0.10, "new": 0.18}, errors={"old": 0.005, "new": 0.15}), days=12, seed=3)
    assert found.outcome == "failure"
    assert day <= 4
    assert found.reasons[0].startswith("error_rate is shown to be worse by more than 0.02")


def test_an_arm_whose_visitors_are_not_all_counted_is_not_judged() -> None:
    _, found = watched(Shop({"old": 0.10, "new": 0.30}, forgets="new"), days=12, seed=4)
    assert found.outcome == "error"
    assert "sample ratio mismatch" in found.reasons[0]


def test_a_figure_that_nobody_collects_stops_the_experiment_on_its_first_day() -> None:
    more = replace(ANALYSIS, metrics=(*ANALYSIS.metrics, Metric("returns", higher_is_better=False)))
    day, found = watched(Shop({"old": 0.10, "new": 0.18}), days=5, seed=5, analysis=more)
    assert (day, found.outcome) == (1, "error")
    assert "old has no figure returns" in found.reasons[0] or "new has no figure returns" in found.reasons[0]


def test_the_same_evidence_gives_the_same_verdict_another_day() -> None:
    shop = Shop({"old": 0.10, "new": 0.18})
    shop.day(np.random.default_rng(6))
    assert judge(ANALYSIS, shop.evidence()) == judge(ANALYSIS, shop.evidence())


@pytest.mark.parametrize("percent", [10, 50])
def test_a_canary_that_grows_is_judged_by_its_own_step(percent: int) -> None:
    """Entities keep their arm from step to step, and each step's shares are those that its entities were split by."""
    allocation = Allocation.of({"new": 5, "old": 95}, salt="prod/churn:2")
    grown = allocation.changed({"new": percent, "old": 100 - percent})
    entities = [f"customer {number}" for number in range(6_000)]
    early = Counter(allocation.holder_of(entity) for entity in entities[:2_000])
    late = Counter(grown.holder_of(entity) for entity in entities[2_000:])
    phases = (
        Phase({"new": 5, "old": 95}, dict(early)),
        Phase({"new": percent, "old": 100 - percent}, dict(late)),
    )
    arms = [
        ArmFigures(name, late[name], tallies={"error_rate": RateCounts(late[name] // 200, late[name])})
        for name in ("old", "new")
    ]
    evidence = RolloutEvidence(arms[0], arms[1], phases)
    analysis = Analysis((Guardrail("error_rate", margin=0.05),), planned=400)
    found = judge(analysis, evidence)
    assert found.outcome == "success"
    assert evidence.share == percent / 100
    mixed_up = (Phase({"new": 5, "old": 95}, dict(early + late)),)
    assert judge(analysis, replace(evidence, phases=mixed_up)).outcome == "error"
