"""Deprecated versions go on working; retired ones never come back; what is live cannot be retired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.core import Action, Decision, PointerMove, PrincipalId, digest_of
from keelway.errors import IdentityError, MissingRecordError, RefusedError, UsageError
from keelway.identity import Principal
from keelway.ledger import decisions, record_decision
from keelway.register import (
    LifecycleChange,
    ModelVersion,
    change_life,
    life_evidence,
    life_of,
    live_places,
    retired_reasons,
)
from keelway.testing.training import BOOSTED, LOGISTIC, NOW, TrainingWorld

ANA = Principal(PrincipalId("user:ana"), ("data-scientist",))
BO = Principal(PrincipalId("user:bo"), ("approver",))
EVE = Principal(PrincipalId("user:eve"), ("auditor",))


@dataclass(frozen=True, slots=True)
class Traffic:
    """Stands for a deployment: only its traffic is read."""

    traffic: dict[str, int]


class Shop:
    """A world with two versions, and a ledger for each test."""

    def __init__(self, folder: Path) -> None:
        self.world = TrainingWorld(folder, rows=300)
        self.first = self.world.register(self.world.fit(LOGISTIC))
        self.second = self.world.register(self.world.fit(BOOSTED))

    def change(self, version: ModelVersion, action: Action, *, who: Principal = BO, **told: Any) -> LifecycleChange:
        given = {"reason": "too old", "now": NOW, **told}
        return change_life(version, action, principal=who, state=self.world.state, **given)

    def retire(self, version: ModelVersion, **told: Any) -> LifecycleChange:
        return self.change(version, Action.RETIRE, **told)

    def deprecate(self, version: ModelVersion, **told: Any) -> LifecycleChange:
        return self.change(version, Action.DEPRECATE, **told)

    def last(self) -> Decision:
        with self.world.state.snapshot() as tx:
            return list(decisions(tx))[-1][1]

    def point(self, name: str, record: object) -> None:
        """Move a pointer, as the door or a deployment does."""
        with self.world.state.transaction() as tx:
            digest = tx.insert(digest_of(record), record, at=NOW)
            tx.move(name, before=None, after=digest, at=NOW)
            record_decision(
                Decision(
                    Action.PROMOTE,
                    "churn",
                    True,
                    BO.id,
                    NOW,
                    {"record": digest},
                    moves=(PointerMove(name, None, digest),),
                ),
                tx=tx,
            )


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ready")
    Shop(folder).world.state.close()
    return folder


@pytest.fixture
def shop(ready: Path, tmp_path: Path) -> Shop:
    import shutil

    shutil.copytree(ready, tmp_path / "shop")
    return Shop(tmp_path / "shop")


def life(shop: Shop, version: ModelVersion) -> dict[str, Any]:
    with shop.world.state.snapshot() as tx:
        return life_evidence(version, tx=tx)


def test_a_version_lives_until_somebody_says_otherwise(shop: Shop) -> None:
    assert life(shop, shop.first) == {"state": "active", "reason": None, "successor": None}
    change = shop.deprecate(shop.first, who=ANA, successor="churn:2")
    assert (change.state, change.successor) == ("deprecated", "churn:2")
    assert life(shop, shop.first) == {"state": "deprecated", "reason": "too old", "successor": "churn:2"}
    shop.retire(shop.first, reason="nobody asks for it", successor="churn:2")
    assert life(shop, shop.first)["state"] == "retired"
    with shop.world.state.snapshot() as tx:
        assert retired_reasons(shop.first, tx=tx) == (
            "churn:1 was retired by user:bo: nobody asks for it; use churn:2",
        )
        assert retired_reasons(shop.second, tx=tx) == ()


def test_every_change_is_a_decision_with_its_reason(shop: Shop) -> None:
    change = shop.deprecate(shop.first, successor="churn:2")
    decision = shop.last()
    assert (decision.action, decision.subject, decision.allowed) == (Action.DEPRECATE, "churn:1", True)
    assert decision.comment == "too old"
    assert decision.evidence == {
        "version": digest_of(shop.first),
        "change": digest_of(change),
        "successor": digest_of(shop.second),
    }


def test_the_same_change_again_changes_nothing(shop: Shop) -> None:
    assert shop.deprecate(shop.first) == shop.deprecate(shop.first, now=NOW + timedelta(days=1))
    assert shop.deprecate(shop.first, reason="another").reason == "another"
    retired = shop.retire(shop.first)
    assert shop.retire(shop.first) == retired
    with shop.world.state.snapshot() as tx:
        assert tx.count(LifecycleChange, parent="churn:1") == 3


PLACES: dict[str, tuple[str, Callable[[Shop], object], str]] = {
    "admitted": ("environment/prod/churn", lambda shop: shop.first, "admitted to prod"),
    "all traffic": ("deployment/prod/churn", lambda _: Traffic({"churn:1": 100}), "answering in prod (100 %)"),
    "canary": ("deployment/eu/churn", lambda _: Traffic({"churn:2": 95, "churn:1": 5}), "answering in eu (5 %)"),
}


@pytest.mark.parametrize(("pointer", "record", "told"), PLACES.values(), ids=PLACES.keys())
def test_what_is_live_cannot_be_retired_but_can_be_deprecated(
    shop: Shop, pointer: str, record: Callable[[Shop], object], told: str
) -> None:
    shop.point(pointer, record(shop))
    with shop.world.state.snapshot() as tx:
        assert live_places(shop.first, tx=tx) == (told,)
    with pytest.raises(RefusedError) as caught:
        shop.retire(shop.first)
    assert caught.value.reasons == (f"it is {told}",)
    decision = shop.last()
    assert (decision.action, decision.allowed, decision.reasons) == (Action.RETIRE, False, caught.value.reasons)
    assert life(shop, shop.first)["state"] == "active"
    assert shop.deprecate(shop.first).state == "deprecated"


def test_a_retired_version_stays_retired_whatever_the_clocks_say(shop: Shop) -> None:
    shop.deprecate(shop.first, now=NOW + timedelta(days=9))
    shop.retire(shop.first, now=NOW)
    for moment in (NOW - timedelta(days=1), NOW + timedelta(days=99)):
        with pytest.raises(RefusedError, match="that is final"):
            shop.deprecate(shop.first, now=moment, reason="we want it back")
        with pytest.raises(RefusedError, match="that is final"):
            shop.retire(shop.first, now=moment, reason="other words")
    with shop.world.state.snapshot() as tx:
        found = life_of("churn:1", tx=tx)
    assert found is not None
    assert found.state == "retired"


def test_a_successor_has_to_be_another_living_version(shop: Shop) -> None:
    with pytest.raises(RefusedError, match="succeed itself"):
        shop.deprecate(shop.first, successor="churn:1")
    with pytest.raises(MissingRecordError):
        shop.deprecate(shop.first, successor="churn:9")
    shop.retire(shop.second)
    with pytest.raises(RefusedError, match="churn:2 is retired"):
        shop.deprecate(shop.first, successor="churn:2")


@pytest.mark.parametrize("who", [ANA, EVE], ids=["data scientist", "auditor"])
def test_only_those_with_the_role_retire(shop: Shop, who: Principal) -> None:
    with pytest.raises(IdentityError, match="approver or admin"):
        shop.retire(shop.first, who=who)
    refused = shop.last()
    assert (refused.action, refused.subject, refused.allowed) == (Action.RETIRE, "churn:1", False)
    assert refused.principal == who.id
    shop.deprecate(shop.first)  # its life goes on
    with pytest.raises(IdentityError):
        shop.deprecate(shop.first, who=EVE)


@pytest.mark.parametrize("reason", ["", "   ", "\n"])
def test_nobody_ends_a_life_without_a_reason(shop: Shop, reason: str) -> None:
    with pytest.raises(UsageError, match="Nobody says why"):
        shop.retire(shop.first, reason=reason)


def test_no_other_action_changes_a_life(shop: Shop) -> None:
    with pytest.raises(UsageError, match="changes no life"):
        shop.change(shop.first, Action.PROMOTE)
