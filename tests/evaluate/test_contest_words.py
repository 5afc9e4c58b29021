"""Each sentence of a verdict, word by word, for metrics of which more is better and of which less is."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

from keelway.evaluate import Comparison, Interval, chance_of
from keelway.evaluate.contest import sentence_of, word_of, words
from keelway.evaluate.verdict import verdict_of

UP, DOWN = "roc_auc", "rmse"


def found(metric: str, value: float, low: float, high: float, **choices: Any) -> Comparison:
    """Return a comparison with the verdict that its figures give."""
    margin, p_value = choices.get("margin", 0.0), choices.get("p_value", 0.01)
    gap = Interval(value, low, high, 0.95, "paired t")
    verdict = verdict_of(gap, p_value, greater_is_better=metric == UP, smallest_difference=margin)
    return Comparison("old", gap, p_value, verdict, metric, margin, choices.get("correction", "none"))


@pytest.mark.parametrize(
    ("comparison", "word", "sentence"),
    [
        pytest.param(
            found(UP, 0.02, 0.01, 0.03),
            "better",
            "new is better than old: its roc_auc is higher by 0.02 [0.01, 0.03].",
            id="more is better, and more it is",
        ),
        pytest.param(
            found(UP, -0.02, -0.03, -0.01),
            "worse",
            "new is worse than old: its roc_auc is lower by 0.02 [0.01, 0.03].",
            id="more is better, and less it is",
        ),
        pytest.param(
            found(DOWN, -1.5, -2.0, -1.0, margin=0.5),
            "better",
            "new is better than old: its rmse is lower by 1.5 [1, 2], which is above the margin 0.5.",
            id="less is better, and less it is",
        ),
        pytest.param(
            found(DOWN, 1.5, 1.0, 2.0, margin=0.5),
            "worse",
            "new is worse than old: its rmse is higher by 1.5 [1, 2], which is above the margin 0.5.",
            id="less is better, and more it is",
        ),
        pytest.param(
            found(UP, 0.02, 0.01, 0.03, margin=0.02),
            "better",
            "new is better than old: its roc_auc is higher by 0.02 [0.01, 0.03], which is just the margin 0.02.",
            id="exactly the margin",
        ),
        pytest.param(
            found(UP, 0.001, -0.002, 0.004, margin=0.01, p_value=0.5),
            "no difference worth having",
            "No difference worth having between new and old: roc_auc differs by +0.001 [-0.002, +0.004] (higher is "
            "better), within the margin 0.01 either way.",
            id="equivalent",
        ),
        pytest.param(
            found(UP, 0.003, 0.001, 0.005, margin=0.01, p_value=0.003),
            "no difference worth having",
            "No difference worth having between new and old: roc_auc differs by +0.003 [+0.001, +0.005] (higher is "
            "better), within the margin 0.01 either way.",
            id="clear, and too small to matter",
        ),
        pytest.param(
            found(UP, 0.004, 0.001, 0.007, margin=0.005),
            "undecided",
            "Undecided between new and old: roc_auc differs by +0.004 [+0.001, +0.007] (higher is better), which is below "
            "the margin 0.005 but may be above it.",
            id="clear, below the margin, maybe above",
        ),
        pytest.param(
            found(DOWN, 0.3, -0.4, 1.0, margin=0.5, p_value=0.4),
            "undecided",
            "Undecided between new and old: rmse differs by +0.3 [-0.4, +1] (lower is better): it may be worth more than "
            "the margin 0.5, or nothing.",
            id="anything, with a margin",
        ),
        pytest.param(
            found(DOWN, 0.3, -0.4, 1.0, p_value=0.4),
            "undecided",
            "Undecided between new and old: rmse differs by +0.3 [-0.4, +1] (lower is better): it may be either way.",
            id="anything, without a margin",
        ),
        pytest.param(
            found(UP, 0.02, 0.001, 0.039, p_value=0.2, correction="benjamini-hochberg"),
            "undecided",
            "Undecided between new and old: roc_auc differs by +0.02 [+0.001, +0.039] (higher is better), which so many "
            "comparisons may show by chance (p = 0.200 after Benjamini-Hochberg).",
            id="lost among many",
        ),
    ],
)
def test_a_comparison_is_said_like_this(comparison: Comparison, word: str, sentence: str) -> None:
    assert (word_of(comparison), sentence_of("new", comparison)) == (word, sentence)


def test_the_same_predictions_are_said_to_be_the_same_whatever_the_figures() -> None:
    comparison = found(UP, 0.0, -0.01, 0.01, p_value=1.0)
    assert word_of(comparison) == "undecided"
    assert word_of(comparison, same=True) == "no difference worth having"
    assert sentence_of("new", comparison, same=True) == "new predicts the same as old for every row."


@pytest.mark.parametrize(
    ("p_value", "correction", "told"),
    [
        (0.0416, "none", "p = 0.042"),
        (0.001, "none", "p = 0.001"),
        (0.00099, "none", "p < 0.001"),
        (0.0, "holm", "p < 0.001 after Holm"),
        (1.0, "hommel", "p = 1.000 after Hommel"),
        (0.2, "benjamini-hochberg", "p = 0.200 after Benjamini-Hochberg"),
    ],
)
def test_chance_is_told_with_its_correction(p_value: float, correction: Any, told: str) -> None:
    assert chance_of(found(UP, 0.0, -0.01, 0.01, p_value=p_value, correction=correction)) == told


def test_the_examples_of_the_module_hold() -> None:
    assert doctest.testmod(words).failed == 0
