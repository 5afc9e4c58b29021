"""Statistics agree with reference values and with slow definitions."""

from __future__ import annotations

import numpy as np
import pytest

from keelway.errors import TrainingError
from keelway.evaluate import (
    auc_covariance,
    auc_interval,
    average_precision,
    bootstrap_interval,
    calibration_error,
    compare_aucs,
    log_losses,
    newcombe_interval,
    squared_errors,
    wilson_interval,
)


def test_delong_equals_its_definition() -> None:
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 2, 150)
    scores = [np.round(draw.normal(size=150) + weight * labels, 1) for weight in (1.0, 0.5)]
    aucs, covariance = auc_covariance(labels, scores)  # type: ignore[arg-type]
    kernels = []
    for row in scores:
        gap = row[labels == 1][:, None] - row[labels == 0][None, :]
        kernels.append((gap > 0) + 0.5 * (gap == 0))
    v10, v01 = np.array([k.mean(axis=1) for k in kernels]), np.array([k.mean(axis=0) for k in kernels])
    expected = np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]
    assert aucs == pytest.approx([k.mean() for k in kernels], abs=1e-12)
    assert covariance == pytest.approx(expected, abs=1e-9)


def test_the_same_scores_differ_in_nothing_and_nan_is_refused() -> None:
    labels, scores = [0, 1, 0, 1, 1, 0], [0.1, 0.8, 0.3, 0.2, 0.9, 0.4]
    same = compare_aucs(labels, scores, scores, against="itself")
    assert (same.p_value, same.verdict) == (1.0, "no difference shown")
    with pytest.raises(TrainingError):
        auc_interval(labels, [float("nan"), *scores[1:]])


def test_rates_agree_with_newcombe() -> None:
    assert newcombe_interval((56, 70), (48, 80)).low == pytest.approx(0.0524315, abs=1e-7)
    assert newcombe_interval((56, 70), (48, 80)).high == pytest.approx(0.3338727, abs=1e-7)
    assert wilson_interval(15, 148).high == pytest.approx(0.1604872, abs=1e-7)
    assert (wilson_interval(0, 20).low, wilson_interval(0, 20).high) == pytest.approx((0, 0.1611252), abs=1e-7)


def test_metrics_agree_with_the_references() -> None:
    truth = np.array([0.0, 0.0, 1.0, 1.0])
    ranked = np.array([0.1, 0.4, 0.35, 0.8])
    assert average_precision(truth, ranked) == pytest.approx(0.8333333, abs=1e-7)
    assert auc_interval(truth, ranked).value == pytest.approx(0.75)
    assert squared_errors(np.array([0, 1, 1, 0.0]), np.array([0.1, 0.9, 0.8, 0.3])).mean() == pytest.approx(0.0375)
    assert log_losses(np.array([1, 0, 0, 1.0]), np.array([0.9, 0.1, 0.2, 0.65])).mean() == pytest.approx(
        0.2161619, abs=1e-6
    )
    labels = np.array([0, 1, 1, 0, 1, 0, 1, 1, 0, 1.0])
    given = np.array([0.1, 0.9, 0.8, 0.3, 0.6, 0.4, 0.7, 0.9, 0.2, 0.5])
    assert calibration_error(labels, given, bins=5) == pytest.approx(0.18)
    assert calibration_error(labels, given, bins=10) == pytest.approx(0.26)


def test_bca_agrees_with_efrons_law_schools() -> None:
    lsat = [576, 635, 558, 578, 666, 580, 555, 661, 651, 605, 653, 575, 545, 572, 594]
    gpa = [3.39, 3.30, 2.81, 3.03, 3.44, 3.07, 3.00, 3.43, 3.36, 3.13, 3.12, 2.74, 2.76, 2.88, 2.96]
    rows = np.column_stack([lsat, gpa])
    found = bootstrap_interval(rows, lambda r: float(np.corrcoef(r[:, 0], r[:, 1])[0, 1]), seed=1, resamples=10_000)
    assert found.value == pytest.approx(0.7763745, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((0.345, 0.942), abs=0.02)
