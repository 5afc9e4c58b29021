"""The threshold is the cheapest one, its cost is measured on other rows, and costs must leave a choice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as drawn_by
from hypothesis import settings
from hypothesis import strategies as st

from keelway.errors import ProjectError
from keelway.evaluate import choose_threshold, gain_table
from keelway.evaluate.aspects.threshold import cheapest, row_costs
from keelway.project import Costs


def honest(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    chance = draw.beta(1, 2, rows)
    return (draw.random(rows) < chance).astype(float), chance


rows_of = st.lists(st.tuples(st.booleans(), st.integers(0, 10).map(lambda tenth: tenth / 10)), min_size=1, max_size=40)


@settings(max_examples=80, deadline=None)
@drawn_by(rows_of, st.integers(1, 9), st.integers(1, 9), st.integers(0, 3))
def test_no_other_threshold_is_cheaper(
    rows: list[tuple[bool, float]], positive: int, negative: int, benefit: int
) -> None:
    labels, given = (np.array(each, dtype=float) for each in zip(*rows, strict=True))
    costs = Costs(false_positive=positive, false_negative=negative, true_positive=benefit)
    chosen = cheapest(labels, given, costs)
    paid = row_costs(labels, given >= chosen, costs).sum()
    for other in [*given, 2.0]:
        assert paid <= row_costs(labels, given >= other, costs).sum() + 1e-9


def test_costs_and_benefits_are_those_of_each_case() -> None:
    costs = Costs(false_positive=2, false_negative=7, true_positive=3, true_negative=1)
    paid = row_costs(np.array([1, 1, 0, 0.0]), np.array([True, False, True, False]), costs)
    assert paid.tolist() == [-3, 7, 2, -1]


def test_calibrated_probabilities_have_the_threshold_of_theory() -> None:
    labels, chance = honest(20_000, 0)
    costs = Costs(false_positive=1, false_negative=3)
    found = choose_threshold(labels, chance, costs, seed=1, resamples=200)
    assert found.calibrated == 0.25
    assert found.threshold.low <= 0.25 <= found.threshold.high
    assert found.threshold.value == pytest.approx(0.25, abs=0.06)
    assert found.cost.low < found.cost.value < found.cost.high < min(found.cost_of_none, found.cost_of_all)
    assert found.acted_on == pytest.approx(np.mean(chance >= found.threshold.value))
    assert found == choose_threshold(labels, chance, costs, seed=1, resamples=200)


def test_the_cost_is_not_flattered_by_the_choice() -> None:
    costs, flattered, honest_cost = Costs(), [], []
    for seed in range(60):
        draw = np.random.default_rng(seed)
        labels, useless = draw.integers(0, 2, 60).astype(float), draw.random(60)
        found = choose_threshold(labels, useless, costs, seed=seed, resamples=100)
        honest_cost.append(found.cost.value)
        flattered.append(row_costs(labels, useless >= found.threshold.value, costs).mean())
    assert np.mean(flattered) < 0.45
    assert np.mean(honest_cost) > 0.47


def test_acting_on_nobody_can_be_cheapest() -> None:
    found = choose_threshold([0, 0, 0, 1], [0.9, 0.8, 0.7, 0.1], Costs(false_positive=5), seed=0, resamples=100)
    assert 0.9 < found.threshold.value < 1
    assert found.acted_on == 0
    assert found.cost_of_none == 0.25


def test_rows_of_one_entity_stay_in_one_fold() -> None:
    labels, chance = honest(30, 2)
    names = np.repeat(np.arange(10), 30)
    found = choose_threshold(np.tile(labels, 10), np.tile(chance, 10), Costs(), seed=0, resamples=100, groups=names)
    assert found.threshold.value == choose_threshold(labels, chance, Costs(), seed=0, resamples=100).threshold.value
    single = choose_threshold(labels, chance, Costs(), seed=0, resamples=100, groups=np.zeros(30))
    assert single.cost.value == pytest.approx(row_costs(labels, chance >= single.threshold.value, Costs()).mean())


@pytest.mark.parametrize(
    "wrong", [{"false_positive": 0}, {"false_negative": -1}, {"true_positive": -2}, {"false_positive": float("nan")}]
)
def test_costs_that_leave_no_choice_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ProjectError, match=r"one decision is always best|Wrong costs"):
        Costs(**wrong)


def test_gain_and_lift_of_a_list_by_hand() -> None:
    labels = [1, 1, 0, 1, 0, 0, 0, 0, 0, 0]
    given = [0.95, 0.9, 0.85, 0.8, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
    steps = gain_table(labels, given, parts=5)
    assert [(each.share, each.rows, each.lowest) for each in steps][:2] == [(0.2, 2, 0.9), (0.4, 4, 0.8)]
    assert [each.gain.value for each in steps] == pytest.approx([2 / 3, 1, 1, 1, 1])
    assert [each.lift.value for each in steps] == pytest.approx([1 / 0.3, 0.75 / 0.3, 0.5 / 0.3, 0.375 / 0.3, 1])
    assert [each.part_rate.value for each in steps] == pytest.approx([1, 0.5, 0, 0, 0])
    assert all(each.lift.low <= each.lift.value <= each.lift.high for each in steps)


def test_gains_never_fall_and_end_with_everything() -> None:
    labels, chance = honest(777, 3)
    steps = gain_table(labels, chance)
    gains = [each.gain.value for each in steps]
    assert (len(steps), steps[-1].rows, gains[-1], steps[-1].lift.value) == (10, 777, 1.0, pytest.approx(1.0))
    assert gains == sorted(gains)


@pytest.mark.parametrize(("labels", "given"), [([0] * 20, [0.5] * 20), ([1, 0], [0.5, 0.4])])
def test_no_gain_without_positives_or_rows(labels: list[int], given: list[float]) -> None:
    from keelway.errors import TrainingError

    with pytest.raises(TrainingError, match="no gain to show"):
        gain_table(labels, given)
