"""The index over runs on SQLite: its promises, and that it can be made from the records that are there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from keelway.core import RunQuery
from keelway.engines.sql import SqlState
from keelway.testing.run_index import NOW, RunIndexConformance, tracked
from keelway.testing.training import TrainingWorld
from keelway.train.tracking import training_id


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


class TestSqliteRunIndex(RunIndexConformance):
    @pytest.fixture
    def state(self, url: str):
        state = SqlState(url)
        yield state
        state.close()


def test_a_database_without_the_index_gets_it_with_every_run_it_holds(url: str, tmp_path: Path) -> None:
    state = SqlState(url)
    with state.transaction() as tx:
        for number in range(1, 4):
            tx.insert(f"r{number}", tracked(number), at=NOW)
    with state.snapshot() as tx:
        before = tx.runs.search(RunQuery())
    state.close()
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection, connection:
        for table in ("run_metrics", "run_parameters", "runs"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    state = SqlState(url)
    with state.snapshot() as tx:
        assert tx.runs.search(RunQuery()) == before
    state.close()


def test_a_training_and_its_figures_land_in_the_index_with_their_records(tmp_path: Path) -> None:
    world = TrainingWorld(tmp_path / "world")
    trained = world.fit()
    with world.state.snapshot() as tx:
        (entry,) = tx.runs.search(RunQuery(kinds=("training",)))
        assert tx.by_digest(type(trained), entry.record) == trained
    assert (entry.model, entry.estimator, entry.seed) == ("churn", "logistic", 7)
    assert entry.seconds is not None
    assert entry.seconds > 0
    assert entry.metrics["system/process_memory_usage_megabytes"] > 1
    assert entry.parameters == {"factory": trained.factory, "max_iter": 1000}
    assert "roc_auc" not in entry.metrics

    card = world.card(trained)
    with world.state.snapshot() as tx:
        (measured,) = tx.runs.search(RunQuery(metric="roc_auc"))
    assert measured.run_id == entry.run_id == training_id(f"sha256:{entry.run_id}")
    assert measured.metrics == {
        **entry.metrics, **{name: each.value for name, each in card.metrics.items() if each.value is not None}
    }  # fmt: skip
