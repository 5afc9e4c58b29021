"""Measuring a version: real answers are timed, real rows are looked through, and both are kept for the gate."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from keelway.app.measure import measure
from keelway.core import PrincipalId, digest_bytes
from keelway.errors import IntegrityError, MissingRecordError
from keelway.identity import Principal
from keelway.promote.checks import checks_evidence
from keelway.testing.training import NOW, TrainingWorld, with_column


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingWorld]:
    made = TrainingWorld(tmp_path_factory.mktemp("measured"), rows=600)
    yield made
    made.state.close()


def workspace(world: TrainingWorld) -> Any:
    return SimpleNamespace(
        state=world.state,
        artifacts=world.artifacts,
        project=SimpleNamespace(model=lambda _name: world.model),
        signing=SimpleNamespace(public_key=world.key.public),
        principal=Principal(PrincipalId("user:ana"), ("data-scientist",)),
        now=lambda: NOW,
    )


def evidence(world: TrainingWorld, version: Any) -> dict[str, Any]:
    with world.state.snapshot() as tx:
        return checks_evidence(version, tx=tx, now=NOW)


def test_single_answers_are_timed_and_kept(world: TrainingWorld) -> None:
    version = world.register(world.fit())
    check = measure(version, "latency", at=workspace(world))
    assert 0 < check.figures["p50_ms"] <= check.figures["p99_ms"]
    found = evidence(world, version)
    assert found["latency"]["p99_ms"] == check.figures["p99_ms"]
    assert found["leakage"] is None


def test_a_column_that_knows_the_answer_is_found_in_the_version_s_own_rows(world: TrainingWorld) -> None:
    labels = [int(value) for value in world_labels(world)]
    world.build(change=with_column("spend", lambda number: float(labels[number])))
    leaking = world.register(world.fit())
    figures = measure(leaking, "leakage", at=workspace(world)).figures
    assert figures["stops"] >= 1
    assert any("spend" in each for each in figures["findings"])
    world.build(seed=3)
    honest = world.register(world.fit())
    assert not any("spend" in each for each in measure(honest, "leakage", at=workspace(world)).figures["findings"])
    assert evidence(world, leaking)["leakage"]["stops"] >= 1


def world_labels(world: TrainingWorld) -> list[int]:
    from keelway.features import rows_of

    found: list[int] = rows_of(world.table, world.artifacts)["label"].to_pylist()
    return found


def test_a_version_without_a_recorded_run_cannot_be_trained_again(world: TrainingWorld) -> None:
    with pytest.raises(MissingRecordError, match="run of churn"):
        measure(world.register(world.fit()), "reproduction", at=workspace(world))


def test_bytes_that_do_not_verify_are_not_timed(world: TrainingWorld) -> None:
    import dataclasses

    version = dataclasses.replace(world.register(world.fit()), onnx=digest_bytes(b"other"))
    with pytest.raises((IntegrityError, MissingRecordError)):
        measure(version, "latency", at=workspace(world))
