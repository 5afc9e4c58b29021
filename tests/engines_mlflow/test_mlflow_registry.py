"""Versions are copied from one MLflow to another with lineage and decisions; edits past the door are seen."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keelway.core import Digest, PolicySet, digest_bytes, digest_of
from keelway.engines.mlflow import MlflowTracker
from keelway.engines.mlflow.registry import MlflowRegistry
from keelway.errors import EngineError
from keelway.promote import AliasState, Registry, VersionCopy, alias_drift, heal_aliases
from keelway.testing.door import OPEN, DoorWorld

ADMISSION = Digest(digest_bytes(b"admission"))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without a model; making one takes seconds, so there is one."""
    path = tmp_path_factory.mktemp("registry") / "empty.db"
    MlflowTracker(f"sqlite:///{path}").alias_of("churn", "prod")
    return path


@pytest.fixture(scope="module")
def uri(empty: Path) -> str:
    return copied(empty, empty.with_name("mlflow.db"))


def copied(store: Path, path: Path) -> str:
    """Copy a store with what its write-ahead log holds, and return its URI."""
    with contextlib.closing(sqlite3.connect(store)) as source, contextlib.closing(sqlite3.connect(path)) as target:
        source.backup(target)
    return f"sqlite:///{path}"


@pytest.fixture
def registry(uri: str) -> MlflowRegistry:
    return MlflowRegistry(uri)


def copy_of(model: str, number: int) -> VersionCopy:
    onnx = digest_bytes(f"{model} {number}".encode())
    lineage = {"keelway.name": f"{model}:{number}", "keelway.snapshot.tx": digest_bytes(b"snapshot")}
    return VersionCopy(model, number, digest_bytes(f"{model}:{number}".encode()), onnx, lineage, '{"by":"sp:ci"}')


def client(registry: MlflowRegistry) -> Any:
    with registry._client() as opened:
        return opened


def test_a_copy_is_made_once_with_its_tags(registry: MlflowRegistry) -> None:
    copy = copy_of("once", 4)
    link = registry.show(copy, alias="prod", admission=ADMISSION)
    assert link == registry.show(copy, alias="prod", admission=ADMISSION) == "models:/once/1"
    (made,) = client(registry).search_model_versions("name = 'once'")
    assert made.source == f"keelway:/{copy.onnx}"
    assert made.tags == {
        **copy.lineage, "keelway.digest": copy.version_digest, "keelway.version": "4", "keelway.onnx": copy.onnx,
        "keelway.prod.decision": '{"by":"sp:ci"}', "keelway.prod.admission": ADMISSION,
    }  # fmt: skip
    assert registry.alias_of("once", "prod") == 4


def test_a_version_that_registration_had_shown_is_not_copied(uri: str, registry: MlflowRegistry) -> None:
    copy = copy_of("shown", 1)
    tags = {"keelway.key": "k", "keelway.onnx": copy.onnx}
    link = MlflowTracker(uri).register_version("shown", 1, "", tags)
    assert registry.show(copy, alias="prod", admission=ADMISSION) == link
    other = VersionCopy("shown", 1, copy.version_digest, digest_bytes(b"other bytes"), {}, "{}")
    assert registry.show(other, alias="prod", admission=ADMISSION) != link


def test_the_state_of_an_alias_names_its_receipts(registry: MlflowRegistry) -> None:
    assert registry.alias_state("state", "prod") == AliasState(None, {})
    registry.show(copy_of("state", 1), alias="prod", admission=ADMISSION)
    registry.show(copy_of("state", 2), alias="prod", admission=Digest(digest_bytes(b"later")))
    found = registry.alias_state("state", "prod")
    assert (found.number, found.receipts) == (2, {1: ADMISSION, 2: digest_bytes(b"later")})
    assert found.changed_at is not None
    assert registry.alias_state("state", "staging").number is None
    opened = client(registry)
    foreign = opened.create_model_version("state", source="elsewhere:/x")
    opened.set_registered_model_alias("state", "prod", foreign.version)
    assert registry.alias_state("state", "prod").number == 0


def test_what_was_cut_short_is_done_again(registry: MlflowRegistry) -> None:
    copy = copy_of("cut", 1)
    opened = client(registry)
    opened.create_registered_model("cut")
    registry._made(opened, copy)
    assert registry.alias_state("cut", "prod") == AliasState(None, {}, registry.alias_state("cut", "prod").changed_at)
    assert registry.show(copy, alias="prod", admission=ADMISSION) == "models:/cut/1"
    assert registry.alias_state("cut", "prod").receipts == {1: ADMISSION}


def test_a_registry_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(EngineError):
        MlflowRegistry(f"sqlite:///{tmp_path}/file/mlflow.db").show(copy_of("x", 1), alias="a", admission=ADMISSION)


@pytest.fixture
def world(tmp_path: Path, uri: str) -> Iterator[DoorWorld]:
    made = DoorWorld(tmp_path).ruled(approvals=0, policy=PolicySet("open", {"gate.rego": OPEN}))
    made.tracker = MlflowRegistry(uri)
    yield made
    made.state.close()


def test_from_one_mlflow_to_another_through_the_door(world: DoorWorld, empty: Path, tmp_path: Path) -> None:
    assert isinstance(world.tracker, Registry)
    staging, prod = world.tracker, MlflowRegistry(copied(empty, tmp_path / "prod.db"))
    world.ruled(name="staging").promote(tracker=staging)
    admission = world.ruled(name="prod", after="staging").promote(tracker=prod)
    (made,) = client(prod).search_model_versions("name = 'churn'")
    assert made.tags["keelway.digest"] == digest_of(world.version)
    assert made.tags["keelway.prod.admission"] == digest_of(admission)
    assert json.loads(made.tags["keelway.prod.decision"])["decision"] == digest_of(world.told()[-1])
    client(prod).delete_registered_model_alias("churn", "prod")
    registries = {"staging": staging, "prod": prod}
    with world.state.snapshot() as tx:
        (line,) = alias_drift(tx, tracker=staging, registries=registries, writers={"prod": ("ml-platform",)})
    assert (line.environment, line.found, line.edited, line.writers) == ("prod", None, True, ("ml-platform",))
    assert heal_aliases([line], tracker=staging, registries=registries, state=world.state) == ()
    assert prod.alias_of("churn", "prod") == 1
