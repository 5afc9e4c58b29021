"""A training that is done again says how alike it came out, and at which stage it parted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keelway.app import App
from keelway.app.reproduce import Reproduction, reproduce
from keelway.core import CodeState, RunEntry, RunQuery, SimulatedClock, digest_bytes, digest_of
from keelway.errors import MissingRecordError
from keelway.testing.late_shop import late_shop
from keelway.testing.training import CODE, NOW, TrainingWorld
from keelway.train import TrainedModel


class Bench:
    """A small world whose features cannot be computed again, because its snapshots are gone."""

    def __init__(self, folder: Path) -> None:
        self.world = TrainingWorld(folder)
        self.code = CODE
        self.told: list[str] = []

    def entry(self) -> RunEntry:
        with self.world.state.snapshot() as tx:
            return tx.runs.search(RunQuery(kinds=("training",)))[0]

    def again(self, **changes: Any) -> Reproduction:
        world = self.world
        project = SimpleNamespace(model=lambda _name: world.model)
        at: Any = SimpleNamespace(
            state=world.state, artifacts=world.artifacts, tables=None, project=project, code=self.code,
            now=lambda: NOW, progress=self.told.append, signing=SimpleNamespace(public_key=world.key.public),
        )  # fmt: skip
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
    assert [line for line in bench.told if line.endswith("computed and trained again")] == bench.told[:1]
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


def test_the_stages_stand_as_one_follows_from_another(bench: Bench) -> None:
    bench.world.card(bench.world.fit())
    assert list(stages(bench.again())) == ["snapshot", "code", "environment", "seed", "features", "pipeline", "metrics"]


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, str]]:
    """A project whose data comes late, and a run of it that learned from a column which is as good as an id."""
    root = late_shop(tmp_path_factory.mktemp("late") / "shop", customers=150)
    code = root / "src" / "shop" / "project.py"
    code.write_text(
        code.read_text().replace("        frequency=", "        newest=orders.order_id.max(),\n        frequency=")
    )
    app = App.open(root, clock=SimulatedClock(datetime(2025, 1, 1, tzinfo=UTC)))
    app.data.ingest()
    yield app, app.lab.run().started.run_id
    app.close()


def test_labels_that_became_known_late_are_known_again(late: tuple[App, str]) -> None:
    app, run = late
    answer = app.runs.reproduce(run)
    assert (answer.alike, answer.trainings[0].first_difference, answer.trainings[0].largest) == ("bit-equal", "", 0.0)


def test_a_plan_is_shown_with_the_warnings_of_what_it_made(late: tuple[App, str]) -> None:
    app, run = late
    (warning,) = app.runs.show(run).warnings  # of the training and of its scorecard, told once
    assert "'newest'" in warning
    assert "looks like an id" in warning


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
