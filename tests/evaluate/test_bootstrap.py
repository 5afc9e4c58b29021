"""Draws are the same for the same seed, bounded in memory, and cover the truth as often as they say, also by group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keelway.evaluate import auc_interval, bootstrap_interval, mean_interval, measure
from keelway.evaluate.figures import Ranked, average_precision_figure, mean_figure
from keelway.evaluate.figures.regression import median_figure, regression_figures
from keelway.evaluate.uncertainty import bootstrap as engine
from keelway.evaluate.uncertainty import draws_of, intervals_of, standard_errors

SIMULATIONS = 300


def test_the_same_seed_gives_the_same_intervals_and_another_one_others() -> None:
    draw = np.random.default_rng(0)
    labels, given = draw.integers(0, 2, 200), draw.random(200)
    one = measure("binary", labels, given, seed=1, resamples=200)
    assert one == measure("binary", labels, given, seed=1, resamples=200)
    assert one["brier"] != measure("binary", labels, given, seed=2, resamples=200)["brier"]


def test_a_figure_does_not_depend_on_what_is_measured_beside_it() -> None:
    draw = np.random.default_rng(0)
    labels, given = draw.integers(0, 2, 200), draw.random(200)
    every = measure("binary", labels, given, seed=1, resamples=200)
    alone = measure("binary", labels, given, metrics=["f1"], seed=1, resamples=200)
    assert alone["f1"] == every["f1"]


def test_draws_do_not_depend_on_how_many_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = draws_of(50, seed=3, resamples=40)
    whole = np.concatenate(list(draws.weights(40)))
    monkeypatch.setattr(engine, "CELLS_AT_ONCE", 350)
    parts = list(draws.weights(40))
    assert max(len(part) for part in parts) == 7
    assert np.array_equal(np.concatenate(parts), whole)
    assert (whole.sum(axis=1) == 50).all()


def test_a_mean_is_drawn_as_by_hand() -> None:
    values = np.random.default_rng(4).exponential(2, 80)
    quick = mean_interval(values, seed=5, resamples=4000)
    slow = bootstrap_interval(values[:, None], lambda rows: float(rows.mean()), seed=6, resamples=4000)
    assert quick.value == pytest.approx(slow.value)
    assert (quick.low, quick.high) == pytest.approx((slow.low, slow.high), abs=0.02)
    assert quick.method == "bootstrap BCa, 4000"


@pytest.mark.parametrize("name", ["rmse", "medae"])
def test_numbers_cover_the_truth_as_often_as_they_say(name: str) -> None:
    truth = {"rmse": 2.0, "medae": 2 * 0.6744897501960817}[name]
    draw, covered = np.random.default_rng(8), 0
    for seed in range(SIMULATIONS):
        errors = draw.normal(0, 2, 120)
        figure = regression_figures(np.zeros(120), errors)[name]()
        found = intervals_of({name: figure}, draws_of(120, seed=seed, resamples=400))[name]
        covered += found.low <= truth <= found.high
    assert 0.91 <= covered / SIMULATIONS <= 0.99


def test_the_method_says_where_no_acceleration_is_known() -> None:
    values = np.random.default_rng(0).normal(size=30)
    found = intervals_of({"median": median_figure(values)}, draws_of(30, seed=0, resamples=100))["median"]
    assert (found.value, found.method) == (pytest.approx(np.median(values)), "bootstrap BC, 100")


def grouped(draw: np.random.Generator, groups: int = 60, each: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return values that are nearly the same within a group, and the groups."""
    names = np.repeat(np.arange(groups), each)
    return draw.normal(size=groups)[names] + draw.normal(0, 0.2, groups * each), names


def test_rows_of_one_entity_are_not_taken_for_many() -> None:
    draw, by_row, by_group = np.random.default_rng(9), 0, 0
    for seed in range(SIMULATIONS):
        values, names = grouped(draw)
        alone = mean_interval(values, seed=seed, resamples=250)
        together = mean_interval(values, seed=seed, resamples=250, groups=names)
        by_row += alone.low <= 0 <= alone.high
        by_group += together.low <= 0 <= together.high
    assert by_row / SIMULATIONS < 0.7
    assert 0.90 <= by_group / SIMULATIONS <= 0.98


