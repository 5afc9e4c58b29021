"""A replay judges past evidence by another policy, shows every decision that would change, and leaves the rest to others."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from keelway.core import Digest, PolicySet, digest_of, parse_json, revive
from keelway.engines.rego import RegoEngine
from keelway.errors import RefusedError
from keelway.promote.policies import PastDecision, Replay, past_decisions, replay
from keelway.promote.policies.replay import kind_of
from keelway.testing.door import BEN, CI, GATE, NOW, OPEN, DoorWorld

LAB = RegoEngine()


@pytest.fixture
def world(tmp_path: Path) -> DoorWorld:
    """A door through which one version came, at which one was refused by the policy, and one for lack of approvals."""
    made = DoorWorld(tmp_path)
    free = dataclasses.replace(made.rules, approvals=0)
    made.promote(environment=free)
    for number, low, rules in ((2, 0.6, free), (3, 0.75, dataclasses.replace(made.rules, approvals=1))):
        lax = dataclasses.replace(rules, policy=without_champion(rules.policy))
        with pytest.raises(RefusedError):
            made.promote(environment=lax, version=made.register(number, low=low), now=NOW + timedelta(days=number))
    return made


def without_champion(policy: PolicySet, floor: str = "0.7") -> PolicySet:
    gate = GATE.replace("lib.not_worse_than_champion", "set()").replace("auc_floor(0.7)", f"auc_floor({floor})")
    return PolicySet("edited", {**policy.files, "gate.rego": gate})


def past_of(world: DoorWorld) -> list[PastDecision]:
    with world.state.snapshot() as tx:
        return list(past_decisions(tx, since=NOW - timedelta(days=1)))


def replayed(world: DoorWorld, policy: PolicySet, *, workers: int = 1) -> Replay:
    def stored(digest: Digest) -> PolicySet:
        return revive(parse_json(world.artifacts.get(digest)), PolicySet)

    return replay(
        past_of(world), policy, digest_of(policy), artifacts=world.artifacts, policies=stored, lab=LAB, workers=workers
    )


def test_the_same_policy_changes_nothing(world: DoorWorld) -> None:
    told = replayed(world, without_champion(world.rules.policy))
    assert told.judged == 3
    assert told.changed == 0
    assert told.gained == told.lost == {}
    assert told.same_decision == ()


def test_a_stricter_policy_refuses_what_was_admitted_and_says_why(world: DoorWorld) -> None:
    told = replayed(world, without_champion(world.rules.policy, "0.78"))
    (one,) = told.refused_now
    assert one.decision.subject == "churn:1"
    assert one.gained == ("roc_auc is at least 0.75 with confidence, needs 0.78",)
    assert told.admitted_now == ()
    assert [each.decision.subject for each in told.same_decision] == ["churn:2", "churn:3"]
    assert told.gained == {"roc_auc is at least # with confidence, needs #": 3}
    assert told.lost == {"roc_auc is at least # with confidence, needs #": 1}


def test_a_laxer_policy_admits_what_only_the_policy_refused(world: DoorWorld) -> None:
    told = replayed(world, without_champion(world.rules.policy, "0.5"))
    (one,) = told.admitted_now
    assert one.decision.subject == "churn:2"
    assert one.lost == ("roc_auc is at least 0.6 with confidence, needs 0.7",)
    assert told.refused_now == ()


def test_what_approvals_refused_stays_refused_under_any_policy(world: DoorWorld) -> None:
    open_gate = PolicySet("open", {"gate.rego": OPEN})
    told = replayed(world, open_gate)
    assert [one.decision.subject for one in told.admitted_now] == ["churn:2"]
    third = next(one for one in past_of(world) if one.subject == "churn:3")
    assert any("0 of 1 approvals" in reason for reason in third.reasons)


def test_a_policy_that_errors_or_is_empty_admits_nothing(world: DoorWorld) -> None:
    for policy in (PolicySet("none"), PolicySet("broken", {"gate.rego": "package keelway.gate\ndeny if {"})):
        told = replayed(world, policy)
        assert [one.decision.subject for one in told.refused_now] == ["churn:1"]
        assert told.admitted_now == ()


def test_a_span_and_an_environment_choose_the_decisions(world: DoorWorld) -> None:
    with world.state.snapshot() as tx:
        second = list(past_decisions(tx, since=NOW + timedelta(days=2), until=NOW + timedelta(days=3)))
        elsewhere = list(past_decisions(tx, since=NOW, environments=["staging"]))
        here = list(past_decisions(tx, since=NOW, environments=["prod"]))
    assert [one.subject for one in second] == ["churn:2"]
    assert elsewhere == []
    assert [one.subject for one in here] == ["churn:1", "churn:2", "churn:3"]


def test_other_decisions_of_the_ledger_are_none_of_its(world: DoorWorld) -> None:
    world.ask()
    world.approve(BEN)
    assert len(past_of(world)) == 3
    assert CI.id == "sp:ci"


def test_evidence_that_is_gone_or_altered_is_told_and_not_judged(world: DoorWorld) -> None:
    first, second, third = past_of(world)
    for path in (world.folder / "artifacts").rglob("*"):
        if path.is_file() and first.evidence.removeprefix("sha256:")[2:] in path.name:
            path.chmod(0o600)
            path.write_bytes(path.read_bytes() + b" ")
    told = replayed(world, without_champion(world.rules.policy, "0.5"))
    assert [one.subject for one, _ in told.unreadable] == [first.subject]
    assert told.judged == 2
    assert [one.decision for one in told.admitted_now] == [second]
    assert third not in [one for one, _ in told.unreadable]


def test_a_policy_that_is_gone_is_told_where_the_decision_does_not_tell_what_it_said(world: DoorWorld) -> None:
    def gone(digest: Digest) -> PolicySet:
        from keelway.errors import MissingRecordError

        raise MissingRecordError(f"There is no {digest[:12]}")

    policy = without_champion(world.rules.policy, "0.78")
    told = replay(
        past_of(world), policy, digest_of(policy), artifacts=world.artifacts, policies=gone, lab=LAB, workers=1
    )
    assert [one.decision.subject for one in told.refused_now] == ["churn:1"]
    assert sorted(one.subject for one, _ in told.unreadable) == ["churn:2", "churn:3"]


def test_processes_tell_the_same_as_one(world: DoorWorld) -> None:
    policy = without_champion(world.rules.policy, "0.78")
    assert replayed(world, policy, workers=2) == replayed(world, policy, workers=1)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("roc_auc is at least 0.7499 with confidence, needs 0.75", "roc_auc is at least # with confidence, needs #"),
        ("the champion is churn:9, but", "the champion is churn:#, but"),
        ("off by -1.5e-07", "off by #"),
        ("f1 and p99_ms stay", "f1 and p99_ms stay"),
    ],
)
def test_reasons_are_counted_without_their_figures(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind
