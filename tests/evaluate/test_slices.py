"""A slice is judged against all other rows, only with enough of them, and chance rarely looks like a weak spot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from keelway.errors import TrainingError
from keelway.evaluate import measure, slice_scores
from keelway.evaluate.aspects import levels_of

QUICK = {"seed": 0, "resamples": 200}


def regions(rows: int = 1200, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return outcomes, probabilities and regions; in the south the probabilities tell nothing."""
    draw = np.random.default_rng(seed)
    names = draw.choice(["east", "north", "south"], rows, p=[0.5, 0.3, 0.2])
    chance = draw.beta(1, 1, rows)
    labels = (draw.random(rows) < chance).astype(float)
    return labels, np.where(names == "south", draw.random(rows), chance), names.tolist()


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "accuracy", "f1", "average_precision"])
def test_the_weak_slice_is_found_by_any_metric(metric: str) -> None:
    labels, given, names = regions()
    found = {each.level: each for each in slice_scores(metric, labels, given, {"region": names}, **QUICK)}
    assert list(found) == ["east", "north", "south"]
    assert found["south"].verdict == "worse"
    own = np.array(names) == "south"
    assert found["south"].rows == own.sum()
    assert (
        found["south"].figure.value
        == measure("binary", labels[own], given[own], metrics=[metric], seed=0)[metric].value
    )
    rest = measure("binary", labels[~own], given[~own], metrics=[metric], seed=0)[metric].value
    assert found["south"].difference.value == pytest.approx(found["south"].figure.value - rest)
    assert found["south"].difference.low <= found["south"].difference.value <= found["south"].difference.high


def test_numbers_and_classes_have_slices_too() -> None:
    draw = np.random.default_rng(1)
    names = np.repeat(["a", "b"], 200)
    truth = draw.normal(size=400)
    given = truth + draw.normal(0, np.where(names == "a", 0.1, 2.0))
    for metric in ("mae", "rmse"):
        scores = slice_scores(metric, truth, given, {"site": names.tolist()}, task="regression", **QUICK)
        assert [each.verdict for each in scores] == ["better", "worse"]
    classes = ("x", "y", "z")
    places = draw.integers(0, 3, 400)
    sharp = np.where(names == "a", 4.0, 0.2)[:, None] * np.eye(3)[places] + draw.normal(0, 0.1, (400, 3))
    chances = np.exp(sharp) / np.exp(sharp).sum(axis=1, keepdims=True)
    for metric in ("log_loss", "accuracy", "roc_auc_ovr", "f1_macro"):
        scores = slice_scores(
            metric,
            np.array(classes)[places],
            chances,
            {"site": names.tolist()},
            task="multiclass",
            classes=classes,
            **QUICK,
        )
        assert [each.verdict for each in scores] == ["better", "worse"], metric


def test_few_rows_are_reported_and_not_judged() -> None:
    labels, given, names = regions()
    names[:9] = ["west"] * 9
    found = {
        each.level: each for each in slice_scores("log_loss", labels, given, {"region": names}, min_support=50, **QUICK)
    }
    west = found["west"]
    assert (west.rows, west.enough, west.verdict, west.p_value, west.difference) == (9, False, "not judged", 1.0, None)
    assert west.figure is not None


def test_a_slice_of_one_class_has_no_auc_and_is_not_judged() -> None:
    labels, given, _ = regions()
    found = slice_scores("roc_auc", labels, given, {"outcome": ["yes" if each else "no" for each in labels]}, **QUICK)
    assert [(each.enough, each.figure, each.verdict) for each in found] == [(False, None, "not judged")] * 2
    assert all(math.isfinite(each.p_value) for each in found)


def test_the_only_level_has_nothing_to_differ_from() -> None:
    labels, given, _ = regions()
    (found,) = slice_scores("brier", labels, given, {"shop": ["one"] * len(labels)}, **QUICK)
    assert (found.rows, found.verdict, found.difference) == (len(labels), "not judged", None)


def test_chance_rarely_looks_like_a_weak_slice() -> None:
    draw, alarms = np.random.default_rng(3), 0
    for _ in range(200):
        chance = draw.random(600)
        labels = (draw.random(600) < chance).astype(float)
        columns = {f"c{number}": draw.choice(list("abcde"), 600).tolist() for number in range(3)}
        found = slice_scores("log_loss", labels, chance, columns, min_support=20, **QUICK)
        assert len(found) == 15
        alarms += any(each.verdict != "no difference shown" for each in found)
    assert alarms / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def shares(values: list[Any]) -> dict[str, int]:
    return {level: int(rows.sum()) for level, rows in levels_of(values, column="c").items()}


def test_levels_are_values_or_quarters_and_missing_ones_are_their_own() -> None:
    assert shares(["b", "a", None, "a", ""]) == {"a": 2, "b": 1, "(missing)": 2}
    assert shares([2, 1, 2.0, None]) == {"1": 1, "2": 2, "(missing)": 1}
    assert shares([True, False, True]) == {"False": 1, "True": 2}
    assert shares([None, None]) == {"(missing)": 2}
    quarters = shares([float(each) for each in range(100)] + [float("nan")])
    assert quarters == {"[0, 24]": 25, "(24, 49]": 25, "(49, 74]": 25, "(74, 99]": 25, "(missing)": 1}
    skewed = shares([0.0] * 80 + [float(each) for each in range(1, 21)])
    assert sum(skewed.values()) == 100


def test_a_column_of_thousands_of_levels_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"'c' has too many levels.*found 300.*"):
        levels_of([f"street {number}" for number in range(300)], column="c")
