"""Paired tests of losses: against scipy's paired t-test at many rows, and by what they must say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from keelway.errors import TrainingError
from keelway.evaluate import compare_aucs, compare_by
from keelway.evaluate.metrics import log_losses, squared_errors

ROWS = 5000


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    truth = draw.uniform(0.02, 0.98, ROWS)
    labels = (draw.uniform(size=ROWS) < truth).astype(float)
    blurred = np.clip(truth + draw.normal(0, 0.15, ROWS), 0.01, 0.99)
    return labels, truth, blurred


@pytest.mark.parametrize(("metric", "loss"), [("log_loss", log_losses), ("brier", squared_errors)])
def test_the_loss_test_agrees_with_a_paired_t_test(metric: str, loss) -> None:
    labels, truth, blurred = drawn(7)
    found = compare_by(metric, labels, truth, blurred, against="blurred")
    known = ttest_rel(loss(labels, truth), loss(labels, blurred))
    assert found.difference.value == pytest.approx(float((loss(labels, truth) - loss(labels, blurred)).mean()))
    assert found.p_value == pytest.approx(float(known.pvalue), rel=1e-9)
    assert found.verdict == "better"
    assert found.difference.high < 0


def test_the_other_way_round_it_is_worse_by_as_much() -> None:
    labels, truth, blurred = drawn(8)
    one = compare_by("log_loss", labels, truth, blurred, against="blurred")
    other = compare_by("log_loss", labels, blurred, truth, against="truth")
    assert other.verdict == "worse"
    assert other.difference.value == pytest.approx(-one.difference.value)


def test_the_same_scores_are_no_difference() -> None:
    labels, truth, _ = drawn(9)
    found = compare_by("log_loss", labels, truth, truth, against="itself")
    assert (found.verdict, found.p_value) == ("no difference shown", 1.0)


def test_auc_is_compared_by_delong() -> None:
    labels, truth, blurred = drawn(10)
    assert compare_by("roc_auc", labels, truth, blurred, against="x") == compare_aucs(
        labels, truth, blurred, against="x"
    )


def test_an_unknown_metric_is_refused() -> None:
    labels, truth, blurred = drawn(11)
    with pytest.raises(TrainingError, match=r"Unknown metric of binary.*found rmse"):
        compare_by("rmse", labels, truth, blurred, against="x")


def test_chance_alone_rarely_looks_like_a_difference() -> None:
    draw = np.random.default_rng(12)
    false = 0
    for _ in range(400):
        truth = draw.uniform(0.1, 0.9, 300)
        labels = (draw.uniform(size=300) < truth).astype(float)
        one, other = (np.clip(truth + draw.normal(0, 0.1, 300), 0.01, 0.99) for _ in range(2))
        false += compare_by("log_loss", labels, one, other, against="x").verdict != "no difference shown"
    assert false / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
