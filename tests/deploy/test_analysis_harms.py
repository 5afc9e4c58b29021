"""Every kind of harm says the same by its evidence, its ends and its estimate, in the direction that is worse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from keelway.deploy.analysis import (
    ArmFigures,
    ArmHarm,
    Matured,
    Phase,
    RateCounts,
    RolloutEvidence,
    harm_of,
    moments_of,
)
from keelway.project import Guardrail, Metric

BAR = -math.log(0.05)
WHERE = {"rate": "tallies", "mean": "moments", "quantile": "values", "distribution": "histograms"}


def arms(kind: str, control: Any, treatment: Any, *, share: float = 0.25) -> RolloutEvidence:
    where = WHERE.get(kind, "matured")
    made = [
        ArmFigures(name, 1_000, **{where: {"figure": each}}) for name, each in (("old", control), ("new", treatment))
    ]
    shares = {"old": 1 - share, "new": share}
    return RolloutEvidence(made[0], made[1], (Phase(shares, {"old": 750, "new": 250}),))


def matured(seed: int, noise: float, rows: int = 2_000) -> Matured:
    draw = np.random.default_rng(seed)
    chance = draw.beta(1, 1, rows)
    labels = (draw.random(rows) < chance).astype(float)
    return Matured(labels, np.clip(chance + draw.normal(0, noise, rows), 0.01, 0.99))


def drawn(seed: int, scale: float, rows: int = 1_500) -> np.ndarray:
    return scale * np.random.default_rng(seed).lognormal(0, 0.4, rows)


WORSE = {
    "rate": (RateCounts(20, 3_000), RateCounts(90, 1_000), 0.09 - 1 / 150),
    "mean": (moments_of(drawn(1, 1.0)), moments_of(drawn(2, 1.5)), 0.54),
    "quantile": (drawn(3, 1.0), drawn(4, 2.0), 1.0),
    "log_loss": (matured(5, 0.0), matured(6, 0.4), 0.42),
    "brier": (matured(7, 0.0), matured(8, 0.4), 0.093),
    "roc_auc": (matured(9, 0.0), matured(10, 0.6), 0.20),
}
"""A worse treatment of each kind, and about by how much."""


def harm(kind: str, evidence: RolloutEvidence, **more: Any) -> ArmHarm:
    found = harm_of(Guardrail("figure", kind, margin=0.1, quantile=0.9, **more), evidence, planned=1_000)  # type: ignore[arg-type]
    assert not isinstance(found, str)
    return found


@pytest.mark.parametrize("kind", WORSE)
def test_the_estimate_lies_between_the_ends_and_is_about_the_truth(kind: str) -> None:
    control, treatment, about = WORSE[kind]
    found = harm(kind, arms(kind, control, treatment))
    assert found.estimate() == pytest.approx(about, rel=0.25)
    assert found.end("low", alpha=0.05) < found.estimate() < found.end("high", alpha=0.05)


@pytest.mark.parametrize("kind", WORSE)
def test_the_evidence_is_just_enough_at_the_ends(kind: str) -> None:
    control, treatment, _ = WORSE[kind]
    found = harm(kind, arms(kind, control, treatment))
    low, high = (found.end(side, alpha=0.05) for side in ("low", "high"))
    step = 0.002 * (high - low)
    assert found.log_above(low - step, alpha=0.05) > BAR >= found.log_above(low + step, alpha=0.05)
    assert found.log_below(high + step, alpha=0.05) > BAR >= found.log_below(high - step, alpha=0.05)


@pytest.mark.parametrize("kind", WORSE)
def test_arms_that_change_places_change_the_direction(kind: str) -> None:
    control, treatment, _ = WORSE[kind]
    worse, better = harm(kind, arms(kind, control, treatment)), harm(kind, arms(kind, treatment, control))
    assert worse.estimate() > 0 > better.estimate()
    assert worse.log_above(0.0, alpha=0.05) > BAR
    assert better.log_below(0.0, alpha=0.05) > BAR
    assert better.log_above(0.0, alpha=0.05) <= 0.0


@pytest.mark.parametrize("kind", ["rate", "mean"])
def test_less_can_be_worse(kind: str) -> None:
    control, treatment, _ = WORSE[kind]
    more = harm(kind, arms(kind, control, treatment))
    less = harm(kind, arms(kind, control, treatment), higher_is_worse=False)
    assert less.estimate() == pytest.approx(-more.estimate())
    assert less.log_below(0.0, alpha=0.05) == pytest.approx(more.log_above(0.0, alpha=0.05), rel=1e-6)
    assert less.end("high", alpha=0.05) == pytest.approx(-more.end("low", alpha=0.05), abs=1e-4)


@pytest.mark.parametrize("kind", ["log_loss", "brier", "roc_auc"])
def test_quality_knows_its_own_direction(kind: str) -> None:
    control, treatment, _ = WORSE[kind]
    given = arms(kind, control, treatment)
    metric = harm_of(Metric("figure", kind, goal="not worse"), given, planned=1_000)  # type: ignore[arg-type]
    assert metric == harm(kind, given) == harm(kind, given, higher_is_worse=False)


@pytest.mark.parametrize(
    ("kind", "peer"), [("log_loss", log_loss), ("brier", brier_score_loss), ("roc_auc", roc_auc_score)]
)
def test_quality_is_that_of_scikit_learn(kind: str, peer: Any) -> None:
    control, treatment, _ = WORSE[kind]
    expected = peer(treatment.labels, treatment.scores) - peer(control.labels, control.scores)
    worse = -expected if kind == "roc_auc" else expected
    assert harm(kind, arms(kind, control, treatment)).estimate() == pytest.approx(worse, rel=1e-9)


def test_a_tighter_alpha_takes_the_ends_apart() -> None:
    for kind, (control, treatment, _) in WORSE.items():
        found = harm(kind, arms(kind, control, treatment))
        wide, narrow = (found.end("high", alpha=alpha) - found.end("low", alpha=alpha) for alpha in (0.001, 0.05))
        assert wide > narrow


def test_a_drift_has_evidence_above_its_margin_and_no_ends() -> None:
    found = harm("distribution", arms("distribution", [300, 300, 300], [10, 100, 200]))
    assert found.estimate() > 0.3
    assert found.log_above(0.2, alpha=0.05) > BAR
    assert found.log_above(10.0, alpha=0.05) == 0.0
    assert found.log_below(0.2, alpha=0.05) == 0.0
    assert (found.end("low", alpha=0.05), found.end("high", alpha=0.05)) == (0.0, math.inf)


def test_a_small_distance_is_held_only_with_rows_enough_to_tell() -> None:
    few, many = (harm("distribution", arms("distribution", [30 * n] * 3, [10 * n] * 3)) for n in (1, 100))
    assert few.estimate() == many.estimate() == 0.0
    assert few.log_below(0.1, alpha=0.05) == 0.0
    assert many.log_below(0.1, alpha=0.05) == math.inf


def test_the_plan_of_the_control_follows_from_the_shares() -> None:
    given = arms("mean", WORSE["mean"][0], WORSE["mean"][1], share=0.1)
    found = harm("mean", given)
    spread = WORSE["mean"][0].variance / 9_000 + WORSE["mean"][1].variance / 1_000
    assert found.gap.planned_error == pytest.approx(math.sqrt(spread))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("kind", "figure", "said"),
    [
        ("mean", moments_of(np.arange(99.0)), "99 rows in the smaller arm, 100 are needed"),
        ("brier", matured(11, 0.1, rows=40), "40 rows in the smaller arm, 100 are needed"),
        (
            "roc_auc",
            Matured([1.0] * 19 + [0.0] * 90, [0.5] * 109),
            "19 labels of the rarer class have matured, 20 are needed",
        ),
        ("rate", RateCounts(0, 0), "0 rows in the smaller arm, 1 are needed"),
    ],
)
def test_it_is_said_what_is_too_early(kind: str, figure: Any, said: str) -> None:
    found = harm_of(Guardrail("figure", kind), arms(kind, figure, figure), planned=100)  # type: ignore[arg-type]
    assert isinstance(found, str)
    assert found.startswith(said)
