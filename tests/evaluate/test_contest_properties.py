"""What holds of every contest: turning it round, mixing its rows, and asking for more of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.evaluate import METRICS, Contest, contest, greater_is_better

ROWS = 200
TURNED = {
    "better": "worse",
    "worse": "better",
    "undecided": "undecided",
    "no difference worth having": "no difference worth having",
}
CLASSES = ("ash", "birch", "cedar")


def question(task: str, seed: int, *, apart: float = 1.0) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """Return truth, two models' predictions and the rest of a question."""
    draw = np.random.default_rng(seed)
    noise = [draw.normal(size=ROWS) * size for size in (1.0 + apart, 1.0)]
    if task == "regression":
        truth = draw.normal(20, 5, ROWS)
        return truth.tolist(), {"one": truth + noise[0], "two": truth + noise[1]}, {}
    if task == "binary":
        labels = draw.integers(0, 2, ROWS)
        one, two = (1 / (1 + np.exp(-(2 * labels - 1 + each))) for each in noise)
        return labels.tolist(), {"one": one, "two": two}, {}
    places = draw.integers(0, 3, ROWS)
    scores = [np.exp(2 * np.eye(3)[places] + draw.normal(size=(ROWS, 3)) * size) for size in (1.0 + apart, 1.0)]
    one, two = (each / each.sum(axis=1, keepdims=True) for each in scores)
    return [CLASSES[place] for place in places], {"one": one, "two": two}, {"classes": CLASSES}


def asked(task: Any, seed: int = 0, **choices: Any) -> Contest:
    truth, predictions, rest = question(task, seed)
    names = choices.pop("names", ["one", "two"])
    chosen = {"metrics": [METRICS[task][0]], "resamples": 100, **rest, **choices}
    return contest(truth, {name: predictions[name] for name in names}, task=task, **chosen)


TASKS = [(task, metric) for task in ("binary", "multiclass", "regression") for metric in METRICS[task]]  # type: ignore[index]


@pytest.mark.parametrize(("task", "metric"), TASKS)
def test_turning_a_duel_round_turns_its_verdict(task: Any, metric: str) -> None:
    [ahead] = asked(task, metrics=[metric]).duels
    [back] = asked(task, metrics=[metric], names=["two", "one"]).duels
    assert back.word == TURNED[ahead.word]
    assert back.comparison.difference.value == pytest.approx(-ahead.comparison.difference.value, abs=1e-12)
    assert back.comparison.p_value == pytest.approx(ahead.comparison.p_value, abs=1e-9)


@pytest.mark.parametrize(("task", "metric"), TASKS)
def test_the_better_model_is_the_one_with_the_better_figure(task: Any, metric: str) -> None:
    found = asked(task, seed=1, metrics=[metric])
    figures = [each.figures[metric].value for each in found.models]
    [duel] = found.duels
    assert duel.comparison.difference.value == pytest.approx(figures[1] - figures[0], abs=1e-9)
    if duel.word in ("better", "worse"):
        assert (duel.word == "better") == ((figures[1] > figures[0]) == greater_is_better(metric))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_model_is_never_better_than_itself(task: Any) -> None:
    truth, predictions, rest = question(task, 0)
    found = contest(
        truth,
        {"one": predictions["one"], "again": predictions["one"]},
        task=task,
        metrics=METRICS[task],  # type: ignore[index]
        resamples=100,
        **rest,
    )
    assert {each.word for each in found.duels} == {"no difference worth having"}
    assert found.leader == "one"


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_rows_decides_nothing_where_nothing_is_drawn(seed: int) -> None:
    truth, predictions, _ = question("binary", seed)
    order = np.random.default_rng(seed).permutation(ROWS)
    metrics = ["roc_auc", "log_loss", "accuracy"]
    one = contest(truth, predictions, task="binary", metrics=metrics, resamples=100)
    two = contest(
        [truth[place] for place in order],
        {name: values[order] for name, values in predictions.items()},
        task="binary",
        metrics=metrics,
        resamples=100,
    )
    for first, second in zip(one.duels, two.duels, strict=True):
        assert first.word == second.word
        assert first.comparison.p_value == pytest.approx(second.comparison.p_value, rel=1e-6, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.floats(0, 0.5), min_size=2, max_size=2).map(sorted))
def test_a_wider_margin_never_makes_a_difference_worth_having(seed: int, margins: list[float]) -> None:
    truth, predictions, _ = question("binary", seed, apart=0.5)
    words = []
    for margin in margins:
        [duel] = contest(
            truth, predictions, task="binary", metrics=["roc_auc"], margins={"roc_auc": margin}, resamples=100
        ).duels
        words.append(duel.word)
    if words[0] == "no difference worth having":
        assert words[1] == "no difference worth having"
    if words[0] == "undecided":
        assert words[1] in ("undecided", "no difference worth having")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_more_rivals_make_nobody_better(seed: int, rivals: int) -> None:
    truth, predictions, _ = question("binary", seed, apart=0.3)
    draw = np.random.default_rng(seed)
    crowd = {
        f"r{number}": np.clip(predictions["one"] + 0.05 * draw.normal(size=ROWS), 0, 1) for number in range(rivals)
    }
    alone = contest(truth, predictions, task="binary", metrics=["roc_auc"], resamples=100).duels[0]
    among = contest(truth, {**predictions, **crowd}, task="binary", metrics=["roc_auc"], resamples=100).duels[0]
    assert among.comparison.p_value >= alone.comparison.p_value
    assert among.word == alone.word or among.word == "undecided"


def test_what_is_better_by_chance_alone_is_rare() -> None:
    """Two hundred times two models that are equally good: one in twenty may be called better or worse, and hardly more."""
    wrong = 0
    for seed in range(200):
        truth, predictions, _ = question("binary", seed, apart=0.0)
        [duel] = contest(truth, predictions, task="binary", metrics=["log_loss"], resamples=100).duels
        wrong += duel.word in ("better", "worse")
    assert wrong <= 10 + 3 * (200 * 0.05 * 0.95) ** 0.5


def test_a_model_that_is_better_by_far_is_found_every_time() -> None:
    for seed in range(20):
        truth, predictions, _ = question("binary", seed, apart=4.0)
        [duel] = contest(truth, predictions, task="binary", metrics=["roc_auc"], resamples=100).duels
        assert duel.word == "better"
