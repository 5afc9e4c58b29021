"""Rows in parts keep the promises of rows as a whole: they are checked over all parts, and nothing of a broken build is kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keelway.core import parse_time
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.errors import FeatureError
from keelway.features import CutRows, FeatureTable, build_features, compute, execute, rows_of
from keelway.project import Dataset, Estimator, FeatureSet, Label, Model, RandomSplit, feature_set
from keelway.testing.crash import EXIT_CODE, CrashingArtifacts, CrashPoint
from keelway.testing.features import StaticTable

PEOPLE = Dataset("people", contract="people.yaml", source="people/*.csv", event_time="")
COUNT = 9_000
PART = 2_048
NOW = parse_time("2025-02-01")


@Label.define(entity="person", source=PEOPLE)
def gone(people: Any, as_of: Any) -> Any:
    return people.select("person", gone=people.left)


@feature_set(entity="person", sources=[PEOPLE])
def numbers(people: Any, as_of: Any) -> Any:
    return people.group_by("person").agg(number=people.number.max(), kind=people.kind.first())


def model(*features: FeatureSet) -> Model:
    estimators = (Estimator("logistic", "sklearn.linear_model.LogisticRegression"),)
    return Model("churn", features=features, label=gone, estimators=estimators, cuts=None, split=RandomSplit())


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FeatureTable]:
    monkeypatch.setattr(execute, "ROWS_AT_ONCE", PART)
    people = [f"p{(number * 7) % COUNT:05}" for number in range(COUNT)]
    columns = {
        "person": people,
        "number": list(range(COUNT)),
        "kind": [f"k{number % 3}" for number in range(COUNT)],
        "left": [0, 1] * (COUNT // 2),
    }
    table = StaticTable(tmp_path / "people", "people", columns)
    snapshot = table.snapshot()

    def build(*features: FeatureSet, folder: Path = tmp_path / "stores", at: int = 0, **changes: Any) -> FeatureTable:
        folder.mkdir(exist_ok=True)
        given: dict[str, Any] = {"with_label": False, "purpose": "scoring"} | changes
        return build_features(
            model(*features or (numbers,)), {"people": snapshot}, as_ofs=(NOW,), now=NOW, paths_of=table.paths_of,
            artifacts=CrashingArtifacts(LocalArtifacts(folder / "artifacts"), CrashPoint(at)),
            state=SqlState(f"sqlite:///{folder / 'state.db'}"), work=folder / "work", **given,
        )  # fmt: skip

    return build


def made(function: Callable[[Any, Any], Any]) -> FeatureSet:
    return FeatureSet("made", entity="person", sources=(PEOPLE,), function=function)


def test_every_entity_has_its_row_in_order(build: Any, tmp_path: Path) -> None:
    table = build()
    rows = rows_of(table, LocalArtifacts(tmp_path / "stores" / "artifacts"))
    assert rows["entity"].to_pylist() == [f"p{number:05}" for number in range(COUNT)]
    assert table.rows == rows.num_rows == COUNT


def test_wrong_values_are_counted_in_all_parts(build: Any) -> None:
    infinite = made(lambda people, as_of: people.select("person", far=1.0 / (people.number % 2).cast("float64")))
    with pytest.raises(FeatureError, match=r"'far' of 'churn' is infinite.* infinity in 4,500 rows"):
        build(infinite)


@pytest.mark.parametrize("twice", [1, PART - 1, PART, COUNT - 1])
def test_an_entity_that_comes_again_is_found_wherever_parts_end(build: Any, twice: int) -> None:
    def again(people: Any, as_of: Any) -> Any:
        other = people.person == f"p{twice:05}"
        return people.select(person=other.ifelse(f"p{twice - 1:05}", people.person), number=people.number)

    with pytest.raises(FeatureError, match=r"'made' returned more than one row an entity.*2 rows for one"):
        build(made(again))
    with pytest.raises(FeatureError, match="'made' returned more than one row an entity"):
        build(numbers, made(lambda people, as_of: again(people, as_of).rename(other="number")))


def test_rows_without_an_entity_are_counted(build: Any) -> None:
    nobody = made(lambda people, as_of: people.select(person=people.person.nullif("p00007"), number=people.number))
    with pytest.raises(FeatureError, match=r"'made' returned rows without an entity.*1 rows"):
        build(nobody)


def test_where_bounded_memory_is_too_little_the_answer_is_the_same(
    build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    whole = build(progress=told.append)
    assert not any("memory" in line for line in told)
    monkeypatch.setattr(compute, "MEMORY_LIMIT", "1MB")
    assert build(folder=tmp_path / "others", progress=told.append) == whole
    assert any("memory at once; computed again" in line for line in told)


def test_a_build_that_is_killed_leaves_nothing_that_counts(build: Any, tmp_path: Path) -> None:
    whole, folder = build(folder=tmp_path / "whole"), tmp_path / "killed"
    for at in (1, 2):  # before the rows are stored, and after
        child = os.fork()
        if child == 0:
            build(folder=folder, at=at)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == EXIT_CODE
        with SqlState(f"sqlite:///{folder / 'state.db'}").snapshot() as tx:
            assert (tx.count(CutRows), tx.count(FeatureTable)) == (0, 0)
        assert list((folder / "work").glob("features-*/*.parquet"))
    assert build(folder=folder) == whole
    assert not list((folder / "work").glob("features-*"))
