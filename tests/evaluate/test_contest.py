"""Several models on the same rows: who is better, by how much, and whether that is worth having."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.errors import TrainingError
from keelway.evaluate import (
    Comparison,
    Contest,
    Interval,
    chance_of,
    compare_aucs,
    compare_by,
    contest,
    measure,
)
from keelway.evaluate.contest import sentence_of, word_of
from keelway.evaluate.verdict import verdict_of

ROWS = 600
CLASSES = ("ash", "birch", "cedar")


def outcomes(rows: int = ROWS, seed: int = 0) -> tuple[list[int], dict[str, Any]]:
    """Return outcomes, and what a weak, a strong and a copied model say of them."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, rows)
    signal = truth - 0.5
    weak = 1 / (1 + np.exp(-(signal + 1.2 * draw.normal(size=rows))))
    strong = 1 / (1 + np.exp(-(2 * signal + 0.9 * draw.normal(size=rows))))
    return truth.tolist(), {"weak": weak, "strong": strong, "copy": weak + 1e-9}


def binary(**choices: Any) -> Contest:
    truth, predictions = outcomes()
    return contest(truth, predictions, task="binary", **{"metrics": ["roc_auc", "log_loss"], **choices})


def sentences(found: Contest) -> dict[tuple[str, str], str]:
    return {(each.name, each.comparison.metric): each.sentence for each in found.duels}


def test_a_better_model_is_said_to_be_better_with_figure_interval_and_margin() -> None:
    found = binary(margins={"roc_auc": 0.01})
    said = sentences(found)["strong", "roc_auc"]
    gap = found.duels[0].comparison.difference
    assert said == (
        f"strong is better than weak: its roc_auc is higher by {gap.value:.4g} [{gap.low:.4g}, {gap.high:.4g}], "
        "which is above the margin 0.01."
    )
    assert found.leader == "strong"


def test_less_is_better_for_a_loss() -> None:
    said = sentences(binary())["strong", "log_loss"]
    assert said.startswith("strong is better than weak: its log_loss is lower by 0.")
    assert "margin" not in said


def test_the_same_predictions_are_no_difference_worth_having() -> None:
    found = binary()
    copied = [each for each in found.duels if each.name == "copy"]
    assert {each.word for each in copied} == {"no difference worth having"}
    assert {each.sentence for each in copied} == {"copy predicts the same as weak for every row."}


def test_the_baseline_leads_unless_another_is_shown_to_be_better() -> None:
    truth, predictions = outcomes()
    turned = {"strong": predictions["strong"], "weak": predictions["weak"]}
    found = contest(truth, turned, task="binary", metrics=["roc_auc"])
    assert (found.leader, found.baseline.name, found.duels[0].word) == ("strong", "strong", "worse")
    assert "weak is worse than strong: its roc_auc is lower by" in found.duels[0].sentence


def test_the_best_of_several_better_ones_leads() -> None:
    truth, predictions = outcomes()
    middle = (predictions["weak"] + predictions["strong"]) / 2
    models = {"weak": predictions["weak"], "middle": middle, "strong": predictions["strong"]}
    for metric in ("roc_auc", "log_loss"):
        figures = {
            name: measure("binary", truth, each, metrics=[metric], seed=0)[metric].value
            for name, each in models.items()
        }
        best = (min if metric == "log_loss" else max)(figures, key=lambda name: figures[name])
        assert contest(truth, models, task="binary", metrics=[metric]).leader == best


def test_a_margin_beyond_reach_makes_a_difference_not_worth_having() -> None:
    truth, predictions = outcomes(4000)
    near = np.clip(predictions["weak"] + np.random.default_rng(1).normal(size=4000) * 0.002, 0, 1)
    found = contest(
        truth,
        {"weak": predictions["weak"], "near": near},
        task="binary",
        metrics=["roc_auc"],
        margins={"roc_auc": 0.05},
    )
    [duel] = found.duels
    assert duel.word == "no difference worth having"
    assert "within the margin 0.05 either way" in duel.sentence
    assert found.leader == "weak"


def test_too_few_rows_leave_it_undecided() -> None:
    truth, predictions = outcomes(40, seed=3)
    blurred = np.clip(predictions["weak"] + np.random.default_rng(5).normal(size=40) * 0.05, 0, 1)
    models = {"weak": predictions["weak"], "blurred": blurred}
    [duel] = contest(truth, models, task="binary", metrics=["roc_auc"]).duels
    assert duel.word == "undecided"
    assert duel.sentence.startswith("Undecided between blurred and weak: roc_auc differs by")
    assert duel.sentence.endswith("(higher is better): it may be either way.")


