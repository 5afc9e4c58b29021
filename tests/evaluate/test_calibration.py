"""Probabilities are taken at their word where that holds, and the parts of the Brier score add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as drawn_by
from hypothesis import settings
from hypothesis import strategies as st
from scipy.stats import kstest

from keelway.errors import TrainingError
from keelway.evaluate import calibration_error, calibration_of, class_calibration_of, reliability_table, spiegelhalter_p

LABELS = np.array([0, 1, 1, 0, 1, 0, 1, 1, 0, 1.0])
GIVEN = np.array([0.1, 0.9, 0.8, 0.3, 0.6, 0.4, 0.7, 0.9, 0.2, 0.5])


def honest(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    chance = draw.beta(1, 2, rows)
    return (draw.random(rows) < chance).astype(float), chance


@pytest.mark.parametrize(("bins", "error"), [(5, 0.18), (10, 0.26)])
def test_the_error_is_the_references(bins: int, error: float) -> None:
    found = calibration_of(LABELS, GIVEN, seed=0, bins=bins, resamples=100)
    assert (found.error.value, found.brier.value) == (pytest.approx(error), pytest.approx(0.086))
    assert found.error.low <= found.error.value <= found.error.high


def test_the_bins_hold_every_row_once_and_the_last_its_right_edge() -> None:
    table = reliability_table(np.array([1, 0, 1.0]), np.array([1.0, 0.0, 0.1]))
    assert [(each.low, each.high, each.rows) for each in table] == [(0.0, 0.1, 1), (0.1, 0.2, 1), (0.9, 1.0, 1)]
    assert [each.observed.value for each in table] == [0.0, 1.0, 1.0]
    assert [each.predicted for each in table] == [0.0, 0.1, 1.0]


@settings(max_examples=50, deadline=None)
@drawn_by(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=60), st.integers(1, 12))
def test_the_parts_of_the_brier_score_add_up(rows: list[tuple[bool, float]], bins: int) -> None:
    labels, given = (np.array(each, dtype=float) for each in zip(*rows, strict=True))
    found = calibration_of(labels, given, seed=0, bins=bins, resamples=20)
    parts = found.reliability - found.resolution + found.uncertainty + found.within_bins
    assert parts == pytest.approx(float(((labels - given) ** 2).mean()))
    assert found.error.value == pytest.approx(calibration_error(labels, given, bins=bins))
    assert found.error.value <= found.worst_gap + 1e-12
    assert sum(each.rows for each in found.bins) == len(rows)


def test_nothing_is_lost_within_bins_where_each_holds_one_probability() -> None:
    draw = np.random.default_rng(0)
    given = draw.choice([0.05, 0.35, 0.75], 300)
    found = calibration_of((draw.random(300) < given).astype(float), given, seed=0, resamples=50)
    assert found.within_bins == pytest.approx(0, abs=1e-12)


def test_honest_probabilities_are_not_suspected() -> None:
    p_values = [spiegelhalter_p(*honest(300, seed)) for seed in range(400)]
    assert kstest(p_values, "uniform").pvalue > 0.001


def test_exaggerated_probabilities_are_found_out() -> None:
    labels, chance = honest(2000, 1)
    bold = np.clip((chance - 0.5) * 1.6 + 0.5, 0, 1)
    good, bad = (calibration_of(labels, each, seed=0, resamples=200) for each in (chance, bold))
    assert good.p_value > 0.01 > bad.p_value
    assert good.error.high < bad.error.low
    assert good.reliability < bad.reliability


def test_certain_probabilities_are_right_or_wrong() -> None:
    assert spiegelhalter_p(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 1.0
    assert spiegelhalter_p(np.array([1.0, 1.0]), np.array([0.0, 1.0])) == 0.0


def test_classes_are_judged_by_the_most_probable_one() -> None:
    chances = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    found = class_calibration_of(np.array([0, 2, 2]), chances, seed=0, resamples=50)
    assert [(each.low, each.rows, each.observed.value) for each in found.bins] == [
        (0.4, 1, 1.0),
        (0.7, 1, 1.0),
        (0.8, 1, 0.0),
    ]
    assert found.error.value == pytest.approx((0.6 + 0.3 + 0.8) / 3)


def test_probabilities_must_be_some() -> None:
    with pytest.raises(TrainingError, match="outside"):
        calibration_of([0, 1], [0.5, 1.5], seed=0)