def test_an_auc_by_group_covers_the_truth() -> None:
    draw, by_row, by_group = np.random.default_rng(10), 0, 0
    for _ in range(SIMULATIONS):
        names = np.repeat(np.arange(80), 6)
        labels = np.repeat(draw.permutation(np.arange(80) % 2), 6)
        scores = draw.normal(size=80)[names] + draw.normal(0, 0.3, 480)
        alone, together = auc_interval(labels, scores), auc_interval(labels, scores, groups=names)
        by_row += alone.low <= 0.5 <= alone.high
        by_group += together.low <= 0.5 <= together.high
    assert by_row / SIMULATIONS < 0.7
    assert 0.90 <= by_group / SIMULATIONS <= 0.98


def test_groups_of_one_row_are_rows() -> None:
    values = np.random.default_rng(1).normal(size=70)
    alone, together = (mean_interval(values, seed=2, groups=each) for each in (None, np.arange(70)))
    assert alone == together
    labels, scores = np.arange(70) % 2, values
    one, two = auc_interval(labels, scores), auc_interval(labels, scores, groups=np.arange(70))
    assert (one.low, one.high) == pytest.approx((two.low, two.high), rel=0.02)


def test_a_large_table_is_drawn_in_blocks_and_spreads_as_much() -> None:
    values = np.random.default_rng(2).exponential(1, 60_000)
    draws = draws_of(len(values), seed=3)
    assert (draws.count, len(draws.units)) == (engine.MAX_UNITS, 60_000)
    assert np.ptp(np.bincount(draws.units)) <= 1
    error = standard_errors({"mean": mean_figure(values)}, draws)["mean"]
    assert error == pytest.approx(values.std() / np.sqrt(len(values)), rel=0.08)


def test_many_groups_are_drawn_in_blocks_of_whole_groups() -> None:
    names = np.repeat(np.arange(15_000), 2)
    draws = draws_of(30_000, seed=0, groups=names)
    assert draws.count == engine.MAX_UNITS
    assert (draws.units[::2] == draws.units[1::2]).all()


def test_the_linear_part_of_average_precision_spreads_as_much_as_its_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(5)
    given = draw.beta(1, 4, 8_000)
    labels = (draw.random(8_000) < given).astype(float)
    draws = draws_of(8_000, seed=1, resamples=300)
    found: dict[str, Any] = {}
    for name, least in (("drawn", 20_000), ("linear", 100)):
        monkeypatch.setattr("keelway.evaluate.figures.figure.LINEAR_FROM", least)
        found[name] = intervals_of({"ap": average_precision_figure(labels, given)}, draws)["ap"]
    assert found["linear"].value == pytest.approx(found["drawn"].value)
    widths = [each.high - each.low for each in (found["linear"], found["drawn"])]
    assert widths[0] == pytest.approx(widths[1], rel=0.15)


def test_ranked_figures_of_many_rows_hold_few_draws_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    ranked = median_figure(np.random.default_rng(0).normal(size=1000))

    def watched(weights: np.ndarray) -> np.ndarray:
        seen.append(weights.shape)
        return ranked.figure(weights)

    weights = np.random.default_rng(1).poisson(1, (25, 1000)).astype(float)
    monkeypatch.setattr("keelway.evaluate.figures.figure.CELLS_AT_ONCE", 10_000)
    found = Ranked(ranked.order, watched).of(weights)
    assert seen == [(10, 1000), (10, 1000), (5, 1000)]
    assert np.array_equal(found, ranked.figure(weights[:, ranked.order]))


def test_values_that_do_not_vary_have_no_width() -> None:
    found = mean_interval(np.full(20, 3.0), seed=0, resamples=50)
    assert (found.low, found.value, found.high) == (3.0, 3.0, 3.0)


def test_ten_million_rows_are_measured() -> None:
    draw = np.random.default_rng(0)
    values = draw.random(10_000_000, dtype=np.float64)
    found = mean_interval(values, seed=0, resamples=200)
    assert found.low < 0.5 < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(1 / 12 / 1e7), rel=0.2)
