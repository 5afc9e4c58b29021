"""Tables without a time: what was known is seen, and no feature can be the label that stands in the same rows."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import ibis
import pytest

from keelway.core import parse_time
from keelway.errors import FeatureError
from keelway.features import FeatureTable, build_features, labels_for, rows_of
from keelway.project import Dataset, Estimator, FeatureSet, Label, Model, PredefinedSplit, RandomSplit, feature_set
from keelway.testing.features import StaticTable

PEOPLE = Dataset("people", contract="people.yaml", source="people/*.csv", event_time="")
KNOWN = parse_time("2025-01-01")
PRESENT = KNOWN + timedelta(microseconds=1)
COLUMNS = {
    "person": ["cem", "ana", "bob"],
    "age": [50, 30, 40],
    "town": ["bonn", None, "aachen"],
    "income": [">50K", "<=50K", ">50K"],
    "part": ["test", "train", "train"],
}


@feature_set(entity="person", sources=[PEOPLE])
def facts(people: Any, as_of: Any) -> Any:
    return people


@Label.define(entity="person", source=PEOPLE)
def rich(people: Any, as_of: Any) -> Any:
    return people.select("person", rich=people.income == ">50K")


def model(*features: FeatureSet, label: Label = rich, **changes: Any) -> Model:
    given: dict[str, Any] = {
        "features": features or (facts,),
        "label": label,
        "estimators": (Estimator("logistic", "sklearn.linear_model.LogisticRegression"),),
        "cuts": None,
        "split": RandomSplit(),
    }
    return Model("rich", **(given | changes))


def features_of(function: Callable[..., Any], **declared: Any) -> FeatureSet:
    return feature_set(entity="person", sources=[PEOPLE], **declared)(function)


@pytest.fixture
def build(tmp_path: Path, artifacts: Any, state: Any) -> Callable[..., FeatureTable]:
    def build(declared: Model | None = None, **changes: Any) -> FeatureTable:
        table = StaticTable(tmp_path, "people", COLUMNS | changes.pop("columns", {}), KNOWN)
        given: dict[str, Any] = {"as_ofs": (PRESENT,), "purpose": "training", "with_label": True, "now": PRESENT}
        return build_features(
            declared or model(), {"people": table.snapshot()}, paths_of=table.paths_of, artifacts=artifacts,
            state=state, **(given | changes),
        )  # fmt: skip

    return build


def test_every_known_row_has_features_and_a_label_of_the_same_moment(build: Any, artifacts: Any) -> None:
    table = build()
    rows = rows_of(table, artifacts).to_pylist()

    assert [(row["entity"], row["age"], row["town"], row["label"]) for row in rows] == [
        ("ana", 30.0, "", 0), ("bob", 40.0, "aachen", 1), ("cem", 50.0, "bonn", 1),
    ]  # fmt: skip
    assert {row["label_known_at"] for row in rows} == {row["as_of"] for row in rows} == {PRESENT}
    assert (table.horizon_s, table.as_ofs) == (0, (PRESENT,))


@pytest.mark.parametrize("later_us", [0, 1], ids=["known at the cut", "known after it"])
def test_rows_that_became_known_later_are_not_seen(build: Any, later_us: int) -> None:
    with pytest.raises(FeatureError, match="no rows"):
        build(as_ofs=(KNOWN - timedelta(microseconds=later_us),))


def test_the_label_is_not_among_the_features(build: Any) -> None:
    assert [column.name for column in build().features] == ["age", "part", "town"]
    assert [column.name for column in build(purpose="scoring", with_label=False).features] == ["age", "part", "town"]


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda people, as_of: people.select("person", x=people.income.length()), id="attribute"),
        pytest.param(lambda people, as_of: people.select("person", x=people["income"].length()), id="item"),
        pytest.param(lambda people, as_of: people.select("person", "income"), id="name"),
        pytest.param(lambda people, as_of: people.mutate(x=ibis._.income.length()), id="deferred"),
        pytest.param(lambda people, as_of: people.filter(ibis._.income == ">50K"), id="filter"),
        pytest.param(lambda people, as_of: people.drop("income"), id="dropping it, which is not needed"),
    ],
)
def test_a_feature_that_asks_for_the_label_is_told_why_it_cannot(build: Any, function: Any) -> None:
    declared = FeatureSet("sly", entity="person", sources=(PEOPLE,), function=function)
    with pytest.raises(FeatureError, match="column 'income', which the label is made of") as caught:
        build(model(declared))
    assert "hidden" in str(caught.value.expected)


def test_another_error_of_the_function_is_told_as_it_is(build: Any) -> None:
    def mistyped(people: Any, as_of: Any) -> Any:
        return people.select("person", x=people.outcome)

    with pytest.raises(FeatureError, match="raised AttributeError") as caught:
        build(model(features_of(mistyped)))
    assert "label is made of" not in str(caught.value)


def test_a_function_that_returns_a_name_twice_is_refused(build: Any) -> None:
    def twice(people: Any, as_of: Any) -> Any:
        return people.select("person", people.age.name("x"), people.town.name("x"))

    with pytest.raises(FeatureError, match="Feature set 'twice' raised"):
        build(model(features_of(twice)))


def test_two_sets_that_return_one_name_are_refused(build: Any) -> None:
    def again(people: Any, as_of: Any) -> Any:
        return people.select("person", "age")

    with pytest.raises(FeatureError, match=r"return 'age'.*found 'age' again in 'again'") as caught:
        build(model(facts, features_of(again)))
    assert "Rename it" in str(caught.value.fix)


def test_every_column_that_the_label_is_made_of_is_hidden_but_not_the_entity(build: Any) -> None:
    def old(people: Any, as_of: Any) -> Any:
        grown = people.filter(people.town.notnull()).mutate(x=people.age * 2)
        return grown.group_by("person").agg(old=grown.x.max() > 90)

    label = Label("old", entity="person", source=PEOPLE, horizon=None, function=old)
    assert [column.name for column in build(model(label=label)).features] == ["income", "part"]


def test_other_datasets_keep_all_their_columns(tmp_path: Path, artifacts: Any, state: Any) -> None:
    other = Dataset("towns", contract="towns.yaml", source="towns/*.csv", event_time="")
    towns = StaticTable(tmp_path, "towns", {"person": ["ana", "bob"], "income": [1.0, 2.0]}, KNOWN)
    people = StaticTable(tmp_path, "people", COLUMNS, KNOWN)

    def means(towns: Any, as_of: Any) -> Any:
        return towns.select("person", mean_income=towns.income)

    table = build_features(
        model(feature_set(entity="person", sources=[other])(means), facts),
        {"people": people.snapshot(), "towns": towns.snapshot()},
        as_ofs=(PRESENT,), purpose="training", with_label=True, paths_of=people.paths_of, artifacts=artifacts,
        state=state, now=PRESENT,
    )  # fmt: skip
    assert rows_of(table, artifacts)["mean_income"].to_pylist() == [1.0, 2.0, None]


def test_the_column_that_splits_is_kept_for_training_and_is_no_feature(build: Any, artifacts: Any) -> None:
    declared = model(split=PredefinedSplit(column="part", test="test"))
    table = build(declared)
    assert [column.name for column in table.features] == ["age", "town"]
    assert rows_of(table, artifacts)["part"].to_pylist() == ["train", "train", "test"]
    scoring = build(declared, purpose="scoring", with_label=False)
    assert rows_of(scoring, artifacts).column_names == ["entity", "as_of", "age", "town"]


def test_a_split_by_a_column_that_nobody_returns_is_refused(build: Any) -> None:
    with pytest.raises(FeatureError, match="expected fold, found age, part, town"):
        build(model(split=PredefinedSplit(column="fold")))


def test_scoring_needs_no_column_that_splits(build: Any) -> None:
    declared = model(split=PredefinedSplit(column="fold"))
    assert [column.name for column in build(declared, purpose="scoring", with_label=False).features] == [
        "age", "part", "town",
    ]  # fmt: skip


def test_outcomes_of_a_label_without_a_horizon_are_not_built(tmp_path: Path) -> None:
    people = StaticTable(tmp_path, "people", COLUMNS, KNOWN)
    with pytest.raises(NotImplementedError, match="with a horizon only; label 'rich' has none"):
        labels_for(model(), {"people": people.snapshot()}, PRESENT, paths_of=people.paths_of, now=PRESENT)


def _label(function: Callable[[Any], Any], **declared: Any) -> Label:
    return Label(
        "answer", entity="person", source=PEOPLE, horizon=None,
        function=lambda people, as_of: people.select("person", answer=function(people)), **declared,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        pytest.param(lambda people: people.income, ["<=50K", ">50K", ">50K"], id="text"),
        pytest.param(lambda people: people.age, ["30", "40", "50"], id="whole number"),
        pytest.param(lambda people: people.age > 30, ["false", "true", "true"], id="truth value"),
    ],
)
def test_a_class_is_a_text(build: Any, artifacts: Any, column: Any, labels: list[str]) -> None:
    assert rows_of(build(model(label=_label(column), task="multiclass")), artifacts)["label"].to_pylist() == labels


def test_a_number_to_be_predicted_is_kept_as_it_is(build: Any, artifacts: Any) -> None:
    table = build(model(label=_label(lambda people: people.age / 4), task="regression"))
    assert rows_of(table, artifacts)["label"].to_pylist() == [7.5, 10.0, 12.5]


@pytest.mark.parametrize(
    ("task", "column", "told"),
    [
        pytest.param("binary", lambda people: people.income, "is not a number", id="a text for 0 or 1"),
        pytest.param("binary", lambda people: people.age, "neither 0 nor 1", id="an age for 0 or 1"),
        pytest.param("multiclass", lambda people: people.age / 4, "is not a class", id="a fraction for a class"),
        pytest.param("multiclass", lambda people: people.town, "the name of no class", id="no class"),
        pytest.param("multiclass", lambda people: people.income.substr(9), "the name of no class", id="empty class"),
        pytest.param("regression", lambda people: people.income, "is not a number", id="a text for a number"),
        pytest.param("regression", lambda people: people.age.nullif(30), "no finite number", id="a missing number"),
        pytest.param(
            "regression", lambda people: people.age / ibis.literal(0.0), "no finite number", id="an infinite number"
        ),
    ],
)
def test_a_label_that_does_not_fit_the_task_is_refused(build: Any, task: Any, column: Any, told: str) -> None:
    with pytest.raises(FeatureError, match=told) as caught:
        build(model(label=_label(column), task=task))
    assert caught.value.fix


@pytest.mark.parametrize(
    ("task", "absent", "stored"),
    [("binary", 1, 1), ("multiclass", 7, "7"), ("multiclass", "gone", "gone"), ("regression", 2, 2.0)],
)
def test_an_entity_without_an_outcome_gets_the_absent_value(
    build: Any, artifacts: Any, task: Any, absent: Any, stored: Any
) -> None:
    def answer(people: Any, as_of: Any) -> Any:
        known = people.filter(people.person != "ana")
        return known.select("person", answer=(known.age > 0).cast("int64"))

    label = Label("answer", entity="person", source=PEOPLE, horizon=None, function=answer, absent=absent)

    def bare(people: Any, as_of: Any) -> Any:
        return people.select("person", "town")

    table = build(model(features_of(bare), label=label, task=task))
    assert rows_of(table, artifacts)["label"].to_pylist()[0] == stored