@pytest.mark.parametrize("correction", ["holm", "benjamini-hochberg", "none"])
def test_figures_and_tests_are_those_of_the_single_functions(correction: Any) -> None:
    truth, predictions = outcomes()
    found = binary(correction=correction)
    for each in found.models:
        assert each.figures == measure("binary", truth, predictions[each.name], metrics=["roc_auc", "log_loss"], seed=0)
    alone = compare_aucs(truth, predictions["strong"], predictions["weak"], against="weak")
    assert found.duels[0].comparison.difference == alone.difference
    assert found.duels[0].comparison.p_value >= alone.p_value
    assert found.correction == found.duels[0].comparison.correction == correction


def test_all_comparisons_are_corrected_together() -> None:
    truth, predictions = outcomes(150, seed=2)
    draw = np.random.default_rng(0)
    models = {"weak": predictions["weak"]}
    models |= {f"m{place}": np.clip(models["weak"] + 0.15 * draw.normal(size=150), 0, 1) for place in range(4)}
    one = contest(truth, models, task="binary", metrics=["brier", "log_loss"], correction="none").duels
    held = contest(truth, models, task="binary", metrics=["brier", "log_loss"], correction="holm").duels
    smallest = min(one, key=lambda each: each.comparison.p_value)
    again = next(
        each for each in held if (each.name, each.comparison.metric) == (smallest.name, smallest.comparison.metric)
    )
    assert again.comparison.p_value == pytest.approx(min(1.0, 8 * smallest.comparison.p_value))
    assert "after Holm" in chance_of(again.comparison)
    assert "after" not in chance_of(smallest.comparison)


def test_what_only_many_comparisons_hide_is_said_so() -> None:
    gap = Interval(0.02, 0.002, 0.038, 0.95, "paired DeLong")
    found = Comparison("a", gap, 0.12, "no difference shown", correction="holm")
    assert sentence_of("b", found) == (
        "Undecided between b and a: roc_auc differs by +0.02 [+0.002, +0.038] (higher is better), which so many "
        "comparisons may show by chance (p = 0.120 after Holm)."
    )


def test_a_clear_difference_below_the_margin_is_undecided_while_it_may_be_above() -> None:
    gap = Interval(0.004, 0.001, 0.007, 0.95, "paired DeLong")
    found = Comparison("a", gap, 0.009, "no difference shown", smallest_difference=0.005)
    assert "which is below the margin 0.005 but may be above it" in sentence_of("b", found)


def test_a_doubtful_difference_with_a_margin_may_be_worth_more_or_nothing() -> None:
    gap = Interval(0.004, -0.005, 0.013, 0.95, "paired DeLong")
    found = Comparison("a", gap, 0.4, "no difference shown", smallest_difference=0.005)
    assert sentence_of("b", found).endswith("it may be worth more than the margin 0.005, or nothing.")


@settings(max_examples=200)
@given(st.floats(-0.1, 0.1), st.floats(0.0001, 0.1), st.floats(0, 0.05), st.booleans(), st.floats(0, 1))
def test_every_comparison_has_one_of_the_words_and_never_speaks_of_significance(
    value: float, half: float, margin: float, greater: bool, p_value: float
) -> None:
    metric = "roc_auc" if greater else "log_loss"
    gap = Interval(value, value - half, value + half, 0.95, "t")
    verdict = verdict_of(gap, p_value, greater_is_better=greater, smallest_difference=margin)
    found = Comparison("a", gap, p_value, verdict, metric, margin)
    word, said = word_of(found), sentence_of("b", found)
    assert word in ("better", "worse", "no difference worth having", "undecided")
    assert "significan" not in said
    assert said.endswith(".")
    if word == "better":
        assert (value > 0) == greater
        assert abs(value) >= margin
        assert ("higher" if greater else "lower") in said
    if word == "no difference worth having":
        assert abs(value) < margin


