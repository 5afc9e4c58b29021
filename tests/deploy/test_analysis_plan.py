"""A plan says how long an experiment takes, in step with what looking at all times costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from keelway.deploy.analysis import (
    ExperimentPlan,
    ExperimentQuestion,
    crossing_chances,
    drift_for,
    experiment_plan,
    reach,
)
from keelway.errors import TrainingError, UsageError

ASKED = {"effect": 0.02, "baseline": 0.10, "per_day": 500.0}


def plan_of(**asked: Any) -> ExperimentPlan:
    return experiment_plan(ExperimentQuestion(**asked))


def test_looking_at_all_times_takes_more_rows_and_mostly_ends_before() -> None:
    plan = plan_of(**ASKED)
    assert 1.5 < plan.rows[0] / plan.rows_fixed[0] < 2.0
    assert plan.rows_fixed == (3841, 3841)
    assert plan.days_fixed == math.ceil(2 * 3841 / 500)
    assert plan.days_likely < plan.days == math.ceil(sum(plan.rows) / 500)


def test_what_is_known_before_takes_its_squared_correlation_off_the_rows() -> None:
    plain, adjusted = plan_of(**ASKED), plan_of(**ASKED, correlation=0.6)
    assert adjusted.rows[0] / plain.rows[0] == pytest.approx(1 - 0.36, rel=1e-3)
    assert plan_of(**ASKED, correlation=-0.6).rows == adjusted.rows


def test_a_small_share_takes_more_rows_in_all_and_as_much_error() -> None:
    equal, small = plan_of(**ASKED), plan_of(**ASKED, share=0.1)
    assert sum(small.rows) > 2 * sum(equal.rows)
    assert small.rows[1] / sum(small.rows) == pytest.approx(0.1, abs=1e-3)
    assert 1 / small.rows[0] + 1 / small.rows[1] == pytest.approx(2 / equal.rows[0], rel=1e-2)


def test_several_treatments_share_alpha_and_rows() -> None:
    one, three = plan_of(**ASKED, share=0.5), plan_of(**ASKED, share=0.75, treatments=3)
    assert three.rows[0] == three.rows[1] > one.rows[0]
    assert three.days > one.days


@pytest.mark.parametrize(
    "harder", [{"effect": 0.01}, {"power": 0.95}, {"alpha": 0.01}], ids=lambda each: next(iter(each))
)
def test_a_harder_question_takes_more_rows(harder: dict) -> None:
    assert plan_of(**{**ASKED, **harder}).rows > plan_of(**ASKED).rows


def test_the_direction_of_a_means_effect_does_not_matter() -> None:
    asked = {"baseline": 5.0, "per_day": 100.0, "kind": "mean", "deviation": 2.0}
    assert plan_of(effect=0.4, **asked).rows == plan_of(effect=-0.4, **asked).rows


@pytest.mark.parametrize(
    "wrong",
    [
        {"effect": 0.0}, {"effect": math.nan}, {"per_day": 0}, {"kind": "mean"}, {"correlation": 1.0}, {"share": 1.0},
        {"treatments": 0}, {"alpha": 0.0}, {"power": 1.0}, {"power": 0.01},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_out_of_range_is_named(wrong: dict) -> None:
    with pytest.raises(UsageError, match="deviation" if "kind" in wrong else next(iter(wrong))):
        plan_of(**{**ASKED, **wrong})


def test_a_rate_cannot_leave_its_range() -> None:
    with pytest.raises(TrainingError, match="told apart"):
        plan_of(effect=0.2, baseline=0.9, per_day=10)


def test_a_single_look_is_the_usual_test() -> None:
    assert crossing_chances([1.959964])[0] == pytest.approx(0.05, abs=1e-7)
    assert crossing_chances([1.959964], drift=2.801585)[0] == pytest.approx(0.80, abs=1e-4)
    assert drift_for([1.959964], power=0.8) == pytest.approx(2.801585, abs=1e-4)


def test_chances_only_grow_with_looks_and_with_the_effect() -> None:
    reaches = [float(reach(look / 20, alpha=0.05)) for look in range(1, 21)]
    by_drift = [crossing_chances(reaches, drift=drift) for drift in (0.0, 2.0, 4.0, 8.0)]
    for each in by_drift:
        assert (np.diff(each) >= 0).all()
    ends = [float(each[-1]) for each in by_drift]
    assert ends == sorted(ends)
    assert ends[0] < 0.05 < 0.99 < ends[-1]


def test_the_integration_is_what_a_simulation_finds() -> None:
    reaches = [2.5, 2.2, 2.6, 2.1]
    draw = np.random.default_rng(1)
    walk = np.cumsum(draw.normal(1.2 / 4, 0.5, (40_000, 4)), axis=1) / np.sqrt(np.arange(1, 5) / 4)
    found = (np.abs(walk) > reaches).cumsum(axis=1) > 0
    assert crossing_chances(reaches, drift=1.2) == pytest.approx(found.mean(axis=0), abs=3 * 0.5 / math.sqrt(40_000))


def test_the_power_of_a_plan_is_reached_at_its_end() -> None:
    reaches = [float(reach(look / 50, alpha=0.05)) for look in range(1, 51)]
    plan = plan_of(effect=0.3, baseline=0.0, per_day=10, kind="mean", deviation=1.0, power=0.9)
    drift = 0.3 / math.sqrt(2 / plan.rows[0])
    assert float(crossing_chances(reaches, drift=drift)[-1]) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("wrong", [[], [1.0, 0.0], [-1.0]])
def test_a_test_needs_looks(wrong: list[float]) -> None:
    with pytest.raises(UsageError, match="needs looks"):
        crossing_chances(wrong)
