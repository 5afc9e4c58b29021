"""Every metric is scikit-learn's, for every task; its interval holds it; weights are rows that are there more often."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from keelway.errors import TrainingError
from keelway.evaluate import METRICS, class_auc_interval, greater_is_better, measure
from keelway.evaluate.figures import list_figures
from keelway.evaluate.measure import AREAS, figures_of
from keelway.evaluate.metrics import calibration_error
from keelway.evaluate.uncertainty import draws_of

CLASSES = ("ant", "bee", "cat", "dog")
QUICK = {"seed": 3, "resamples": 100}


def binary(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    chance = draw.beta(1, 2, rows)
    return (draw.random(rows) < chance).astype(float), np.round(np.clip(chance + draw.normal(0, 0.1, rows), 0, 1), 2)


def multiclass(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    places = draw.choice(4, rows, p=[0.4, 0.3, 0.2, 0.1])
    logits = draw.normal(size=(rows, 4)) + 2 * np.eye(4)[places]
    chances = np.exp(logits)
    return places, np.array(CLASSES)[places], chances / chances.sum(axis=1, keepdims=True)


def numbers(rows: int = 401, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    truth = draw.exponential(10, rows) + 1
    return truth, truth + draw.normal(0, 3, rows)


def test_binary_metrics_are_scikit_learns() -> None:
    labels, given = binary()
    said = given >= 0.5
    found = measure("binary", labels, given, **QUICK)
    assert tuple(found) == METRICS["binary"]
    expected = {
        "roc_auc": peer.roc_auc_score(labels, given),
        "log_loss": peer.log_loss(labels, given),
        "brier": peer.brier_score_loss(labels, given),
        "average_precision": peer.average_precision_score(labels, given),
        "ece": calibration_error(labels, given),
        "accuracy": peer.accuracy_score(labels, said),
        "balanced_accuracy": peer.balanced_accuracy_score(labels, said),
        "precision": peer.precision_score(labels, said),
        "recall": peer.recall_score(labels, said),
        "f1": peer.f1_score(labels, said),
        "mcc": peer.matthews_corrcoef(labels, said),
    }
    assert {name: each.value for name, each in found.items()} == pytest.approx(expected)


def test_multiclass_metrics_are_scikit_learns() -> None:
    places, names, given = multiclass()
    said = given.argmax(axis=1)
    found = measure("multiclass", names, given, classes=CLASSES, **QUICK)
    assert tuple(found) == METRICS["multiclass"]
    expected = {
        "accuracy": peer.accuracy_score(places, said),
        "balanced_accuracy": peer.balanced_accuracy_score(places, said),
        "log_loss": peer.log_loss(places, given),
        "f1_macro": peer.f1_score(places, said, average="macro"),
        "roc_auc_ovr": peer.roc_auc_score(places, given, multi_class="ovr"),
        "ece": calibration_error((said == places).astype(float), given.max(axis=1)),
    }
    assert {name: each.value for name, each in found.items()} == pytest.approx(expected)


def test_regression_metrics_are_scikit_learns() -> None:
    truth, given = numbers()
    found = measure("regression", truth, given, metrics=[*METRICS["regression"], "pinball_90"], **QUICK)
    expected = {
        "rmse": peer.root_mean_squared_error(truth, given),
        "mae": peer.mean_absolute_error(truth, given),
        "medae": peer.median_absolute_error(truth, given),
        "r2": peer.r2_score(truth, given),
        "mape": peer.mean_absolute_percentage_error(truth, given),
        "pinball": peer.mean_pinball_loss(truth, given),
        "pinball_90": peer.mean_pinball_loss(truth, given, alpha=0.9),
    }
    assert {name: each.value for name, each in found.items()} == pytest.approx(expected)


def test_ndcg_is_scikit_learns_also_with_ties() -> None:
    draw = np.random.default_rng(1)
    relevance, scores = draw.integers(0, 4, (30, 12)), draw.integers(0, 5, (30, 12))
    relevance[:, 0] = 1  # no list without anything relevant
    lists = np.repeat(np.arange(30), 12)
    per_list = list_figures(["ndcg_at_5"], relevance.ravel().astype(float), scores.ravel().astype(float), lists)
    found = measure(
        "ranking", relevance.ravel(), scores.ravel(), metrics=["ndcg_at_5"], groups=lists, seed=0, resamples=200
    )["ndcg_at_5"]
    assert found.value == pytest.approx(peer.ndcg_score(relevance, scores, k=5))
    for row, value in enumerate(per_list["ndcg_at_5"]):
        assert value == pytest.approx(peer.ndcg_score(relevance[row : row + 1], scores[row : row + 1], k=5))
    assert found.low < found.value < found.high


def slow_list_figures(relevance: list[int], scores: list[float], cut: int) -> dict[str, float]:
    """Return what the definitions say, for a list without ties."""
    ranked = [relevance[place] for place in sorted(range(len(scores)), key=lambda place: -scores[place])]
    top, there = ranked[:cut], sum(ranked)
    precisions = [sum(ranked[: place + 1]) / (place + 1) for place in range(len(top)) if top[place]]
    return {
        f"precision_at_{cut}": sum(top) / cut,
        f"recall_at_{cut}": sum(top) / there,
        f"map_at_{cut}": sum(precisions) / min(there, cut),
    }


def test_ranking_metrics_are_their_definitions() -> None:
    draw = np.random.default_rng(2)
    relevance = draw.integers(0, 2, (25, 9))
    relevance[:, 3] = 1
    scores = draw.permuted(np.tile(np.arange(9.0), (25, 1)), axis=1)
    names = ["precision_at_4", "recall_at_4", "map_at_4"]
    slow = [slow_list_figures(*each, 4) for each in zip(relevance.tolist(), scores.tolist(), strict=True)]
    found = measure(
        "ranking", relevance.ravel(), scores.ravel(), metrics=names, groups=np.repeat(np.arange(25), 9), **QUICK
    )
    for name in names:
        assert found[name].value == pytest.approx(np.mean([each[name] for each in slow]))
        alone = measure("ranking", relevance[0], scores[0], metrics=[name], **QUICK)[name]
        assert alone.value == pytest.approx(slow[0][name])
        assert alone.low <= alone.value <= alone.high


def test_a_list_without_anything_relevant_is_left_out_and_ten_is_usual() -> None:
    relevance, lists = [1, 0, 0, 0, 0, 1], [1, 1, 2, 2, 3, 3]
    found = measure("ranking", relevance, [2, 1, 2, 1, 2, 1], groups=lists, **QUICK)
    assert tuple(found) == METRICS["ranking"]
    assert found["recall_at_10"].value == 1.0
    assert found["map_at_10"].value == pytest.approx(0.75)
    assert found["precision_at_10"].value == pytest.approx(0.2 / 3)
    with pytest.raises(TrainingError, match="has no value"):
        measure("ranking", [0, 0], [1, 2], metrics=["map_at_1"], groups=[1, 1], **QUICK)


def test_a_binary_model_can_be_measured_on_its_first_rows() -> None:
    labels, given = binary()
    found = measure("binary", labels, given, metrics=["precision_at_50", "recall_at_50"], **QUICK)
    best = labels[np.argsort(-given, kind="stable")[:50]].sum()
    assert (found["precision_at_50"].value, found["recall_at_50"].value) == pytest.approx(
        (best / 50, best / labels.sum())
    )


def figures(task: Any, rows: int, seed: int = 0) -> tuple[dict[str, Any], int]:
    """Return every figure of a task that is a function of weights, over made-up rows."""
    names = [name for name in METRICS[task] if name not in AREAS]
    if task == "multiclass":
        places, _, given = multiclass(rows, seed)
        return figures_of(task, names, places.astype(float), given), rows
    truth, given = binary(rows, seed) if task == "binary" else numbers(rows, seed)
    return figures_of(task, names, truth, given), rows


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_weight_is_a_row_that_is_there_more_often(task: Any) -> None:
    made, rows = figures(task, 120)
    weights = np.random.default_rng(5).poisson(1, (4, rows)).astype(float)
    for name, figure in made.items():
        for drawn, value in zip(weights, figure.of(weights), strict=True):
            again = np.repeat(np.arange(rows), drawn.astype(int))
            if task == "multiclass":
                places, _, given = multiclass(rows)
                parts = places[again].astype(float), given[again]
            else:
                truth, given = binary(rows) if task == "binary" else numbers(rows)
                parts = truth[again], given[again]
            repeated = figures_of(task, [name], *parts)[name].of(np.ones((1, len(again))))[0]
            assert value == pytest.approx(repeated), name


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_quick_jackknife_leaves_each_row_out(task: Any) -> None:
    made, rows = figures(task, 60, seed=4)
    whole, left_out = np.ones((1, rows)), 1 - np.eye(rows)
    for name, figure in made.items():
        influences = figure.influences()
        if not influences.any():
            assert name == "medae"
            continue
        assert influences == pytest.approx(figure.of(whole)[0] - figure.of(left_out), abs=1e-12), name


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_units_are_rows_that_are_drawn_together(task: Any) -> None:
    made, rows = figures(task, 90)
    groups = np.random.default_rng(6).integers(0, 20, rows)
    draws = draws_of(rows, seed=0, groups=groups)
    weights = np.random.default_rng(7).poisson(1, (3, draws.count)).astype(float)
    for name, figure in made.items():
        assert figure.by(draws).of(weights) == pytest.approx(figure.of(weights[:, draws.units])), name


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000), st.sampled_from(["binary", "multiclass", "regression"]), st.randoms(use_true_random=False)
)
def test_the_order_of_rows_does_not_matter(seed: int, task: Any, random: Any) -> None:
    rows = 50
    order = random.sample(range(rows), rows)
    classes = CLASSES if task == "multiclass" else ()
    if task == "multiclass":
        _, truth, given = multiclass(rows, seed)
    else:
        truth, given = binary(rows, seed) if task == "binary" else numbers(rows, seed)
    one = measure(task, truth, given, classes=classes, **QUICK)
    other = measure(task, truth[order], given[order], classes=classes, **QUICK)
    assert set(one) == set(other)
    for name, each in one.items():
        assert other[name].value == pytest.approx(each.value), name
        assert each.low <= each.value <= each.high, name


def test_the_mean_of_areas_spreads_over_fresh_rows_as_its_interval_says() -> None:
    found = [
        class_auc_interval(places, chances) for places, _, chances in (multiclass(300, seed) for seed in range(400))
    ]
    widths = [(each.high - each.low) / 2 / 1.959964 for each in found]
    assert np.mean(widths) == pytest.approx(np.std([each.value for each in found]), rel=0.12)
    truth = np.mean([each.value for each in found])
    assert 0.92 <= np.mean([each.low <= truth <= each.high for each in found]) <= 0.98


def test_which_way_metrics_point() -> None:
    up = {"roc_auc", "average_precision", "accuracy", "balanced_accuracy", "precision", "recall", "f1", "mcc", "r2",
          "f1_macro", "roc_auc_ovr", "ndcg_at_10", "precision_at_10", "recall_at_10", "map_at_10"}  # fmt: skip
    every = {name for names in METRICS.values() for name in names} | {"pinball_90"}
    assert {name for name in every if greater_is_better(name)} == up


@pytest.mark.parametrize(
    ("task", "truth", "given", "metrics", "match"),
    [
        ("binary", [0, 1], [0.1, 0.2], ["f2"], "Unknown metrics of binary.*found f2"),
        ("binary", [0, 1], [0.1, 0.2], ["ndcg_at_0"], "Unknown metrics"),
        ("regression", [0, 1], [0.1, 0.2], ["pinball_100"], "Unknown metrics"),
        ("binary", [0, 1], [0.1], ["brier"], "do not fit"),
        ("binary", [], [], ["brier"], "do not fit"),
        ("binary", [0, 2], [0.1, 0.2], ["brier"], "0 or 1.*found 2"),
        ("binary", [0, 1], [0.1, float("nan")], ["brier"], "not numbers.*found 1 of 2"),
        ("binary", [0, 1], [0.1, 1.2], ["brier"], r"outside \[0, 1\]"),
        ("binary", [0, 1], [0.1, 0.2], ["precision"], "precision cannot be measured"),
        ("binary", [0, 0], [0.1, 0.2], ["recall"], "recall cannot be measured"),
        ("regression", [1, 1], [0.1, 0.2], ["r2"], "r2 cannot be measured.*truths that vary"),
        ("regression", [1, float("inf")], [0.1, 0.2], ["mae"], "finite numbers"),
        ("multiclass", ["ant", "elk"], np.full((2, 4), 0.25), ["accuracy"], "never saw.*found elk"),
        ("binary", [0, 1], [0.1, 0.2], ["roc_auc"], "two or more of each"),
    ],
)
def test_what_cannot_be_measured_is_refused(task: Any, truth: Any, given: Any, metrics: Any, match: str) -> None:
    with pytest.raises(TrainingError, match=match):
        measure(task, truth, given, metrics=metrics, classes=CLASSES if task == "multiclass" else (), **QUICK)


def test_scores_outside_0_and_1_still_rank() -> None:
    labels, given = binary()
    found = measure("binary", labels, given * 7 - 3, metrics=["roc_auc", "average_precision"], **QUICK)
    assert found == measure("binary", labels, given, metrics=["roc_auc", "average_precision"], **QUICK)


def test_usual_metrics_without_a_value_are_left_out() -> None:
    labels, given = binary()
    found = measure("binary", labels, given / 4, **QUICK)
    assert set(METRICS["binary"]) - set(found) == {"precision"}
    one_class = measure("binary", np.zeros(50), given[:50], **QUICK)
    assert {"roc_auc", "recall", "average_precision"}.isdisjoint(one_class)
    assert one_class["accuracy"].value == np.mean(given[:50] < 0.5)
