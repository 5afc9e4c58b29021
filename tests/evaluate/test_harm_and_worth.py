"""How figures move when columns are harmed or shuffled, and what single predictions are made of."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from keelway.errors import TrainingError
from keelway.evaluate import permutation_importance, robustness_of, shapley_values

ROWS = 600


def world(seed: int = 0) -> tuple[dict[str, list[Any]], list[int]]:
    """Return columns of which `strong` and `plan` matter, `noise` does not, and the outcomes."""
    draw = np.random.default_rng(seed)
    strong, plan = draw.normal(size=ROWS), draw.choice(["", "basic", "gold"], ROWS)
    chance = 1 / (1 + np.exp(-(2 * strong + 1.5 * (plan == "gold") - 0.5)))
    columns = {
        "strong": [None if place % 50 == 0 else value for place, value in enumerate(strong.tolist())],
        "plan": plan.tolist(),
        "noise": draw.normal(size=ROWS).tolist(),
    }
    return columns, (draw.random(ROWS) < chance).astype(int).tolist()


def predict(columns: Mapping[str, Sequence[Any]]) -> list[float]:
    """Answer as the world was made; a missing number counts as nought."""
    strong = np.array([0.0 if each is None else each for each in columns["strong"]])
    gold = np.array([each == "gold" for each in columns["plan"]])
    assert len(columns["noise"]) == len(strong)
    return (1 / (1 + np.exp(-(2 * strong + 1.5 * gold - 0.5)))).tolist()


def test_what_matters_is_worth_something_and_what_does_not_is_worth_nothing() -> None:
    columns, outcomes = world()
    found = permutation_importance(predict, columns, outcomes, metric="roc_auc", seed=1)
    assert [each.feature for each in found] == ["strong", "plan", "noise"]
    assert found[0].loss.low > found[1].loss.high > 0
    assert (found[2].loss.value, found[2].loss.low, found[2].loss.high) == (0, 0, 0)
    assert found == permutation_importance(predict, columns, outcomes, metric="roc_auc", seed=1)


def test_a_loss_is_positive_whichever_way_the_metric_points() -> None:
    columns, outcomes = world()
    for metric in ("log_loss", "f1", "brier", "accuracy"):
        found = {
            each.feature: each.loss.value for each in permutation_importance(predict, columns, outcomes, metric=metric)
        }
        assert found["strong"] > found["plan"] > found["noise"] == pytest.approx(0), metric


def test_a_shuffle_costs_what_it_costs_by_hand() -> None:
    columns, outcomes = world()
    rows: list[int] = []

    def counted(given: Mapping[str, Sequence[Any]]) -> list[float]:
        rows.append(len(given["plan"]))
        return predict(given)

    (plan,) = (
        each
        for each in permutation_importance(counted, columns, outcomes, metric="brier", repeats=4, seed=9, max_rows=200)
        if each.feature == "plan"
    )
    assert rows == [200, 800, 800, 800]
    draw = np.random.default_rng(9)
    kept = draw.permutation(ROWS)[:200]
    held = {name: [values[place] for place in kept] for name, values in columns.items()}
    truth = np.array(outcomes)[kept]
    for _ in range(4):
        draw.permutation(200)
    losses = []
    for _ in range(4):
        order = draw.permutation(200)
        shuffled = {**held, "plan": [held["plan"][place] for place in order]}
        losses.append(
            np.mean((np.array(predict(shuffled)) - truth) ** 2) - np.mean((np.array(predict(held)) - truth) ** 2)
        )
    assert plan.loss.value == pytest.approx(np.mean(losses))


def test_one_shuffle_is_not_enough() -> None:
    columns, outcomes = world()
    with pytest.raises(TrainingError, match="One shuffle has no interval"):
        permutation_importance(predict, columns, outcomes, metric="brier", repeats=1)


def test_numbers_and_classes_are_worth_something_too() -> None:
    draw = np.random.default_rng(2)
    column = draw.normal(size=300).tolist()
    (number,) = permutation_importance(lambda c: c["x"], {"x": column}, column, metric="rmse", task="regression")
    assert number.loss.low > 1
    classes = ("a", "b")
    truth = ["a" if each > 0 else "b" for each in column]

    def chances(columns: Mapping[str, Sequence[Any]]) -> np.ndarray:
        first = np.array([0.9 if each > 0 else 0.1 for each in columns["x"]])
        return np.column_stack([first, 1 - first])

    (one,) = permutation_importance(
        chances, {"x": column}, truth, metric="roc_auc_ovr", task="multiclass", classes=classes
    )
    assert one.loss.value == pytest.approx(0.5, abs=0.1)


def test_harm_is_done_to_each_column_and_hurts_where_it_matters() -> None:
    columns, outcomes = world()
    before = {name: list(values) for name, values in columns.items()}
    found = robustness_of(predict, columns, outcomes, metric="log_loss", seed=3)
    assert columns == before
    told = {(each.harm, each.column, each.size): each.change for each in found}
    assert list(told) == [
        ("noise", "(every number)", 0.1),
        ("noise", "(every number)", 0.5),
        ("missing", "strong", 1.0),
        ("missing", "noise", 1.0),
        ("missing", "plan", 1.0),
        ("permuted levels", "plan", 1.0),
    ]
    assert told["missing", "strong", 1.0].verdict == "worse"
    assert told["missing", "plan", 1.0].verdict == "worse"
    assert told["permuted levels", "plan", 1.0].verdict == "worse"
    assert (told["missing", "noise", 1.0].difference.value, told["missing", "noise", 1.0].p_value) == (0, 1)
    small, large = (told["noise", "(every number)", size].difference.value for size in (0.1, 0.5))
    assert abs(small) < large
    assert found == robustness_of(predict, columns, outcomes, metric="log_loss", seed=3)


def test_a_change_too_small_to_matter_is_equivalent() -> None:
    columns, outcomes = world()
    found = robustness_of(predict, columns, outcomes, metric="roc_auc", noise=[0.01], smallest_difference=0.01)
    assert found[0].change.verdict == "equivalent"


def test_missing_values_stay_missing_under_noise_and_empty_levels_empty() -> None:
    seen: list[Mapping[str, Sequence[Any]]] = []

    def watched(columns: Mapping[str, Sequence[Any]]) -> list[float]:
        seen.append(columns)
        return predict(columns)

    columns, outcomes = world()
    robustness_of(watched, columns, outcomes, metric="roc_auc", noise=[0.3])
    noisy, exchanged = seen[1], seen[-1]
    assert [each is None for each in noisy["strong"]] == [each is None for each in columns["strong"]]
    moved = np.array([a - b for a, b in zip(noisy["noise"], columns["noise"], strict=True)])
    assert moved.std() == pytest.approx(0.3 * np.std(columns["noise"]), rel=0.15)
    pairs = set(zip(columns["plan"], exchanged["plan"], strict=True))
    assert pairs == {("", ""), ("basic", "gold"), ("gold", "basic")}


def test_a_category_of_one_level_has_nothing_to_exchange() -> None:
    columns, outcomes = world()
    one = {**columns, "plan": ["gold"] * ROWS}
    assert "permuted levels" not in {each.harm for each in robustness_of(predict, one, outcomes, metric="brier")}


HAS_SHAP = importlib.util.find_spec("shap") is not None


def fitted(kind: str) -> tuple[Any, np.ndarray]:
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    draw = np.random.default_rng(0)
    rows = draw.normal(size=(200, 3))
    made = {
        "linear": LogisticRegression(),
        "trees": GradientBoostingClassifier(n_estimators=5),
        "near": KNeighborsClassifier(),
    }
    return made[kind].fit(rows, rows[:, 0] + 0.3 * rows[:, 1] > 0), rows


def test_shapley_values_of_other_models_are_not_built() -> None:
    model, rows = fitted("near")
    with pytest.raises(NotImplementedError, match="KNeighborsClassifier are not built"):
        shapley_values(model, rows, rows)


@pytest.mark.skipif(HAS_SHAP, reason="shap is installed")
def test_without_the_package_shapley_values_say_what_to_install() -> None:
    model, rows = fitted("linear")
    with pytest.raises(NotImplementedError, match="pip install shap"):
        shapley_values(model, rows, rows)


@pytest.mark.skipif(not HAS_SHAP, reason="shap is not installed")
@pytest.mark.parametrize("kind", ["linear", "trees"])
def test_shapley_values_add_up_to_the_log_odds(kind: str) -> None:
    model, rows = fitted(kind)
    found = shapley_values(model, rows, rows)
    assert found.shape == rows.shape
    told = model.decision_function(rows)
    assert found.sum(axis=1) - told == pytest.approx(np.full(len(rows), found[0].sum() - told[0]), abs=1e-6)
