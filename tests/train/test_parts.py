"""Which rows train and which test: by time, at random or by name, and never both."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.errors import TrainingError
from keelway.project import PredefinedSplit, RandomSplit, Splitting, TimeSplit
from keelway.testing.splits import CUTS, rows_of_people, rows_over_time, split_model, table_of
from keelway.train import held_out_rows, parts_of, training_rows
from keelway.train.deal import dealt
from keelway.train.parts import parts_ask_entities


def test_time_tests_on_the_newest_cut_and_learns_what_was_known_by_then() -> None:
    rows, horizon = rows_over_time(4), timedelta(days=40)
    model, table = split_model(TimeSplit(), timed=True), table_of(rows, horizon=horizon)
    parts = parts_of(rows, model, table)

    assert set(held_out_rows(rows, model, table)["as_of"].to_pylist()) == {CUTS[5]}
    assert set(training_rows(rows, model, table)["as_of"].to_pylist()) == set(CUTS[:4])
    assert not (parts.train & parts.test).any()
    assert parts.warnings == ()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from("abc"), min_size=10, max_size=200), st.floats(0.1, 0.5), st.integers(0, 5))
def test_random_test_rows_hold_every_class_by_its_share(labels: list[str], share: float, seed: int) -> None:
    rows = rows_of_people(labels, kind=pa.string())
    parts = parts_of(rows, split_model(RandomSplit(share, seed=seed), task="multiclass"), table_of(rows))

    assert (parts.train ^ parts.test).all()
    for name in set(labels):
        own = np.array([label == name for label in labels])
        assert abs(int((parts.test & own).sum()) - share * own.sum()) <= 1
    assert abs(int(parts.test.sum()) - share * len(labels)) <= 1


def test_the_same_seed_draws_the_same_rows_and_another_draws_others() -> None:
    rows = rows_of_people([0, 1] * 100)
    drawn = [
        held_out_rows(rows, split_model(RandomSplit(seed=seed)), table_of(rows))["entity"].to_pylist()
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 12), min_size=30, max_size=150), st.integers(0, 3))
def test_no_group_stands_in_both_parts(groups: list[int], seed: int) -> None:
    if len(set(groups)) < 4:
        return
    rows = rows_of_people([number % 2 for number in range(len(groups))], house=pa.array(groups).cast(pa.string()))
    parts = parts_of(rows, split_model(RandomSplit(0.3, group="house", seed=seed)), table_of(rows))
    named = np.array(groups)
    assert not set(named[parts.train]) & set(named[parts.test])


def test_an_entity_at_several_cuts_stays_in_one_part() -> None:
    rows = rows_over_time(30)
    model = split_model(RandomSplit(0.2, despite_time=True), timed=True)
    parts = parts_of(rows, model, table_of(rows, horizon=timedelta(days=40)))
    named = np.array(rows["entity"].to_pylist())

    assert not set(named[parts.train]) & set(named[parts.test])
    assert parts.test.sum() == 36
    assert parts.split.overlap_days == 40, "labels of the newest cut are known 40 days after it"
    [warning] = parts.warnings
    assert "although people has an event time" in warning


def test_a_group_that_cuts_an_entity_in_two_is_refused() -> None:
    rows = rows_over_time(30).append_column("house", pa.array([f"h{number % 7}" for number in range(180)]))
    model = split_model(RandomSplit(group="house", despite_time=True), timed=True)
    with pytest.raises(TrainingError, match="cut entities in two"):
        parts_of(rows, model, table_of(rows))


def test_random_rows_of_data_without_a_time_are_warned_of_too() -> None:
    rows = rows_of_people([0, 1] * 20)
    [warning] = parts_of(rows, split_model(RandomSplit()), table_of(rows)).warnings
    assert "drawn at random, because the data has no time" in warning


def test_an_official_split_is_taken_as_it_is() -> None:
    rows = rows_of_people([0, 1, 0, 1], part=["train", "test", "valid", "test"])
    parts = parts_of(rows, split_model(PredefinedSplit()), table_of(rows))
    assert parts.test.tolist() == [False, True, False, True]
    assert parts.train.tolist() == [True, False, True, False]
    assert parts.warnings == ()


def test_an_official_split_of_data_with_a_time_is_warned_of() -> None:
    rows = rows_over_time(2).append_column("part", pa.array(["train", "test"] * 6))
    model = split_model(PredefinedSplit(), timed=True)
    [warning] = parts_of(rows, model, table_of(rows)).warnings
    assert "named by 'part', although people has an event time" in warning


def test_entities_on_both_sides_of_an_official_split_are_counted() -> None:
    rows = rows_over_time(2).append_column("part", pa.array(["train"] * 9 + ["test"] * 3))
    *_, warning = parts_of(rows, split_model(PredefinedSplit(), timed=True), table_of(rows)).warnings
    assert warning.startswith("2 entities stand among both")


@pytest.mark.parametrize(
    ("split", "over_time", "asked"),
    [
        pytest.param(TimeSplit(), True, False, id="over time"),
        pytest.param(RandomSplit(), False, True, id="at random"),
        pytest.param(RandomSplit(group="part"), False, True, id="by groups"),
        pytest.param(PredefinedSplit(), False, False, id="official"),
        pytest.param(PredefinedSplit(), True, True, id="official, at several cuts"),
        pytest.param(PredefinedSplit(column="entity", test="p0000"), False, True, id="by a name"),
    ],
)
def test_who_rows_are_about_is_read_only_where_a_split_asks(split: Splitting, over_time: bool, asked: bool) -> None:
    rows = rows_over_time(4) if over_time else rows_of_people([0, 1] * 12)
    rows = rows.append_column("part", pa.array(["train", "test"] * 12))
    model, table = split_model(split, timed=over_time), table_of(rows, horizon=timedelta(days=40 * over_time))
    assert parts_ask_entities(model, table) is asked
    if asked:
        with pytest.raises((KeyError, TrainingError)):
            parts_of(rows.drop_columns(["entity"]), model, table)
    else:
        whole, without = parts_of(rows, model, table), parts_of(rows.drop_columns(["entity"]), model, table)
        assert (whole.train.tolist(), whole.test.tolist()) == (without.train.tolist(), without.test.tolist())
        assert (whole.split, whole.warnings) == (without.split, without.warnings)


@pytest.mark.parametrize(
    ("columns", "split", "told"),
    [
        pytest.param({}, PredefinedSplit(), "expected 'part' as a text.*found no such column", id="no column"),
        pytest.param({"part": [1.0, 2.0]}, PredefinedSplit(), "found double", id="a number"),
        pytest.param({"part": ["test", ""]}, PredefinedSplit(), "1 of 2 rows without one", id="empty"),
        pytest.param({"part": ["train", "valid"]}, PredefinedSplit(), "found 'train', 'valid'", id="nothing tests"),
        pytest.param({"part": ["test", "test"]}, PredefinedSplit(), "no row to train on", id="everything tests"),
        pytest.param({"house": ["h", "h"]}, RandomSplit(group="house"), "no row to test on", id="one group"),
    ],
)
def test_a_split_that_cannot_be_made_says_why(columns: dict[str, Any], split: Splitting, told: str) -> None:
    rows = rows_of_people([0, 1], **columns)
    with pytest.raises(TrainingError, match=told) as caught:
        parts_of(rows, split_model(split), table_of(rows))
    assert caught.value.fix


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(2, 5), st.integers(0, 9))
def test_single_rows_are_dealt_evenly_within_every_class(classes: list[int], parts: int, seed: int) -> None:
    given_classes = np.array(classes)
    found = dealt(given_classes, np.arange(len(classes)), shares=(1 / parts,) * parts, seed=seed)
    for chosen in (given_classes >= 0, *(given_classes == each for each in set(classes))):
        counts = np.bincount(found[chosen], minlength=parts)
        assert counts.max() - counts.min() <= 1
