"""What differences show: better, worse, equivalent or nothing; with any metric, over several models, in words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn_by
from hypothesis import settings
from hypothesis import strategies as st
from scipy import stats

from keelway.errors import TrainingError
from keelway.evaluate import (
    METRICS,
    Comparison,
    Interval,
    adjusted,
    compare_all,
    compare_by,
    corrected,
    greater_is_better,
    in_words,
    measure,
    verdict_of,
)

CLASSES = ("a", "b", "c")


def drawn(task: str, rows: int = 500, seed: int = 0, blur: float = 1.0) -> tuple[Any, Any, Any]:
    """Return truth, good predictions and bad ones."""
    draw = np.random.default_rng(seed)
    if task == "regression":
        truth = draw.exponential(5, rows) + 1
        return truth, truth + draw.normal(0, 1, rows), truth + draw.normal(0, 1 + blur, rows)
    if task == "multiclass":
        places = draw.integers(0, 3, rows)
        made = []
        for signal, boldness in ((2.0, 2.0), (2.0 - blur, 3.0)):  # boldness equal to the signal is calibrated
            odds = np.exp(boldness * (signal * np.eye(3)[places] + draw.normal(size=(rows, 3))))
            made.append(odds / odds.sum(axis=1, keepdims=True))
        return np.array(CLASSES)[places], made[0], made[1]
    chance = draw.beta(0.5, 0.5, rows)
    worse = np.clip(chance + draw.normal(0, 0.35 * blur, rows), 0.01, 0.99)
    return (draw.random(rows) < chance).astype(float), np.clip(chance, 0.01, 0.99), worse


CASES = [(task, name) for task in ("binary", "multiclass", "regression") for name in METRICS[task]]


@pytest.mark.parametrize(("task", "metric"), CASES)
def test_any_metric_tells_a_good_model_from_a_bad_one(task: Any, metric: str) -> None:
    truth, good, bad = drawn(task, rows=1500)
    classes = CLASSES if task == "multiclass" else ()
    choices: dict[str, Any] = {"task": task, "classes": classes, "resamples": 300}
    found = compare_by(metric, truth, good, bad, against="bad", **choices)
    back = compare_by(metric, truth, bad, good, against="good", **choices)
    values = [
        measure(task, truth, each, metrics=[metric], classes=classes, seed=0, resamples=100)[metric].value
        for each in (good, bad)
    ]
    assert found.difference.value == pytest.approx(values[0] - values[1])
    assert (found.difference.value > 0) == greater_is_better(metric)
    assert back.difference.value == pytest.approx(-found.difference.value)
    assert found.p_value == pytest.approx(back.p_value, rel=1e-6, abs=1e-300)
    assert (found.verdict, back.verdict) == ("better", "worse")
    assert (found.metric, found.against) == (metric, "bad")
    same = compare_by(metric, truth, good, good, against="itself", **choices)
    assert (same.verdict, same.p_value, same.difference.low, same.difference.value) == (
        "no difference shown",
        1.0,
        pytest.approx(0, abs=0.01),
        0,
    )


@pytest.mark.parametrize(
    ("metric", "task"),
    [("rmse", "regression"), ("accuracy", "binary"), ("f1", "binary"), ("roc_auc_ovr", "multiclass")],
)
def test_without_a_difference_false_alarms_are_as_rare_as_said(metric: str, task: Any) -> None:
    alarms, draws = 0, 300
    for seed in range(draws):
        draw = np.random.default_rng(10_000 + seed)
        truth, good, _ = drawn(task, rows=200, seed=seed)
        one, two = (
            np.clip(good + draw.normal(0, 0.3, np.shape(good)), 0.01, 0.99 if task != "regression" else None)
            for _ in range(2)
        )
        found = compare_by(
            metric,
            truth,
            one,
            two,
            against="x",
            task=task,
            classes=CLASSES if task == "multiclass" else (),
            resamples=150,
        )
        alarms += found.p_value < 0.05
    assert alarms / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


def test_a_paired_bootstrap_agrees_with_the_t_test_where_both_apply() -> None:
    truth, good, bad = drawn("regression", rows=800)
    tested = compare_by("mae", truth, good, bad, against="bad", task="regression")
    drawn_again = compare_by(
        "mae", truth, good, bad, against="bad", task="regression", groups=np.arange(800), resamples=4000
    )
    assert drawn_again.difference.method == "paired bootstrap, 4000"
    assert (tested.difference.low, tested.difference.high) == pytest.approx(
        (drawn_again.difference.low, drawn_again.difference.high), rel=0.05
    )
    known = stats.ttest_rel(np.abs(good - truth), np.abs(bad - truth))
    assert tested.p_value == pytest.approx(known.pvalue)
    ends = known.confidence_interval()
    assert (tested.difference.low, tested.difference.high) == pytest.approx((ends.low, ends.high))


def test_accuracies_are_compared_by_mcnemar() -> None:
    truth = [1] * 30
    found = compare_by("accuracy", truth, [0.9] * 12 + [0.1] * 3 + [0.9] * 15, [0.1] * 12 + [0.9] * 18, against="x")
    assert found.p_value == pytest.approx(stats.binomtest(3, 15, 0.5).pvalue)
    assert found.difference.value == pytest.approx(9 / 30)
    assert found.difference.low < 9 / 30 < found.difference.high


def test_rows_of_one_entity_are_compared_as_one() -> None:
    truth, good, bad = drawn("binary", rows=40, blur=0.6)
    again = np.tile(np.arange(40), 12)
    for metric in ("roc_auc", "log_loss", "accuracy", "f1"):
        alone = compare_by(metric, truth, good, bad, against="bad", resamples=400, seed=1)
        copied = compare_by(metric, truth[again], good[again], bad[again], against="bad", resamples=400)
        together = compare_by(metric, truth[again], good[again], bad[again], against="bad", groups=again, resamples=400)
        widths = [each.difference.high - each.difference.low for each in (alone, copied, together)]
        assert widths[1] < 0.5 * widths[2], metric
        assert widths[2] == pytest.approx(widths[0], rel=0.25), metric


def test_lists_are_compared_as_lists() -> None:
    draw = np.random.default_rng(3)
    lists = np.repeat(np.arange(120), 10)
    relevance = draw.integers(0, 2, 1200)
    good, bad = relevance + draw.normal(0, 0.5, 1200), relevance + draw.normal(0, 3, 1200)
    found = compare_by("ndcg_at_5", relevance, good, bad, against="bad", task="ranking", groups=lists)
    assert (found.verdict, found.difference.method) == ("better", "paired t over lists")


def interval(value: float, half: float) -> Interval:
    return Interval(value, value - half, value + half, 0.95, "test")


@pytest.mark.parametrize(
    ("value", "half", "p_value", "least", "up", "verdict"),
    [
        (0.02, 0.01, 0.001, 0.0, True, "better"),
        (0.02, 0.01, 0.001, 0.0, False, "worse"),
        (-0.02, 0.01, 0.001, 0.0, False, "better"),
        (0.02, 0.03, 0.2, 0.0, True, "no difference shown"),
        (0.001, 0.002, 0.3, 0.005, True, "equivalent"),
        (0.003, 0.001, 0.001, 0.005, True, "equivalent"),
        (0.004, 0.003, 0.01, 0.005, True, "no difference shown"),
        (0.02, 0.01, 0.001, 0.005, True, "better"),
        (-0.02, 0.01, 0.001, 0.005, True, "worse"),
        (0.001, 0.02, 0.9, 0.005, True, "no difference shown"),
        (0.02, 0.01, float("nan"), 0.0, True, "no difference shown"),
    ],
)
def test_a_verdict_needs_significance_and_size(
    value: float, half: float, p_value: float, least: float, up: bool, verdict: str
) -> None:
    assert verdict_of(interval(value, half), p_value, greater_is_better=up, smallest_difference=least) == verdict


@settings(max_examples=200, deadline=None)
@drawn_by(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_other_side_sees_the_opposite(value: float, half: float, p_value: float, least: float) -> None:
    mirrored = {"better": "worse", "worse": "better"}
    one = verdict_of(interval(value, half), p_value, greater_is_better=True, smallest_difference=least)
    other = verdict_of(interval(-value, half), p_value, greater_is_better=True, smallest_difference=least)
    turned = verdict_of(interval(value, half), p_value, greater_is_better=False, smallest_difference=least)
    assert other == turned
    if value != 0:
        assert other == mirrored.get(one, one)


@pytest.mark.parametrize(
    ("verdict", "starts"),
    [
        ("better", "better than churn:1: "),
        ("worse", "worse than churn:1: "),
        ("equivalent", "equivalent to churn:1, to within 0.005: "),
        ("no difference shown", "no difference from churn:1 that matters is shown: "),
    ],
)
def test_verdicts_are_sentences(verdict: Any, starts: str) -> None:
    told = in_words(Comparison("churn:1", interval(0.01, 0.02), 0.2, verdict, "f1", 0.005))
    assert told == f"{starts}f1 differs by +0.0100 (-0.0100 to +0.0300, p = 0.200)"


def test_words_say_how_p_values_were_corrected() -> None:
    told = in_words(Comparison("x", interval(0.01, 0.001), 1e-9, "better", "f1", 0.0, "benjamini-hochberg"))
    assert told.endswith("p < 0.001 after Benjamini-Hochberg)")


@settings(max_examples=100, deadline=None)
@drawn_by(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_corrections_keep_the_order_and_never_help(p_values: list[float], random: Any) -> None:
    order = random.sample(range(len(p_values)), len(p_values))
    for how in ("none", "bonferroni", "holm", "hochberg", "hommel", "benjamini-hochberg", "benjamini-yekutieli"):
        found = adjusted(p_values, how)
        assert all(before <= after + 1e-12 and after <= 1 for before, after in zip(p_values, found, strict=True))
        assert adjusted([p_values[place] for place in order], how) == pytest.approx([found[place] for place in order])
        ranked = [after for _, after in sorted(zip(p_values, found, strict=True))]
        assert ranked == pytest.approx(sorted(ranked))
    strict, holm, loose = (adjusted(p_values, how) for how in ("bonferroni", "holm", "benjamini-hochberg"))
    assert all(a >= b - 1e-12 and b >= c - 1e-12 for a, b, c in zip(strict, holm, loose, strict=True))


def test_several_models_are_compared_with_one_and_corrected() -> None:
    truth, good, bad = drawn("binary", rows=400)
    draw = np.random.default_rng(1)
    rivals = {f"noise {number}": np.clip(bad + draw.normal(0, 0.05, 400), 0.01, 0.99) for number in range(6)}
    found = compare_all("brier", truth, {"bad": bad, "good": good, **rivals}, baseline="bad", smallest_difference=0.01)
    assert list(found) == ["good", *rivals]
    assert found["good"].verdict == "better"
    assert {each.correction for each in found.values()} == {"holm"}
    raw = {name: compare_by("brier", truth, given, bad, against="bad").p_value for name, given in rivals.items()}
    assert all(found[name].p_value >= raw[name] for name in rivals)
    with pytest.raises(TrainingError, match="baseline is not among"):
        compare_all("brier", truth, {"good": good}, baseline="bad")


def test_one_comparison_needs_no_correction() -> None:
    (one,) = corrected([Comparison("x", interval(0.02, 0.01), 0.03, "better")])
    assert (one.p_value, one.verdict, one.correction) == (0.03, "better", "none")
    assert corrected([]) == ()


def test_a_correction_can_take_a_verdict_back() -> None:
    found = corrected([Comparison(str(number), interval(0.02, 0.019), 0.04, "better") for number in range(3)])
    assert [each.verdict for each in found] == ["no difference shown"] * 3
    assert [each.p_value for each in found] == pytest.approx([0.12] * 3)
