"""The rows of a feature table as a stream: all of them in order, and never many at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from keelway.app.score_rows import PART_ROWS, stream_rows
from keelway.core import ArtifactKind
from keelway.errors import FeatureError, IntegrityError
from keelway.features import FeatureColumn, FeatureTable
from keelway.testing.training import TrainingWorld

FEATURES = (FeatureColumn("plan", "categorical"), FeatureColumn("spend", "numeric"))
GROUPS = 12
ROWS = GROUPS * PART_ROWS + 5


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TrainingWorld:
    return TrainingWorld(tmp_path_factory.mktemp("world"), rows=60)


@pytest.fixture(scope="module")
def table(world: TrainingWorld, tmp_path_factory: pytest.TempPathFactory) -> FeatureTable:
    rows = pa.table(
        {
            "entity": [f"c{number:06d}" for number in range(ROWS)],
            "spend": [None if number % 10 == 0 else number / 2 for number in range(ROWS)],
            "plan": ["gold" if number % 3 else "" for number in range(ROWS)],
        }
    )
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(rows, path, row_group_size=PART_ROWS)
    stored = world.artifacts.put(path.read_bytes(), kind=ArtifactKind.FEATURE_TABLE)
    return replace(world.table, data=stored.digest, rows=ROWS)


def test_every_row_comes_once_in_the_order_of_the_features_that_are_asked_for(
    world: TrainingWorld, table: FeatureTable
) -> None:
    found = pa.concat_tables(stream_rows(table, FEATURES, artifacts=world.artifacts))
    assert found.column_names == ["entity", "plan", "spend"]
    assert found.num_rows == ROWS
    assert found.slice(0, 2).to_pylist() == [
        {"entity": "c000000", "plan": "", "spend": None}, {"entity": "c000001", "plan": "gold", "spend": 0.5},
    ]  # fmt: skip
    assert found["entity"][-1].as_py() == f"c{ROWS - 1:06d}"
    (turned,) = stream_rows(table, FEATURES[::-1], artifacts=world.artifacts, limit=2)
    assert turned.to_pylist()[0] == {"entity": "c000000", "spend": None, "plan": ""}


def test_wide_rows_come_in_smaller_parts(
    world: TrainingWorld, table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keelway.app.score_rows.PART_BYTES", 100_000)
    parts = list(stream_rows(table, FEATURES, artifacts=world.artifacts))
    assert sum(part.num_rows for part in parts) == ROWS
    assert max(part.nbytes for part in parts) < 200_000


@pytest.mark.parametrize("limit", [1, PART_ROWS, PART_ROWS + 1])
def test_a_limit_is_kept(world: TrainingWorld, table: FeatureTable, limit: int) -> None:
    parts = stream_rows(table, FEATURES, artifacts=world.artifacts, limit=limit)
    assert sum(part.num_rows for part in parts) == limit


def test_what_is_held_does_not_grow_with_the_rows(world: TrainingWorld, table: FeatureTable) -> None:
    before = pa.total_allocated_bytes()
    rows = stream_rows(table, FEATURES, artifacts=world.artifacts)
    held = [pa.total_allocated_bytes() - before for _ in rows]
    assert len(held) >= GROUPS
    assert max(held[-4:]) <= 1.5 * max(held[:4])


def test_a_feature_that_the_table_lacks_is_told(world: TrainingWorld, table: FeatureTable) -> None:
    wanted = (*FEATURES, FeatureColumn("age", "numeric"))
    with pytest.raises(FeatureError, match="'age'"):
        next(stream_rows(table, wanted, artifacts=world.artifacts))


def test_altered_rows_are_not_scored(world: TrainingWorld, table: FeatureTable, tmp_path: Path) -> None:
    other = TrainingWorld(tmp_path / "other", rows=60)
    stored = other.artifacts.put(world.artifacts.get(table.data), kind=ArtifactKind.FEATURE_TABLE)
    path = other.artifacts.path_of(stored.digest)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    with pytest.raises(IntegrityError):
        next(stream_rows(table, FEATURES, artifacts=other.artifacts))
