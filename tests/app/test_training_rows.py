"""Rows that a version was trained on: for warming and for explanations, whatever is gone or damaged."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from keelway.app.explaining import _explainer
from keelway.app.serving import VersionSource
from keelway.app.training_rows import training_rows
from keelway.core import ArtifactKind, digest_bytes, digest_of
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.errors import IntegrityError, MissingRecordError
from keelway.features import FeatureTable
from keelway.register import ModelVersion
from keelway.serve import SampledExplainer
from keelway.testing.serving import FEATURES, NOW, ONE, FixedScorer, version_record

NOTHING = digest_bytes(b"nothing")


class World:
    """A state and a store with one version and the table that it was trained on."""

    def __init__(self, folder: Path, rows: int, *, data: bytes | None = None) -> None:
        self.state = SqlState(f"sqlite:///{folder / 'state.db'}")
        self.artifacts = LocalArtifacts(folder / "artifacts")
        table = pa.table(
            {
                "entity": [f"{number}" for number in range(rows)],
                "plan": ["gold" if number % 2 else "" for number in range(rows)],
                "recency_d": [float(number) if number % 3 else None for number in range(rows)],
            }
        )
        sink = io.BytesIO()
        pq.write_table(table, sink, row_group_size=50)
        stored = self.artifacts.put(data or sink.getvalue(), kind=ArtifactKind.FEATURE_TABLE)
        record = FeatureTable(
            "churn", "training", stored.digest, NOTHING, "customer_id", (NOW,), FEATURES, "y", 1, rows, {}, NOTHING
        )
        with self.state.transaction() as tx:
            place = tx.insert("churn/table", record, parent="churn", at=NOW)
            self.version = replace(version_record("churn:1", onnx=NOTHING), feature_table=place)
            tx.insert("churn:1", self.version, parent="churn", at=NOW)
        self.at: Any = SimpleNamespace(state=self.state, artifacts=self.artifacts)

    def rows(self, limit: int, *, spread: bool) -> list[list[Any]]:
        return training_rows(self.version, at=self.at, limit=limit, spread=spread)


def test_the_first_rows_have_the_features_in_the_order_of_the_version(tmp_path: Path) -> None:
    world = World(tmp_path, 10)
    assert world.rows(3, spread=False) == [[None, ""], [1.0, "gold"], [2.0, ""]]


@pytest.mark.parametrize(("rows", "limit"), [(120, 10), (7, 100), (101, 100), (1, 1)])
def test_rows_are_spread_over_the_whole_table(tmp_path: Path, rows: int, limit: int) -> None:
    found = World(tmp_path, rows).rows(limit, spread=True)
    step = max(1, rows // limit)
    numbers = list(range(0, rows, step))[:limit]
    assert found == [[float(each) if each % 3 else None, "gold" if each % 2 else ""] for each in numbers]


def test_a_table_that_is_gone_or_damaged_is_told(tmp_path: Path) -> None:
    world = World(tmp_path, 5, data=b"PAR1 is no table")
    with pytest.raises(IntegrityError):
        world.rows(3, spread=False)
    with pytest.raises(MissingRecordError):
        training_rows(replace(world.version, feature_table=NOTHING), at=world.at, limit=3, spread=False)


def test_warming_goes_without_rows_that_cannot_be_read(tmp_path: Path) -> None:
    good = World(tmp_path, 5)
    source = VersionSource(good.at)
    assert len(source.rows_of(ONE, digest_of(good.version))) == 5
    assert source.rows_of(ONE, NOTHING) == []


class Source:
    """Knows one version, which has no plan."""

    def __init__(self, version: ModelVersion) -> None:
        self.version = version

    def record(self, _name: Any, _digest: Any) -> ModelVersion:
        return self.version

    def plan(self, _version: ModelVersion, _digest: Any) -> bytes | None:
        return None


def test_what_has_no_plan_is_explained_by_rows_of_its_training(tmp_path: Path) -> None:
    world = World(tmp_path, 5)
    loaded: Any = SimpleNamespace(version=ONE, digest=NOTHING, scorer=FixedScorer(0.5))
    source: Any = Source(world.version)
    assert isinstance(_explainer(loaded, source, world.at), SampledExplainer)
    gone: Any = Source(replace(world.version, feature_table=NOTHING, no_plan="it is a network"))
    with pytest.raises(NotImplementedError, match=r"it is a network, and the rows of its training are gone"):
        _explainer(loaded, gone, world.at)


def test_a_table_without_rows_explains_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, 0)
    loaded: Any = SimpleNamespace(version=ONE, digest=NOTHING, scorer=FixedScorer(0.5))
    with pytest.raises(NotImplementedError, match="no rows of its training"):
        _explainer(loaded, Source(world.version), world.at)  # type: ignore[arg-type]
