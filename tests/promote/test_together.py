"""Versions of several models enter together, or none does; each has its own entry, and the entries are linked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keelway.core import Action, PolicyEngine, PolicySet, Verdict, digest_of
from keelway.errors import RefusedError, StorageError, UsageError
from keelway.promote import PromotionGroup
from keelway.testing.door import ADA, BEN, CI, DoorWorld


@pytest.fixture
def world(tmp_path: Path) -> DoorWorld:
    return DoorWorld(tmp_path).ruled(approvals=0)


def test_all_enter_in_one_transaction_with_linked_entries(world: DoorWorld) -> None:
    other = world.register(1, model="basket")
    admissions = world.together(world.version, other)
    assert [one.version for one in admissions] == ["churn:1", "basket:1"]
    assert (world.live("churn"), world.live("basket")) == ("churn:1", "basket:1")
    first, second = world.told()
    assert (first.subject, second.subject) == ("churn:1", "basket:1")
    assert first.evidence["together"] == second.evidence["together"]
    with world.state.snapshot() as tx:
        group = tx.by_digest(PromotionGroup, first.evidence["together"])
    assert group.versions == ("churn:1", "basket:1")
    assert world.tracker.shown == {("churn", "prod"): 1, ("basket", "prod"): 1}


def test_one_that_is_refused_keeps_all_out(world: DoorWorld) -> None:
    weak = world.register(1, model="basket", low=0.6)
    with pytest.raises(RefusedError) as caught:
        world.together(world.version, weak)
    assert all(reason.startswith("basket:1: ") for reason in caught.value.reasons)
    assert (world.live("churn"), world.live("basket")) == ("", "")
    good, bad = world.told()
    assert (good.allowed, good.reasons) == (False, ("it was refused together with basket:1",))
    assert (bad.allowed, good.evidence["together"]) == (False, bad.evidence["together"])
    assert world.tracker.shown == {}


def test_approvals_are_counted_for_each(world: DoorWorld) -> None:
    world.ruled(approvals=1).ask()
    world.approve(BEN)
    other = world.register(1, model="basket")
    with pytest.raises(RefusedError, match="basket:1: it has 0 of 1 approvals"):
        world.together(world.version, other)
    world.ask(ADA, version=other)
    world.approve(BEN, version=other)
    assert len(world.together(world.version, other)) == 2


def test_what_stands_already_is_answered_as_it_is(world: DoorWorld) -> None:
    first = world.promote()
    other = world.register(1, model="basket")
    admissions = world.together(world.version, other)
    assert admissions[0] == first
    size = len(world.told())
    assert world.together(world.version, other) == admissions
    assert len(world.told()) == size == 2


def test_an_environment_holds_one_version_of_a_model(world: DoorWorld) -> None:
    with pytest.raises(UsageError, match="one version of each model"):
        world.together(world.version, world.register(2))
    with pytest.raises(UsageError):
        world.together()


class Raising:
    """A policy engine that fails."""

    def judge(self, policy: PolicySet, evidence: dict[str, Any]) -> Verdict:
        raise RuntimeError(f"no memory for {policy.name}")


class Saying:
    """A policy engine that answers what no engine should."""

    def __init__(self, *, allowed: bool) -> None:
        self.allowed = allowed

    def judge(self, policy: PolicySet, evidence: dict[str, Any]) -> Verdict:
        return Verdict(self.allowed, (), (), digest_of(policy), digest_of(evidence))


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        (Raising(), "could not be judged: RuntimeError: no memory for policy"),
        (Saying(allowed=True), "asked no rule"),
        (Saying(allowed=False), "refuses without a reason"),
    ],
    ids=["raises", "asks nothing", "says nothing"],
)
def test_an_engine_that_fails_lets_nothing_in_and_the_ledger_says_so(
    world: DoorWorld, engine: PolicyEngine, told: str
) -> None:
    with pytest.raises(RefusedError, match=told):
        world.promote(engine=engine)
    (decision,) = world.told()
    assert (decision.action, decision.allowed, decision.moves) == (Action.PROMOTE, False, ())


def test_a_database_that_fails_is_no_refusal(world: DoorWorld) -> None:
    class Failing:
        """A transaction that cannot read one class of records."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def by_digest(self, kind: type, digest: str) -> Any:
            if kind.__name__ == "Scorecard":
                raise StorageError("The disk does not answer")
            return self._inner.by_digest(kind, digest)

    class FailingState:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def transaction(self) -> Any:
            from contextlib import contextmanager

            @contextmanager
            def opened() -> Any:
                with self._inner.transaction() as tx:
                    yield Failing(tx)

            return opened()

    with pytest.raises(StorageError):
        world.promote(CI, state=FailingState(world.state))
    assert world.told() == []
