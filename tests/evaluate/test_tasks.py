"""A scorecard of every task holds its metrics and what the model asked for besides; the rest is refused or left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from keelway.core import digest_of, parse_json
from keelway.errors import TrainingError
from keelway.evaluate import (
    METRICS,
    Scorecard,
    calibration_of,
    choose_threshold,
    compare,
    compare_by,
    fairness_of,
    measure,
    predictions_of,
    slice_scores,
)
from keelway.features import rows_of
from keelway.project import Costs, Estimator, Evaluation
from keelway.testing.training import BOOSTED, LOGISTIC, TrainingWorld, with_column

LINEAR = Estimator("linear", "sklearn.linear_model.LinearRegression", {})
TREES = Estimator("trees", "sklearn.ensemble.HistGradientBoostingRegressor", {"max_iter": 30})


def labels_of_type(kind: Any, value_of: Any) -> Any:
    """Return a change of the customers' rows that gives them labels of another task."""

    def change(rows: pa.Table) -> pa.Table:
        made = [value_of(row) for row in rows.to_pylist()]
        return rows.set_column(rows.column_names.index("label"), "label", pa.array(made, kind))

    return change


def spender(row: Mapping[str, Any]) -> str:
    if row["spend"] < 40:
        return "small"
    return "middle" if row["spend"] < 120 or row["recency_d"] is None else "large"


def numbers(world: TrainingWorld, **changes: Any) -> TrainingWorld:
    world.declare(task="regression", metrics=(), trivial_rule="", **changes)
    world.build(change=labels_of_type(pa.float64(), lambda row: row["spend"] * 2 + (row["recency_d"] or 100) / 50))
    return world


def classes(world: TrainingWorld, **changes: Any) -> TrainingWorld:
    world.declare(**{"task": "multiclass", "metrics": (), "trivial_rule": "", **changes})
    world.build(change=labels_of_type(pa.string(), spender))
    return world


@dataclass(frozen=True)
class Constant:
    """A rival that always says the same."""

    answer: Any
    name: str = "churn:1"

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> list[Any]:
        return [self.answer] * len(columns["spend"])


def test_a_scorecard_of_numbers(world: TrainingWorld) -> None:
    numbers(world)
    trained = world.fit(LINEAR)
    card = world.card(trained, Constant(100.0))
    truth, given = predictions_of(card, world.artifacts)
    assert (card.task, card.positives, card.classes, card.calibration, card.threshold) == (
        "regression",
        0,
        (),
        None,
        None,
    )
    assert tuple(card.metrics) == METRICS["regression"]
    assert card.metrics == measure("regression", truth, given, seed=trained.seed)
    assert card.versus_champion == compare_by(
        "rmse", truth, given, [100.0] * len(truth), against="churn:1", task="regression", seed=trained.seed
    )
    assert card.versus_champion.verdict == "better"
    with world.state.snapshot() as tx:
        assert tx.by_digest(Scorecard, digest_of(card)) == card


def test_a_feature_can_be_the_trivial_prediction_of_a_number(world: TrainingWorld) -> None:
    numbers(world)
    world.declare(trivial_rule="recency_d")
    card = world.card(world.fit(LINEAR))
    assert list(card.trivial) == ["rmse"]
    assert (card.versus_trivial.metric, card.versus_trivial.verdict) == ("rmse", "better")
    assert card.versus_trivial.difference.value == pytest.approx(
        card.metrics["rmse"].value - card.trivial["rmse"].value
    )
    world.declare(trivial_rule="plan")
    with pytest.raises(TrainingError, match="names no number"):
        world.card(world.fit(LINEAR))


