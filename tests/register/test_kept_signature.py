"""An export leaves its signature behind, and the door checks it again: for this version, by this project's key."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from keelway.app.gate_evidence import more_evidence
from keelway.core import ArtifactKind, digest_bytes, digest_of
from keelway.engines.rego import RegoEngine
from keelway.errors import IntegrityError, MissingRecordError, ProjectError
from keelway.ledger import SigningKey
from keelway.promote import evidence_schema, gather_evidence, load_policy, record_check
from keelway.promote.evidence import SignatureCheck
from keelway.register import ModelFolder, check_kept, export_folder, keep_signature
from keelway.testing.door import ANA, NOW, DoorWorld

LATER = NOW + timedelta(days=2)
NEVER = "the exported model is not signed (it was never exported): keelway models export churn:1"


class Broken:
    """A project that does not load: the card is unknown, and nothing else."""

    def model(self, name: str) -> Any:
        raise ProjectError(f"{name} does not load")


def workspace(world: DoorWorld) -> Any:
    """Return what the door's evidence asks of a project."""
    return SimpleNamespace(
        artifacts=world.artifacts,
        project=Broken(),
        signing=SimpleNamespace(public_key=world.key.public),
        settings=SimpleNamespace(environments={}),
    )


@pytest.fixture
def world(tmp_path: Path) -> DoorWorld:
    return DoorWorld(tmp_path)


def exported(world: DoorWorld, *, key: SigningKey | None = None, card: str = "card") -> ModelFolder:
    """Export the world's version, as `keelway models export` does."""
    version = world.version
    return export_folder(
        version,
        world.folder / f"out-{card}",
        onnx=world.artifacts.get(version.onnx),
        statement=world.artifacts.get(version.statement),
        card=card,
        bom=b"{}",
        task="binary",
        classes=(),
        key=key or world.key,
    )


def record(world: DoorWorld, figures: dict[str, Any]) -> None:
    record_check(world.version, "model_signing", figures, principal=ANA, state=world.state, now=NOW)


def evidence(world: DoorWorld) -> Any:
    """Return the evidence of the version, with what the door knows of its export."""
    with world.state.snapshot() as tx:
        return gather_evidence(
            world.version,
            environment="prod",
            tx=tx,
            signature=SignatureCheck(True),
            now=LATER,
            more=more_evidence(workspace(world)),
        )


def refused_by_the_rule(world: DoorWorld) -> tuple[str, ...]:
    (world.folder / "strict").mkdir(exist_ok=True)
    (world.folder / "strict/gate.rego").write_text(
        'package keelway.gate\nimport data.keelway.lib\nrules contains "model signed"\n'
        "deny contains reason if some reason in lib.model_signed\n"
    )
    gate = load_policy("strict", root=world.folder)
    return RegoEngine().judge(gate, evidence(world)).reasons


def test_a_version_that_was_never_exported_says_so(world: DoorWorld) -> None:
    assert evidence(world)["signature"]["model_signing"] is None
    assert refused_by_the_rule(world) == (NEVER,)


def test_an_export_lets_the_rule_pass_and_fits_the_schema(world: DoorWorld) -> None:
    record(world, keep_signature(exported(world), artifacts=world.artifacts))
    told = evidence(world)["signature"]["model_signing"]
    assert (told["verified"], told["files"], told["by"], told["age_days"]) == (True, 7, ANA.id, 2.0)
    schema = evidence_schema()["properties"]["signature"]
    assert list(Draft202012Validator(schema).iter_errors(evidence(world)["signature"])) == []
    assert refused_by_the_rule(world) == ()


def test_a_check_that_nobody_signed_for_is_found_out(world: DoorWorld) -> None:
    good = keep_signature(exported(world), artifacts=world.artifacts)
    bundle = world.artifacts.get(good["signature"]).replace(b'"sig":"', b'"sig":"AAAA', 1)
    forged = world.artifacts.put(bundle, kind=ArtifactKind.RECORD).digest
    record(world, {**good, "signature": forged})
    assert evidence(world)["signature"]["model_signing"]["verified"] is False
    (reason,) = refused_by_the_rule(world)
    assert reason.startswith("the exported model is not signed (The signature of a model does not hold")


def test_a_signature_that_is_gone_is_none(world: DoorWorld) -> None:
    good = keep_signature(exported(world), artifacts=world.artifacts)
    record(world, {**good, "signature": digest_bytes(b"gone")})
    assert "no such artifact" in refused_by_the_rule(world)[0]


def test_a_stranger_may_sign_but_not_for_this_project(world: DoorWorld) -> None:
    mine = exported(world)
    kept = keep_signature(mine, artifacts=world.artifacts)
    with pytest.raises(IntegrityError):
        check_kept(world.version, kept, artifacts=world.artifacts, key=SigningKey.generate("other").public)


@pytest.mark.parametrize("field", ["onnx", "profile"])
def test_a_signature_over_another_version_does_not_count(world: DoorWorld, field: str) -> None:
    kept = keep_signature(exported(world), artifacts=world.artifacts)
    other = dataclasses.replace(world.version, **{field: digest_bytes(b"other")})
    assert digest_of(other) != digest_of(world.version)
    with pytest.raises(IntegrityError, match="over another"):
        check_kept(other, kept, artifacts=world.artifacts, key=world.key.public)
    record(world, kept)
    world.version = other
    with world.state.snapshot() as tx:
        assert more_evidence(workspace(world))(other, "prod", tx, LATER)["model_signing"] is None


def test_what_was_kept_is_gone_is_an_error_of_its_own(world: DoorWorld) -> None:
    kept = keep_signature(exported(world), artifacts=world.artifacts)
    with pytest.raises(MissingRecordError):
        check_kept(
            world.version, {**kept, "model_key": digest_bytes(b"gone")}, artifacts=world.artifacts, key=world.key.public
        )


def test_the_same_folder_leaves_the_same_trace(world: DoorWorld) -> None:
    first = keep_signature(exported(world), artifacts=world.artifacts)
    again = keep_signature(exported(world, card="card2"), artifacts=world.artifacts)
    assert first != again
    assert keep_signature(dataclasses.replace(exported(world, card="c")), artifacts=world.artifacts)["files"] == 7
