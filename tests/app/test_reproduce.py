"""A training that is done again says how alike it came out, and at which stage it parted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keelway.app.reproduce import Reproduction, reproduce
from keelway.core import CodeState, RunEntry, RunQuery, digest_bytes, digest_of
from keelway.errors import MissingRecordError
from keelway.testing.training import CODE, NOW, TrainingWorld
from keelway.train import TrainedModel


class Bench:
    """A small world whose features cannot be computed again, because its snapshots are gone."""

    def __init__(self, folder: Path) -> None:
        self.world = TrainingWorld(folder)
        self.code = CODE

    def entry(self) -> RunEntry:
        with self.world.state.snapshot() as tx:
            return tx.runs.search(RunQuery(kinds=("training",)))[0]

    def again(self, **changes: Any) -> Reproduction:
        world = self.world
        project = SimpleNamespace(model=lambda _name: world.model)
        at: Any = SimpleNamespace(
            state=world.state, artifacts=world.artifacts, tables=None, project=project, code=self.code, now=lambda: NOW
        )
        return reproduce(at, changes.pop("entry", None) or self.entry(), tolerance=changes.pop("tolerance", 1e-9))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "world")


def stages(answer: Reproduction) -> dict[str, bool]:
    (training,) = answer.trainings
    return {check.stage: check.same for check in training.stages}


def test_the_same_again_is_bit_equal_and_nothing_of_it_stays(bench: Bench) -> None:
    bench.world.card(bench.world.fit())
    with bench.world.state.snapshot() as tx:
        before = (tx.count(TrainedModel), tx.runs.count())
    answer = bench.again()
    assert answer.alike == "bit-equal"
    assert (answer.trainings[0].largest, answer.tolerance) == (0.0, 1e-9)
    with bench.world.state.snapshot() as tx:
        assert (tx.count(TrainedModel), tx.runs.count()) == before


def test_snapshots_that_are_gone_are_told_and_the_stored_features_are_used(bench: Bench) -> None:
    bench.world.fit()
    answer = bench.again()
    assert (answer.alike, answer.trainings[0].first_difference) == ("bit-equal", "snapshot")
    found = stages(answer)
    assert (found["snapshot"], found["features"], found["pipeline"]) == (False, False, True)
    assert "metrics" not in found  # it was never measured
    assert answer.trainings[0].largest is None


def test_other_code_and_another_environment_are_told_even_where_nothing_changes(bench: Bench) -> None:
    bench.world.card(bench.world.fit())
    bench.code = CodeState(digest_bytes(b"other project"), digest_bytes(b"other environment"))
    answer = bench.again()
    found = stages(answer)
    assert (found["code"], found["environment"], found["seed"], found["pipeline"]) == (False, False, True, True)
    assert answer.alike == "bit-equal"


def test_another_model_is_different_unless_its_figures_are_close_enough(bench: Bench) -> None:
    bench.world.card(bench.world.fit())
    loose = replace(bench.world.model.estimators[0], parameters={"max_iter": 1000, "tol": 1e-3})
    bench.world.declare(estimators=(loose, *bench.world.model.estimators[1:]))
    strict, lenient = bench.again(tolerance=0.0), bench.again(tolerance=1.0)
    assert (strict.alike, lenient.alike) == ("different", "metric-equal")
    (training,) = strict.trainings
    assert training.largest is not None
    assert 0 < training.largest < 1
    assert training.largest_metric
    assert stages(strict)["metrics"] is False


def test_a_training_whose_features_are_gone_cannot_be_done_again(bench: Bench) -> None:
    bench.world.fit()
    entry = bench.entry()
    with bench.world.state.snapshot() as tx:
        trained = tx.by_digest(TrainedModel, entry.record)
    lost = replace(trained, feature_table=digest_of("nothing"))
    with bench.world.state.transaction() as tx:
        record = tx.insert("lost", lost, at=NOW)
    with pytest.raises(MissingRecordError):
        bench.again(entry=replace(entry, record=record))


def test_the_run_of_a_dirty_tree_is_marked(bench: Bench) -> None:
    bench.world.fit()
    assert bench.again().dirty is False
    assert bench.again(entry=replace(bench.entry(), dirty=True)).dirty is True