def test_a_scorecard_of_classes(world: TrainingWorld) -> None:
    classes(world)
    trained = world.fit(LOGISTIC)
    card = world.card(trained, Constant([0.2, 0.5, 0.3]))
    truth, given = predictions_of(card, world.artifacts)
    assert (card.task, card.classes, card.positives) == ("multiclass", ("large", "middle", "small"), 0)
    assert tuple(card.metrics) == METRICS["multiclass"]
    assert card.metrics == measure("multiclass", truth, given, seed=trained.seed, classes=card.classes)
    assert np.array(given).sum(axis=1) == pytest.approx(1)
    assert sum(each.rows for each in card.calibration.bins) == card.rows == len(truth)
    assert (card.versus_champion.metric, card.versus_champion.verdict) == ("log_loss", "better")


def test_a_feature_can_name_the_trivial_class(world: TrainingWorld) -> None:
    classes(world)

    def named(rows: pa.Table) -> pa.Table:
        rows = labels_of_type(pa.string(), spender)(rows)
        return with_column("plan", lambda row: "small" if row % 3 else "elsewhere")(rows)

    world.build(change=named)
    world.declare(trivial_rule="plan")
    card = world.card(world.fit(LOGISTIC))
    assert list(card.trivial) == ["accuracy"]
    assert (card.versus_trivial.metric, card.versus_trivial.verdict) == ("accuracy", "better")
    world.declare(trivial_rule="spend")
    with pytest.raises(TrainingError, match="names no class"):
        world.card(world.fit(LOGISTIC))


@pytest.mark.parametrize("make", [numbers, classes])
def test_estimators_of_other_tasks_are_ranked(world: TrainingWorld, make: Any) -> None:
    make(world)
    estimators = (LINEAR, TREES) if make is numbers else (LOGISTIC, BOOSTED)
    cards = [world.card(world.fit(each)) for each in estimators]
    metric = world.model.metrics[0]
    ranking = compare(cards, metric=metric, artifacts=world.artifacts)
    (found,) = ranking.comparisons
    assert (found.metric, found.against) == (metric, estimators[0].name)
    better = cards[1] if found.verdict == "better" else cards[0]
    assert ranking.winner_scorecard == digest_of(better)
    least = abs(found.difference.value) * 1.5
    strict = compare(cards, metric=metric, artifacts=world.artifacts, smallest_difference=least)
    assert strict.winner_scorecard == digest_of(cards[0])


def test_among_better_ones_the_best_goes_on(world: TrainingWorld) -> None:
    first = world.card(world.fit())
    truth, given = predictions_of(first, world.artifacts)
    cards = [first]
    for name, weight in (("good", 0.5), ("best", 0.8), ("bad", -0.3)):
        told = np.clip((1 - weight) * np.array(given) + weight * np.array(truth), 0.01, 0.99)
        kept = world.artifacts.put(
            f'{{"labels": {list(map(int, truth))}, "predictions": {told.tolist()}}}'.encode(), kind="predictions"
        )
        cards.append(replace(first, estimator=name, predictions=kept.digest))
    ranking = compare(cards, metric="log_loss", artifacts=world.artifacts)
    assert [each.verdict for each in ranking.comparisons] == ["better", "better", "worse"]
    assert {each.correction for each in ranking.comparisons} == {"holm"}
    assert ranking.winner_scorecard == digest_of(cards[2])


def test_predictions_of_earlier_versions_are_still_read(world: TrainingWorld) -> None:
    card = world.card(world.fit())
    kept = parse_json(world.artifacts.get(card.predictions))
    old = world.artifacts.put(
        f'{{"labels": {kept["labels"]}, "probabilities": {kept["predictions"]}}}'.encode(), kind="predictions"
    )
    assert predictions_of(replace(card, predictions=old.digest), world.artifacts) == (
        kept["labels"],
        kept["predictions"],
    )


