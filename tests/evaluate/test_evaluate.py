"""A scorecard measures a model on its test cut, and refuses what it cannot measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from keelway.core import digest_of, parse_json
from keelway.engines.local.tracker import NoTracker
from keelway.errors import MissingRecordError, TrainingError
from keelway.evaluate import METRICS, Scorecard, auc_interval, compare, compare_aucs
from keelway.testing.training import BOOSTED, CUTS, LOGISTIC, TrainingWorld, with_column


@dataclass(frozen=True)
class Fixed:
    """A rival that gives every row the same answer, or ranks by a feature."""

    name: str = "churn:9"
    value: float = 0.5
    by: str = ""

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> list[float]:
        count = len(columns["spend"])
        return [float(each) for each in columns[self.by]] if self.by else [self.value] * count


@dataclass(frozen=True)
class Halves:
    """A rival that is a little for or against, by what was spent."""

    name: str = "halves"

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> list[float]:
        return [0.6 if each < 60 else 0.4 for each in columns["spend"]]


def test_a_scorecard_measures_the_test_cut_and_keeps_its_predictions(world: TrainingWorld) -> None:
    trained = world.fit()
    card = world.card(trained)
    kept = parse_json(world.artifacts.get(card.predictions))
    assert (card.rows, card.test_as_of, card.positives) == (300, CUTS[2], sum(kept["labels"]))
    assert card.metrics["roc_auc"] == auc_interval(kept["labels"], kept["predictions"])
    assert set(card.metrics) == set(METRICS["binary"])
    for each in card.metrics.values():
        assert -1 <= each.low <= each.value <= each.high
    with world.state.snapshot() as tx:
        assert tx.by_digest(Scorecard, digest_of(card)) == card
    assert world.card(trained) == card


class Notebook(NoTracker):
    """A tracker that keeps what it is told."""

    keeps = True

    def __init__(self) -> None:
        self.metrics: dict[str, dict[str, float]] = {}

    def record_training(self, *names: str, metrics: Mapping[str, float], **told: Any) -> str:
        self.log_metrics("run 1", metrics)
        return "run 1"

    def log_metrics(self, run: str, metrics: Mapping[str, float]) -> None:
        self.metrics.setdefault(run, {}).update(metrics)


def test_the_tracker_is_told_the_figures(world: TrainingWorld) -> None:
    notebook = world.tracker = Notebook()
    trained = world.fit()
    assert notebook.metrics == {}
    card = world.card(trained)
    told = notebook.metrics["run 1"]
    assert (told["test_roc_auc"], told["train_rows"]) == (card.metrics["roc_auc"].value, 600)
    told.clear()
    world.card(trained)
    assert told == {f"test_{name}": each.value for name, each in card.metrics.items()}


def test_a_rival_is_compared_on_the_same_rows(world: TrainingWorld) -> None:
    trained = world.fit()
    better, same = world.card(trained, Fixed()), world.card(trained, Fixed(by="spend", name="spenders"))
    for card, name in ((better, "churn:9"), (same, "spenders")):
        assert card.champion == name
        assert card.versus_champion is not None
        assert (card.versus_champion.against, card.versus_champion.verdict) == (name, "better")
    assert world.card(trained).versus_champion is None


def test_a_rival_that_gives_no_numbers_is_refused(world: TrainingWorld) -> None:
    trained = world.fit()
    for value in (float("nan"), float("inf")):
        with pytest.raises(TrainingError, match=r"churn:9 gives scores that are not numbers.*300 of 300"):
            world.card(trained, Fixed(value=value))


def test_a_model_without_a_trivial_rule_is_compared_with_none(world: TrainingWorld) -> None:
    world.declare(trivial_rule="")
    card = world.card(world.fit())
    assert (card.trivial, card.versus_trivial) == ({}, None)


def test_the_trivial_rule_ranks_by_a_feature_and_nulls_come_last(world: TrainingWorld) -> None:
    world.declare(trivial_rule="recency_d")
    forwards = world.card(world.fit()).trivial["roc_auc"].value
    world.declare(trivial_rule="-recency_d")
    assert 0.5 < forwards != 1 - world.card(world.fit()).trivial["roc_auc"].value


@pytest.mark.parametrize("rule", ["plan", "-nothing"])
def test_a_trivial_rule_that_is_no_number_is_refused(world: TrainingWorld, rule: str) -> None:
    world.declare(trivial_rule=rule)
    with pytest.raises(TrainingError, match=f"names no number.*found {rule}"):
        world.card(world.fit())


@pytest.mark.parametrize(("label", "found"), [(0, "0 positive and 300 negative"), (1, "300 positive and 0 negative")])
def test_a_test_cut_of_one_class_is_refused(world: TrainingWorld, label: int, found: str) -> None:
    world.build(change=with_column("label", lambda row: row % 2 if row < 600 else label))
    trained = world.fit()
    with pytest.raises(TrainingError, match=found):
        world.card(trained)


def test_a_test_cut_without_rows_is_refused(world: TrainingWorld) -> None:
    world.build(change=lambda rows: rows.slice(0, 600))
    trained = world.fit()
    with pytest.raises(TrainingError, match="0 positive and 0 negative"):
        world.card(trained)


def test_another_feature_table_is_refused(world: TrainingWorld) -> None:
    trained = world.fit()
    world.build(seed=1)
    with pytest.raises(MissingRecordError, match="not the feature table"):
        world.card(trained)


def test_an_unknown_metric_is_refused_before_anything_is_read(world: TrainingWorld) -> None:
    trained = world.fit()
    world.declare(metrics=("roc_auc", "f2"))
    with pytest.raises(TrainingError, match=r"unknown metrics.*log_loss.*found f2"):
        world.card(replace(trained, feature_table=trained.pipeline))


@pytest.mark.parametrize("metric", [*METRICS["binary"], "precision_at_50"])
def test_any_metric_decides(world: TrainingWorld, metric: str) -> None:
    world.declare(metrics=(metric,))
    card = world.card(world.fit(), Halves())
    assert card.versus_champion is not None
    assert (card.versus_champion.metric, card.versus_champion.against) == (metric, "halves")
    assert metric in card.metrics
    assert 0 <= card.versus_champion.p_value <= 1


def test_the_first_estimator_wins_unless_a_later_one_is_clearly_better(world: TrainingWorld) -> None:
    cards = [world.card(world.fit(each)) for each in (LOGISTIC, BOOSTED)]
    assert compare(cards, artifacts=world.artifacts).winner_scorecard == digest_of(cards[0])
    noise = with_column("spend", lambda row: float(row * 7919 % 101))
    world.build(
        change=lambda rows: noise(with_column("label", lambda row: int((row * 7919 % 101 - 50) ** 2 < 600))(rows))
    )
    line, trees = (world.card(world.fit(each)) for each in (LOGISTIC, BOOSTED))
    ranking = compare([line, trees], artifacts=world.artifacts)
    assert (ranking.winner, ranking.comparisons[0].verdict) == (trees.trained, "better")
    assert ranking.comparisons[0].against == "logistic"
    assert compare([trees, line], artifacts=world.artifacts).winner == trees.trained


def test_scorecards_of_different_rows_are_not_compared(world: TrainingWorld) -> None:
    with pytest.raises(TrainingError, match="nothing to compare"):
        compare([], artifacts=world.artifacts)
    first = world.card(world.fit())
    world.build(seed=1)
    with pytest.raises(TrainingError, match="different rows"):
        compare([first, world.card(world.fit())], artifacts=world.artifacts)


def test_the_comparison_on_the_card_is_the_paired_test(world: TrainingWorld) -> None:
    card = world.card(world.fit())
    kept = parse_json(world.artifacts.get(card.predictions))
    spend = world_rows(world)
    assert card.versus_trivial == compare_aucs(kept["labels"], kept["predictions"], -spend, against="-spend")


def world_rows(world: TrainingWorld) -> Any:
    """Return what the customers of the test cut spent."""
    from keelway.features import rows_of

    return np.array(rows_of(world.table, world.artifacts)["spend"].to_pylist()[600:])
