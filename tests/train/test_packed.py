"""Boosted trees of scikit-learn are stored as a few arrays; what is loaded is what was fitted, or it is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from numpy.lib.recfunctions import repack_fields
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from keelway.core import ArtifactKind
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.errors import IntegrityError
from keelway.train import load_pipeline
from keelway.train.packed import PackedArrays, PackedTrees, packed
from keelway.train.same_bytes import archive_of, same_bytes
from keelway.train.stored import TRUSTED_TYPES, pipeline_bytes

DRAW = np.random.default_rng(0)
CATEGORIES = 12
INPUTS = np.column_stack([DRAW.normal(size=(300, 3)), DRAW.integers(0, CATEGORIES, 300)])
INPUTS[DRAW.random(INPUTS.shape) < 0.05] = np.nan
SUMS = np.nansum(INPUTS[:, :2], axis=1) + (np.nan_to_num(INPUTS[:, 3]) % 3)
LABELS: dict[str, Any] = {"two": SUMS > 1, "three": np.digitize(SUMS, [0, 2]), "numbers": SUMS}
Spoil = Callable[[PackedTrees], PackedTrees]


@pytest.fixture
def artifacts(tmp_path: Path) -> LocalArtifacts:
    return LocalArtifacts(tmp_path)


def boosting(what: str, *, grown: int = 6, categories: bool = False, calibrate: bool = False) -> Pipeline:
    kind = HistGradientBoostingRegressor if what == "numbers" else HistGradientBoostingClassifier
    last = kind(max_iter=grown, random_state=3, min_samples_leaf=5, categorical_features=[3] if categories else None)
    if calibrate:
        last = CalibratedClassifierCV(last, cv=3)
    pipeline = Pipeline([("scale", "passthrough" if categories else StandardScaler()), ("estimate", last)])
    pipeline.fit(INPUTS, LABELS[what])
    if categories:
        last._preprocessor = None  # holds a function, which is never stored: here it is the trees that matter
    return pipeline


@cache
def once_fitted() -> Pipeline:
    """Return trees that split by numbers and by categories, to be left as they are."""
    return boosting("three", categories=True)


def again(data: bytes, artifacts: LocalArtifacts) -> Any:
    return load_pipeline(artifacts.put(data, kind=ArtifactKind.MODEL).digest, artifacts=artifacts)


def spoilt(change: Spoil) -> bytes:
    """Return a stored pipeline whose packed trees were changed by somebody."""
    last = packed(once_fitted()[-1])
    last._predictors = change(last._predictors)
    return stored(last)


def stored(last: Any) -> bytes:
    archive = archive_of(Pipeline([("estimate", last)]))
    assert archive.untrusted <= TRUSTED_TYPES, "it must be refused for its trees alone"
    return archive.data


def answers(pipeline: Any) -> Any:
    return (pipeline.predict_proba if hasattr(pipeline, "predict_proba") else pipeline.predict)(INPUTS)


def same_trees(one: Any, other: Any) -> None:
    assert len(one._predictors) == len(other._predictors)
    for mine, yours in zip(one._predictors, other._predictors, strict=True):
        assert type(mine) is type(yours) is list
        assert len(mine) == len(yours)
        for each, wanted in zip(mine, yours, strict=True):
            assert type(each) is TreePredictor
            assert vars(each).keys() == vars(wanted).keys()
            for name, array in vars(wanted).items():
                assert getattr(each, name).dtype == array.dtype
                np.testing.assert_array_equal(getattr(each, name), array)
    thresholds = zip(one._bin_mapper.bin_thresholds_, other._bin_mapper.bin_thresholds_, strict=True)
    for each, wanted in thresholds:
        np.testing.assert_array_equal(each, wanted)


@pytest.mark.parametrize("categories", [False, True], ids=["numbers only", "with categories"])
@pytest.mark.parametrize("what", LABELS)
def test_what_is_loaded_is_what_was_fitted(what: str, categories: bool, artifacts: LocalArtifacts) -> None:
    pipeline = boosting(what, categories=categories)
    loaded = again(pipeline_bytes(pipeline), artifacts)
    same_trees(loaded[-1], pipeline[-1])
    np.testing.assert_array_equal(answers(loaded), answers(pipeline))
    assert any(tree.nodes["is_categorical"].any() for (tree, *_) in loaded[-1]._predictors) is categories
    afresh = clone(loaded).fit(INPUTS, LABELS[what])
    same_trees(afresh[-1], pipeline[-1])


def test_the_trees_within_a_calibration_are_packed_and_loaded_too(artifacts: LocalArtifacts) -> None:
    pipeline = boosting("two", calibrate=True)
    data = pipeline_bytes(pipeline)
    loaded = again(data, artifacts)
    assert b"TreePredictor" not in zipfile.ZipFile(io.BytesIO(data)).read("schema.json")
    for mine, yours in zip(loaded[-1].calibrated_classifiers_, pipeline[-1].calibrated_classifiers_, strict=True):
        same_trees(mine.estimator, yours.estimator)
    np.testing.assert_array_equal(answers(loaded), answers(pipeline))


def test_storing_leaves_what_was_fitted_as_it_was() -> None:
    pipeline = boosting("two", calibrate=True)
    fitted = [each.estimator for each in pipeline[-1].calibrated_classifiers_]
    before = [(id(each), each._predictors, each._bin_mapper, each._bin_mapper.bin_thresholds_) for each in fitted]
    pipeline_bytes(pipeline)
    for each, (number, *held) in zip(pipeline[-1].calibrated_classifiers_, before, strict=True):
        now = [each.estimator._predictors, each.estimator._bin_mapper, each.estimator._bin_mapper.bin_thresholds_]
        assert id(each.estimator) == number
        assert all(one is other for one, other in zip(now, held, strict=True))


@pytest.mark.parametrize("categories", [False, True], ids=["numbers only", "with categories"])
def test_equal_trees_have_equal_bytes_also_when_they_were_loaded(categories: bool, artifacts: LocalArtifacts) -> None:
    data = pipeline_bytes(boosting("three", categories=categories))
    assert pipeline_bytes(boosting("three", categories=categories)) == data
    assert pipeline_bytes(again(data, artifacts)) == data
    assert pipeline_bytes(boosting("three", categories=categories, grown=7)) != data


def test_more_trees_are_no_more_files() -> None:
    few, many = (
        len(zipfile.ZipFile(io.BytesIO(pipeline_bytes(boosting("three", grown=grown)))).namelist()) for grown in (2, 20)
    )
    assert few == many


def test_trees_that_were_stored_one_by_one_are_still_loaded(artifacts: LocalArtifacts) -> None:
    pipeline = boosting("three", categories=True)
    loaded = again(same_bytes(skops.io.dumps(pipeline)), artifacts)
    same_trees(loaded[-1], pipeline[-1])


def of_nodes(change: Callable[[Any], None]) -> Spoil:
    def spoil(trees: PackedTrees) -> PackedTrees:
        nodes = trees.nodes.values.copy()
        change(nodes)
        return replace(trees, nodes=replace(trees.nodes, values=nodes))

    return spoil


def inner(nodes: Any) -> Any:
    return np.flatnonzero(nodes["is_leaf"] == 0)


def at_inner(field: str, value: int, which: int = 0) -> Spoil:
    def change(nodes: Any) -> None:
        nodes[field][inner(nodes)[which]] = value

    return of_nodes(change)


def at_place(field: str, share: float, value: int, trees: PackedTrees) -> PackedTrees:
    def change(nodes: Any) -> None:
        nodes[field][int(share * len(nodes))] = value

    return of_nodes(change)(trees)


def at_split(field: str, value: int) -> Spoil:
    def change(nodes: Any) -> None:
        nodes[field][np.flatnonzero(nodes["is_categorical"])[0]] = value

    return of_nodes(change)


def nobody_ends(nodes: Any) -> None:
    nodes["is_leaf"] = 0


def one_child_twice(nodes: Any) -> None:
    nodes["right"][inner(nodes)[0]] = nodes["left"][inner(nodes)[0]]


def set_of_numbers(nodes: Any) -> None:
    plain = [place for place in inner(nodes) if not nodes["is_categorical"][place]]
    nodes["is_categorical"][plain[0]] = 1


def retyped(name: str, kind: Any) -> Spoil:
    def spoil(trees: PackedTrees) -> PackedTrees:
        part = getattr(trees, name)
        return replace(trees, **{name: replace(part, values=part.values.astype(kind))})

    return spoil


def relengthened(name: str, change: Callable[[Any], Any]) -> Spoil:
    def spoil(trees: PackedTrees) -> PackedTrees:
        part = getattr(trees, name)
        return replace(trees, **{name: replace(part, lengths=change(part.lengths.copy()))})

    return spoil


def moved(lengths: Any) -> Any:
    lengths[:2] += [-lengths[0], lengths[0]]
    return lengths


def overflowing(lengths: Any) -> Any:
    lengths[:2] += [2**62, -(2**62)]
    return lengths


SPOILT: dict[str, Spoil] = {
    "a child far away": at_inner("left", 2**31),
    "a child in another tree": at_inner("right", 200),
    "a child that is its parent": at_inner("left", 0),
    "a child before its parent": at_inner("right", 0, which=3),
    "two ways to one node": of_nodes(one_child_twice),
    "no leaf at all": of_nodes(nobody_ends),
    "a column that there is not": at_inner("feature_idx", 4),
    "a column before the first": at_inner("feature_idx", -1),
    "a set that there is not": at_split("bitset_idx", 10_000),
    "a set for a column of numbers": of_nodes(set_of_numbers),
    "nodes with other fields": lambda trees: replace(
        trees, nodes=replace(trees.nodes, values=repack_fields(trees.nodes.values[["value", "is_leaf"]]))
    ),
    "nodes that are numbers": lambda trees: replace(trees, nodes=PackedArrays.of([np.arange(3.0)] * 18)),
    "sets of another type": retyped("raw_sets", np.float64),
    "sets of another width": lambda trees: replace(
        trees, raw_sets=replace(trees.raw_sets, values=trees.raw_sets.values[:, :3].copy())
    ),
    "fewer sets of one kind": lambda trees: replace(
        trees, binned_sets=PackedArrays.of([np.zeros((0, 8), dtype=np.uint32)] * len(trees.raw_sets.lengths))
    ),
    "lengths that do not add up": relengthened("nodes", lambda lengths: lengths[:-1]),
    "a length below zero": relengthened("nodes", lambda lengths: lengths * -1),
    "lengths that overflow": relengthened("nodes", overflowing),
    "lengths that are no whole numbers": relengthened("nodes", lambda lengths: lengths.astype(np.float64)),
    "a tree without a root": relengthened("nodes", moved),
    "an iteration that is cut off": lambda trees: replace(trees, at_once=5),
    "iterations of nothing": lambda trees: replace(trees, at_once=0),
    "iterations of a text": lambda trees: replace(trees, at_once="3"),  # type: ignore[arg-type]
    "nodes that are missing": lambda trees: replace(trees, nodes=None),  # type: ignore[arg-type]
    "nodes without lengths": lambda trees: replace(trees, nodes=replace(trees.nodes, lengths=None)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("change", SPOILT.values(), ids=SPOILT)
def test_spoilt_trees_are_refused_before_anything_follows_them(change: Spoil, artifacts: LocalArtifacts) -> None:
    with pytest.raises(IntegrityError, match=r"are damaged|cannot be read"):
        again(spoilt(change), artifacts)


@pytest.mark.parametrize("what", ["a child far away", "no leaf at all", "a column that there is not"])
def test_spoilt_trees_that_were_stored_one_by_one_are_refused_too(what: str, artifacts: LocalArtifacts) -> None:
    pipeline = boosting("three", categories=True)
    pipeline[-1]._predictors = SPOILT[what](PackedTrees.of(pipeline[-1]._predictors)).iterations()
    with pytest.raises(IntegrityError, match="are damaged"):
        again(same_bytes(skops.io.dumps(pipeline)), artifacts)


def test_bins_whose_lengths_do_not_add_up_are_refused(artifacts: LocalArtifacts) -> None:
    last = packed(boosting("two")[-1])
    bins = last._bin_mapper.bin_thresholds_
    last._bin_mapper.bin_thresholds_ = replace(bins, values=bins.values[:-1].copy())
    with pytest.raises(IntegrityError, match="expected lengths that add up"):
        again(stored(last), artifacts)


def test_columns_of_the_estimator_that_do_not_fit_its_bins_are_refused(artifacts: LocalArtifacts) -> None:
    last = packed(boosting("two")[-1])
    last.n_features_in_ = 1_000_000
    with pytest.raises(IntegrityError, match="expected 1000000 columns, found"):
        again(stored(last), artifacts)


@pytest.mark.parametrize("field", ["left", "right", "feature_idx", "bitset_idx", "is_leaf", "is_categorical"])
def test_whatever_is_written_into_a_node_it_is_refused_or_the_trees_still_answer(
    field: str, artifacts: LocalArtifacts
) -> None:
    draw, refused = np.random.default_rng(1), 0
    for _ in range(20):
        which, value = draw.random(), int(draw.integers(0, 256))
        try:
            loaded = again(spoilt(partial(at_place, field, which, value)), artifacts)
        except IntegrityError:
            refused += 1
        else:
            assert np.isfinite(answers(loaded)).all()
    assert 0 < refused < 20


def test_arrays_come_back_as_they_were() -> None:
    arrays = [np.arange(5.0), np.zeros(0), np.arange(2.0)]
    for each, wanted in zip(PackedArrays.of(arrays).arrays(), arrays, strict=True):
        np.testing.assert_array_equal(each, wanted)
    assert [each.shape for each in PackedArrays.of([np.zeros((0, 8)), np.zeros((2, 8))]).arrays()] == [(0, 8), (2, 8)]
    assert [each.shape for each in PackedArrays.of([np.zeros((0, 8))]).arrays()] == [(0, 8)]
