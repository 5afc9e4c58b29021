"""The one door: approvals that cannot be abused, real signatures, and a ledger that answers what was live."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.core import (
    DIRTY,
    ArtifactKind,
    CodeState,
    PolicySet,
    RunId,
    RunStarted,
    digest_of,
    parse_json,
)
from keelway.engines.rego import RegoEngine
from keelway.errors import RefusedError
from keelway.identity import Principal
from keelway.ledger import SigningKey, decisions
from keelway.promote import (
    EnvironmentRules,
    admitted,
    alias_drift,
    check_gate,
    load_policy,
    status_at,
)
from keelway.testing.door import ANA, BEN, CAT, CI, DAN, GATE, NOW, D, DoorWorld


def refused(world: DoorWorld, **changed: Any) -> str:
    """Return why the version does not get in, as it is told and as the ledger tells it."""
    with pytest.raises(RefusedError) as caught:
        world.promote(**changed)
    assert world.live() == ""
    assert world.told()[-1].reasons == caught.value.reasons
    return "; ".join(caught.value.reasons)


@pytest.fixture
def world(tmp_path: Path) -> DoorWorld:
    return DoorWorld(tmp_path)


def test_a_good_version_with_an_approval_gets_in_once(world: DoorWorld) -> None:
    world.ask()
    world.approve()
    assert world.approve() == world.approve()
    admission = world.promote()
    assert world.promote() == admission
    assert world.tracker.shown == {("churn", "prod"): 1}
    with world.state.snapshot() as tx:
        assert tx.pointer("environment/prod/churn").target == digest_of(world.version)
        assert admitted(world.version, "prod", tx) == admission
        assert len(list(decisions(tx))) == 3
        assert status_at(tx, NOW)[0].subject == "churn:1"
        assert status_at(tx, NOW - timedelta(days=1)) == []


def test_every_reason_is_told_at_once(world: DoorWorld) -> None:
    told = refused(world, who=ANA, version=world.register(2, low=0.6))
    for part in ("role deployer", "service principal", "roc_auc is at least 0.6", "0 of 1 approvals"):
        assert part in told


@pytest.mark.parametrize("who", [ANA, Principal(ANA.id, ("approver",)), CI], ids=["no role", "author", "deployer"])
def test_nobody_without_the_role_or_with_a_part_in_it_approves(world: DoorWorld, who: Principal) -> None:
    world.ask()
    with pytest.raises(RefusedError):
        world.approve(who)
    assert "0 of 1" in refused(world)


def test_the_requester_cannot_approve(world: DoorWorld) -> None:
    world.ask(Principal(BEN.id, ("data-scientist",)))
    with pytest.raises(RefusedError, match="requester"):
        world.approve(BEN)


def test_a_rejection_stands_in_the_way_until_it_is_taken_back(world: DoorWorld) -> None:
    world.ask()
    world.approve()
    world.reject(CAT)
    assert "user:cat rejected it" in refused(world)
    world.approve(CAT)
    assert len(world.promote().approvals) == 2


def test_a_changed_policy_or_version_voids_the_approval(world: DoorWorld) -> None:
    world.ask()
    world.approve()
    files = {**world.rules.policy.files, "more.rego": "package keelway.gate\n"}
    stale = dataclasses.replace(world.rules, policy=PolicySet("policy", files))
    assert "0 of 1 approvals" in refused(world, environment=stale)
    assert "0 of 1 approvals" in refused(world, version=dataclasses.replace(world.version, semver="2.0.0"))


def test_an_empty_policy_folder_and_a_missing_record_let_nothing_in(world: DoorWorld) -> None:
    empty = dataclasses.replace(world.rules, policy=PolicySet("none"), approvals=0)
    assert "no rules" in refused(world, environment=empty)
    lost = dataclasses.replace(world.version, scorecard=D)
    assert "the evidence cannot be gathered: There is no such Scorecard" in refused(world, version=lost)


def test_a_version_comes_from_the_environment_before(world: DoorWorld) -> None:
    prod = dataclasses.replace(world.rules, after="staging", approvals=0)
    assert "never admitted to staging" in refused(world, environment=prod)
    world.promote(environment=dataclasses.replace(world.rules, name="staging", approvals=0))
    assert world.promote(environment=prod).environment == "prod"


def test_an_older_version_comes_back_through_the_same_door(world: DoorWorld) -> None:
    free = dataclasses.replace(world.rules, approvals=0)
    first = world.promote(environment=free)
    lax = dataclasses.replace(free, policy=PolicySet("lax", {"a.rego": GATE.replace("lib.not_worse_than_champion", "set()")} | {
        name: text for name, text in free.policy.files.items() if name.startswith("library/")}))  # fmt: skip
    world.promote(environment=lax, version=world.register(2))
    back = world.promote(environment=free, now=NOW + timedelta(days=1))
    assert back != first
    with world.state.snapshot() as tx:
        assert admitted(world.version, "prod", tx) == back
        assert [one.subject for one in status_at(tx, NOW)] == ["churn:2"]


def test_the_trainer_cannot_approve(world: DoorWorld) -> None:
    code = CodeState(D, D)
    with world.state.transaction() as tx:
        tx.insert("r", RunStarted(RunId("r"), "train", D, {}, 1, code, DAN.id, NOW, NOW), at=NOW)
    world.ask()
    with pytest.raises(RefusedError, match="user:dan is the trainer"):
        world.approve(DAN)
    world.approve(BEN)
    assert world.promote()


def swap_bytes(world: DoorWorld) -> dict[str, Any]:
    other = world.artifacts.put(b"other bytes", kind=ArtifactKind.MODEL).digest
    return {"version": dataclasses.replace(world.version, onnx=other)}


def take_the_statement_of_another(world: DoorWorld) -> dict[str, Any]:
    return {"version": dataclasses.replace(world.version, statement=world.register(2).statement)}


def lose_the_statement(world: DoorWorld) -> dict[str, Any]:
    return {"version": dataclasses.replace(world.version, statement=D)}


def lose_the_bytes(world: DoorWorld) -> dict[str, Any]:
    world.artifacts.path_of(world.version.onnx).unlink()
    return {}


def ask_with_another_key(world: DoorWorld) -> dict[str, Any]:
    return {"public_key": SigningKey.generate("other").public}


@pytest.mark.parametrize(
    "tamper",
    [swap_bytes, take_the_statement_of_another, lose_the_statement, lose_the_bytes, ask_with_another_key],
    ids=lambda each: each.__name__,
)
def test_what_is_not_signed_never_gets_in_whatever_the_policy_asks(world: DoorWorld, tamper: Any) -> None:
    silent = PolicySet("lax", {"gate.rego": 'package keelway.gate\nrules contains "x"\ndeny contains "x" if false'})
    lax = dataclasses.replace(world.rules, policy=silent, approvals=0)
    assert "the signature does not verify" in refused(world, environment=lax, **tamper(world))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('deny contains "x" if {', "cannot be evaluated: this is unclosed"),
        ('deny contains "x" if 1 / (input.evaluation.rows - 9) == 1', "failed while it was evaluated"),
        ("allow := true", "gives no reasons"),
        ("deny contains 5", "gives no reasons"),
    ],
    ids=["does not compile", "raises", "no deny", "no sentence"],
)
def test_a_policy_that_errs_lets_nothing_in_and_the_ledger_says_so(world: DoorWorld, text: str, told: str) -> None:
    policy = PolicySet("bad", {"gate.rego": f'package keelway.gate\nrules contains "x"\n{text}\n'})
    assert told in refused(world, environment=dataclasses.replace(world.rules, policy=policy, approvals=0))
    with world.state.snapshot() as tx:
        ((_, decision),) = decisions(tx)
        assert (decision.allowed, decision.moves, decision.policy) == (False, (), digest_of(policy))


def test_asking_the_gate_changes_nothing_and_says_what_promoting_would(world: DoorWorld) -> None:
    def ask() -> Any:
        return check_gate(
            world.version, environment=world.rules, state=world.state, artifacts=world.artifacts,
            engine=RegoEngine(), public_key=world.key.public, now=NOW,
        )  # fmt: skip

    verdict = ask()
    assert (verdict.allowed, verdict.reasons, verdict.rules) == (True, (), ("all",))
    assert ask() == verdict
    with world.state.snapshot() as tx:
        assert (tx.log.size(), tx.pointers()) == (0, [])
    assert verdict.policy_digest not in world.artifacts
    world.artifacts.path_of(world.version.statement).unlink()
    assert "the signature does not verify" in " ".join(ask().reasons)


def test_an_alias_left_behind_is_found_and_promoting_again_moves_it(world: DoorWorld) -> None:
    def drift() -> list[tuple[str, int, int | None, str]]:
        with world.state.snapshot() as tx:
            found = alias_drift(tx, tracker=world.tracker)  # type: ignore[arg-type]
        return [(one.environment, one.expected, one.found, one.reason) for one in found]

    free = dataclasses.replace(world.rules, approvals=0)
    world.tracker.down = True
    admission = world.promote(environment=free)
    assert drift() == [("prod", 1, None, "The tracker does not answer")]
    world.tracker.down = False
    assert drift() == [("prod", 1, None, "")]
    assert world.promote(environment=free) == admission
    assert drift() == []
    world.tracker.set_alias("churn", "prod", 7)
    assert drift() == [("prod", 1, 7, "")]


def test_the_policies_of_the_example_read_evidence_as_it_is_gathered(world: DoorWorld) -> None:
    example = Path(__file__).parents[2] / "examples/churn"
    staging, production = (
        EnvironmentRules(name, load_policy(f"policies/{name}", root=example)) for name in ("staging", "production")
    )
    world.promote(environment=staging)
    with pytest.raises(RefusedError) as caught:
        world.promote(environment=production)
    assert caught.value.reasons == (
        "the risk of the model was not assessed: keelway risk assess churn",
        "the test has 4 positive rows, needs 200",
    )


@pytest.mark.parametrize(
    ("commit", "reasons"),
    [
        ("c0ffee", ()),
        (f"c0ffee{DIRTY}", ("the training ran files that differ from commit c0ffee",)),
        ("", ("the training names no commit",)),
    ],
    ids=["committed", "changed since", "no commit"],
)
def test_a_policy_refuses_what_was_trained_of_changed_files(
    commit: str, reasons: tuple[str, ...], world: DoorWorld, tmp_path: Path
) -> None:
    (tmp_path / "policy/gate.rego").write_text(
        "package keelway.gate\n\nimport data.keelway.lib\n\n"
        'rules contains "committed"\n\ndeny contains reason if some reason in lib.committed\n'
    )
    world.version = world.register(2, commit=commit)
    world.rules = EnvironmentRules("prod", load_policy("policy", root=tmp_path))
    if not reasons:
        assert world.promote().verdict.allowed
        return
    with pytest.raises(RefusedError) as caught:
        world.promote()
    assert caught.value.reasons == reasons


def test_every_part_of_the_evidence_is_told_of_in_the_documents(world: DoorWorld) -> None:
    admission = world.promote(environment=dataclasses.replace(world.rules, approvals=0))
    evidence = parse_json(world.artifacts.get(admission.evidence))
    table = (Path(__file__).parents[2] / "docs/policies.md").read_text().partition("## The evidence document")[2]
    parts = {
        f"{part}.{field}"
        for part in ("version", "evaluation", "training", "code", "parity")
        for field in evidence[part]
    }
    parts |= {f"tx.{field}" for field in evidence["snapshots"]["tx"]} | set(evidence)
    assert sorted(part for part in parts if part.rpartition(".")[2] not in table) == []
    assert admission.verdict.evidence_digest == admission.evidence
