"""Folds are made of training rows only, keep groups whole, and never learn from a label before it was known."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.errors import TrainingError
from keelway.project import Model, PredefinedSplit, RandomSplit, Splitting, TimeSplit
from keelway.testing.splits import CUTS, rows_of_people, rows_over_time, split_model, table_of
from keelway.train import Fold, folds, training_rows

horizons = st.integers(1, 120).map(lambda days: timedelta(days=days))


def of_training(rows: pa.Table, model: Model, horizon: timedelta = timedelta(0)) -> tuple[pa.Table, tuple[Fold, ...]]:
    """Return the training rows and their folds."""
    table = table_of(rows, horizon=horizon)
    learnt = training_rows(rows, model, table)
    return learnt, folds(learnt, model, table)


@settings(deadline=None, max_examples=50)
@given(horizons, st.integers(1, 4), st.booleans())
def test_forward_folds_never_learn_a_label_after_their_validation_cut(
    horizon: timedelta, count: int, overlap: bool
) -> None:
    rows = rows_over_time(3, horizon)
    model = split_model(TimeSplit(folds=count), timed=True, overlap="when_unavoidable" if overlap else "never")
    try:
        learnt, found = of_training(rows, model, horizon)
    except TrainingError:
        return
    known, moments = learnt["label_known_at"].to_pylist(), learnt["as_of"].to_pylist()
    for fold in found:
        assert not set(fold.train) & set(fold.validate)
        if fold.name.startswith("validated on"):
            [cut] = {moments[place] for place in fold.validate}
            assert max(known[place] for place in fold.train) <= cut
            assert max(moments[place] for place in fold.train) < cut
            assert sum(moment == cut for moment in moments) == len(fold.validate)


def test_the_newest_training_cuts_validate_in_their_order() -> None:
    _, found = of_training(rows_over_time(3, timedelta(days=20)), split_model(TimeSplit(folds=2), timed=True))
    assert [fold.name for fold in found] == ["validated on 2025-04-01", "validated on 2025-05-01"]
    assert [len(fold.train) for fold in found] == [9, 12]


def test_fewer_cuts_give_fewer_folds() -> None:
    horizon = timedelta(days=40)
    _, found = of_training(rows_over_time(3, horizon), split_model(TimeSplit(folds=9), timed=True), horizon)
    assert [fold.name for fold in found] == ["validated on 2025-03-01", "validated on 2025-04-01"]


def test_the_test_cut_is_in_no_fold() -> None:
    learnt, found = of_training(rows_over_time(3), split_model(TimeSplit(), timed=True), timedelta(days=40))
    places = np.concatenate([np.concatenate([fold.train, fold.validate]) for fold in found])
    assert places.max() < learnt.num_rows
    assert CUTS[5] not in learnt["as_of"].to_pylist()


def test_without_a_clean_cut_folding_is_refused() -> None:
    horizon = timedelta(days=100)
    with pytest.raises(TrainingError, match="cannot be folded in time") as caught:
        of_training(rows_over_time(3, horizon), split_model(TimeSplit(), timed=True), horizon)
    assert "when_unavoidable" in str(caught.value.fix)


def test_or_nobody_is_validated_on_who_was_learnt_from_where_overlap_is_split_model() -> None:
    horizon = timedelta(days=100)
    model = split_model(TimeSplit(folds=3), timed=True, overlap="when_unavoidable")
    learnt, found = of_training(rows_over_time(12, horizon), model, horizon)
    named = np.array(learnt["entity"].to_pylist())
    assert [fold.name for fold in found] == [f"random {number} of 3, by entity" for number in (1, 2, 3)]
    for fold in found:
        assert not set(named[fold.train]) & set(named[fold.validate])


def _checked(found: tuple[Fold, ...], count: int) -> None:
    """Check that every row validates once, and learns wherever it does not validate."""
    assert sorted(np.concatenate([fold.validate for fold in found])) == list(range(count))
    for fold in found:
        assert sorted([*fold.train, *fold.validate]) == list(range(count))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from("abc"), min_size=30, max_size=120), st.integers(2, 5), st.integers(0, 3))
def test_random_folds_hold_every_class_by_its_share(labels: list[str], count: int, seed: int) -> None:
    model = split_model(RandomSplit(folds=count, seed=seed), task="multiclass")
    learnt, found = of_training(rows_of_people(labels, kind=pa.string()), model)
    classes = np.array(learnt["label"].to_pylist())

    assert len(found) == count
    _checked(found, learnt.num_rows)
    for name in set(classes):
        shares = [int((classes[fold.validate] == name).sum()) for fold in found]
        assert max(shares) - min(shares) <= 1


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 15), min_size=60, max_size=150), st.integers(0, 3))
def test_no_group_is_cut_in_two(groups: list[int], seed: int) -> None:
    if len(set(groups)) < 8:
        return
    rows = rows_of_people([number % 2 for number in range(len(groups))], house=pa.array(groups).cast(pa.string()))
    learnt, found = of_training(rows, split_model(RandomSplit(folds=3, group="house", seed=seed)))
    houses = np.array(learnt["house"].to_pylist())

    _checked(found, learnt.num_rows)
    for fold in found:
        assert len(fold.validate) > 0
        assert not set(houses[fold.train]) & set(houses[fold.validate])


def test_groups_of_equal_size_are_dealt_by_class() -> None:
    """Forty houses of five; in the first ten all labels are 1."""
    rows = rows_of_people(
        [int(number < 50) for number in range(200)], house=[f"h{number // 5}" for number in range(200)]
    )
    learnt, found = of_training(rows, split_model(RandomSplit(test_share=0.2, folds=4, group="house")))
    labels = learnt["label"].to_numpy()
    assert [int(labels[fold.validate].sum()) for fold in found] == [10, 10, 10, 10]


@pytest.mark.parametrize("split", [RandomSplit(folds=3), PredefinedSplit(folds=3)], ids=["random", "official"])
def test_folds_of_numbers_are_of_equal_size(split: Splitting) -> None:
    rows = rows_of_people([number / 7 for number in range(50)], kind=pa.float64(), part=["train"] * 40 + ["test"] * 10)
    learnt, found = of_training(rows, split_model(split, task="regression"))
    assert learnt.num_rows == 40
    _checked(found, 40)
    assert [len(fold.validate) for fold in found] == [14, 13, 13]


def test_folds_are_the_same_again_and_differ_by_seed() -> None:
    rows = rows_of_people([0, 1] * 50)
    [first, again, other] = [
        [fold.validate.tolist() for fold in folds(rows, split_model(PredefinedSplit(seed=seed)), table_of(rows))]
        for seed in (0, 0, 1)
    ]
    assert first == again != other


def test_too_few_groups_are_refused() -> None:
    rows = rows_of_people([0, 1] * 20, house=["a", "b"] * 20)
    with pytest.raises(TrainingError, match="at least 5, one for each fold, found 2 by 'house'"):
        folds(rows, split_model(RandomSplit(group="house")), table_of(rows))