def test_what_is_declared_is_found_on_the_card(world: TrainingWorld) -> None:
    costs = Costs(false_positive=1, false_negative=4)
    declared = Evaluation(
        slices=("spend",), sensitive=("plan",), min_support=30, costs=costs, bootstrap=200, importance=3
    )
    world.declare(evaluation=declared)
    trained = world.fit()
    card = world.card(trained)
    truth, given = predictions_of(card, world.artifacts)
    rows = rows_of(world.table, world.artifacts).slice(600)
    plans, spent = rows["plan"].to_pylist(), rows["spend"].to_pylist()
    seed = trained.seed
    assert card.threshold == choose_threshold(truth, given, costs, seed=seed, resamples=200)
    assert card.fairness == (
        fairness_of(truth, given, plans, column="plan", threshold=card.threshold.threshold.value, min_support=30),
    )
    assert [each.group for each in card.fairness[0].groups if not each.enough]
    assert card.slices == slice_scores(
        "roc_auc", truth, given, {"spend": spent}, min_support=30, seed=seed, resamples=200
    )
    assert len(card.slices) == 4
    assert card.calibration == calibration_of(truth, given, seed=seed, resamples=200)
    assert {each.feature for each in card.importance} == {"recency_d", "plan", "spend"}
    assert card.importance[0].loss.low > 0
    with world.state.snapshot() as tx:
        assert tx.by_digest(Scorecard, digest_of(card)) == card


def test_nothing_is_looked_at_that_is_not_declared(world: TrainingWorld) -> None:
    card = world.card(world.fit())
    assert (card.slices, card.fairness, card.importance, card.threshold) == ((), (), (), None)
    assert card.calibration is not None
    assert card.warnings == ()


def test_warnings_of_the_training_and_of_the_measuring_are_on_the_card(world: TrainingWorld) -> None:
    world.declare(metrics=("log_loss",))
    trained = replace(world.fit(), warnings=("The split is random.",))
    low = with_column("label", lambda row: int(row % 23 == 0))
    world.build(change=low)
    again = replace(world.fit(), warnings=("The split is random.",))
    card = world.card(again)
    assert card.warnings == (
        "The split is random.",
        "precision has no value on these test rows and is left out.",
    )
    assert set(METRICS["binary"]) - set(card.metrics) == {"precision"}
    world.declare(metrics=("precision",))
    with pytest.raises(TrainingError, match="precision cannot be measured"):
        world.card(again)
    assert trained.model == again.model


def test_a_column_that_is_not_there_cannot_slice(world: TrainingWorld) -> None:
    world.declare(evaluation=Evaluation(slices=("region",)))
    with pytest.raises(TrainingError, match=r"not in the feature table.*found region"):
        world.card(world.fit())


@pytest.mark.parametrize("evaluation", [Evaluation(costs=Costs()), Evaluation(sensitive=("plan",))])
def test_decisions_of_other_tasks_are_not_judged(world: TrainingWorld, evaluation: Evaluation) -> None:
    numbers(world, evaluation=evaluation)
    with pytest.raises(TrainingError, match=r"makes no decision.*found regression"):
        world.card(world.fit(LINEAR))


def test_a_class_that_training_never_saw_is_refused(world: TrainingWorld) -> None:
    classes(world)
    trained = world.fit(LOGISTIC)
    with pytest.raises(TrainingError, match=r"never saw.*found small"):
        world.card(replace(trained, classes=("large", "middle")))


def test_several_rows_of_one_entity_are_measured_by_entity(world: TrainingWorld) -> None:
    trained = world.fit()
    alone = world.card(trained).metrics
    pairs = with_column("entity", lambda row: f"c{row // 2}")
    world.build(change=pairs)
    together = world.card(world.fit()).metrics
    assert alone["accuracy"].method == "Wilson"
    assert together["accuracy"].method.startswith("bootstrap BCa")
    assert together["roc_auc"].method == "DeLong, by group"
    assert together["roc_auc"].value == alone["roc_auc"].value


def test_evaluations_of_the_same_training_are_the_same_record(world: TrainingWorld) -> None:
    world.declare(
        evaluation=Evaluation(slices=("plan",), sensitive=("plan",), costs=Costs(), importance=2, bootstrap=150)
    )
    trained = world.fit()
    assert world.card(trained) == world.card(trained)