class TestOtherTasks:
    def test_classes(self) -> None:
        draw = np.random.default_rng(0)
        places = draw.integers(0, 3, 300)
        sharp = np.eye(3)[places] * 0.5 + draw.dirichlet([1, 1, 1], 300) * 0.5
        blunt = np.eye(3)[places] * 0.1 + draw.dirichlet([1, 1, 1], 300) * 0.9
        truth = [CLASSES[place] for place in places]
        found = contest(
            truth,
            {"blunt": blunt, "sharp": sharp},
            task="multiclass",
            classes=CLASSES,
            metrics=["accuracy", "log_loss", "f1_macro", "roc_auc_ovr"],
        )
        assert {each.word for each in found.duels} == {"better"}
        methods = [each.comparison.difference.method for each in found.duels]
        assert methods == ["McNemar", "paired t", "paired bootstrap, 1000", "paired DeLong"]
        assert found.models[0].calibration is not None
        assert (found.positives, found.models[0].gains) == (0, ())

    def test_numbers(self) -> None:
        draw = np.random.default_rng(0)
        truth = draw.normal(50, 10, 300)
        near, far = truth + draw.normal(size=300), truth + 3 * draw.normal(size=300)
        found = contest(
            truth.tolist(), {"far": far, "near": near}, task="regression", metrics=["rmse", "r2"], margins={"rmse": 0.5}
        )
        assert found.leader == "near"
        assert [each.word for each in found.duels] == ["better", "better"]
        assert "its rmse is lower by" in found.duels[0].sentence
        assert found.models[0].calibration is None

    def test_rows_of_one_entity_are_one_piece_of_evidence(self) -> None:
        truth, predictions = outcomes()
        models = {name: np.repeat(predictions[name], 3) for name in ("weak", "strong")}
        entities = [f"e{number // 3}" for number in range(3 * ROWS)]
        found = contest(np.repeat(truth, 3).tolist(), models, task="binary", metrics=["roc_auc"], groups=entities)
        alone = compare_by("roc_auc", truth, predictions["strong"], predictions["weak"], against="weak")
        gap = found.duels[0].comparison.difference
        assert found.groups == ROWS
        assert gap.high - gap.low == pytest.approx(alone.difference.high - alone.difference.low, rel=0.01)


@pytest.fixture(scope="module")
def sliced() -> Contest:
    """Return a contest in which the second model is worse in the north, and better elsewhere."""
    draw = np.random.default_rng(4)
    truth, predictions = outcomes(900, seed=4)
    north = np.arange(900) % 3 == 0
    second = np.where(north, draw.random(900), predictions["strong"])
    columns: dict[str, Sequence[Any]] = {
        "region": ["north" if each else "south" for each in north],
        "shop": ["kiosk" if number < 10 else "hall" for number in range(900)],
    }
    return contest(
        truth, {"weak": predictions["weak"], "second": second}, task="binary", metrics=["roc_auc"], columns=columns
    )


class TestSlices:
    def test_a_better_model_that_is_worse_somewhere_is_shown(self, sliced: Contest) -> None:
        assert sliced.duels[0].word == "better"
        words = {each.level: each.duels[0].word for each in sliced.slices if each.column == "region"}
        assert words == {"north": "worse", "south": "better"}

    def test_small_slices_have_figures_and_no_verdict(self, sliced: Contest) -> None:
        kiosk = next(each for each in sliced.slices if each.level == "kiosk")
        assert (kiosk.rows, kiosk.enough, kiosk.duels) == (10, False, ())
        assert set(kiosk.figures) <= {"weak", "second"}

    def test_slices_are_corrected_over_all_of_them(self, sliced: Contest) -> None:
        duels = [each for part in sliced.slices for each in part.duels]
        assert len(duels) == 3
        assert {each.comparison.correction for each in duels} == {"holm"}

    def test_a_slice_of_one_class_is_not_judged(self) -> None:
        truth, predictions = outcomes()
        models = {name: predictions[name] for name in ("weak", "strong")}
        columns = {"came": ["yes" if each else "no" for each in truth]}
        found = contest(truth, models, task="binary", metrics=["roc_auc"], columns=columns)
        assert [(each.enough, each.figures) for each in found.slices] == [(False, {}), (False, {})]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"predictions": {"one": [0.1, 0.9]}}, "nothing to compare"),
        ({"metrics": []}, "nothing to compare"),
        ({"metrics": ["rmse"]}, "Unknown metric"),
        ({"predictions": {"one": [0.1, 0.9], "two": [0.1]}}, "do not fit"),
        ({"predictions": {"one": [0.1, 0.9], "two": [0.1, 2.0]}}, "outside"),
        ({"predictions": {"one": [0.1, 0.9], "two": [0.1, float("nan")]}}, "not numbers"),
    ],
)
def test_what_cannot_be_compared_is_refused(change: dict[str, Any], told: str) -> None:
    asked = {"predictions": {"one": [0.1, 0.9], "two": [0.2, 0.8]}, "metrics": ["log_loss"], **change}
    predictions = asked.pop("predictions")
    with pytest.raises(TrainingError, match=told):
        contest([0, 1], predictions, task="binary", **asked)


def test_the_same_question_has_the_same_answer_and_another_seed_another_interval() -> None:
    one, again, other = (binary(metrics=["average_precision"], seed=seed, resamples=200) for seed in (1, 1, 2))
    assert one == again
    assert one.models[0].figures != other.models[0].figures
