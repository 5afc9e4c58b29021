"""Registries show the pointers; what does not is either left behind, and healed, or edited, and told of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelway.core import Action, Digest, digest_of, parse_json
from keelway.promote import (
    AliasState,
    Registry,
    VersionCopy,
    alert_drift,
    alias_drift,
    heal_aliases,
    show_pointer,
    version_copy,
)
from keelway.testing.door import BEN, CI, Aliases, DoorWorld

EDITED = datetime(1998, 6, 2, tzinfo=UTC)


class Shelf(Aliases):
    """A registry in memory that takes copies; may be down, and may be edited by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: dict[Digest, VersionCopy] = {}
        self.receipts: dict[tuple[str, str], dict[int, Digest]] = {}

    def show(self, copy: VersionCopy, *, alias: str, admission: Digest) -> str:
        """Take a copy, and show it."""
        self.must_be_up()
        self.copies.setdefault(copy.version_digest, copy)
        self.set_alias(copy.model, alias, copy.number)
        self.receipts.setdefault((copy.model, alias), {})[copy.number] = admission
        return f"shelf:/{copy.model}/{copy.number}"

    def alias_state(self, model: str, alias: str) -> AliasState:
        """Return what an alias shows."""
        return AliasState(self.alias_of(model, alias), self.receipts.get((model, alias), {}), EDITED, "somebody")


@pytest.fixture
def world(open_door: DoorWorld) -> DoorWorld:
    open_door.ruled(approvals=0).tracker = Shelf()
    return open_door


def drift(world: DoorWorld, **told: Any) -> Any:
    with world.state.snapshot() as tx:
        return alias_drift(tx, tracker=world.tracker, **told)


def alert(world: DoorWorld) -> Any:
    return alert_drift(drift(world), principal=CI.id, state=world.state, now=world.now)


def test_a_copy_carries_lineage_and_decision(world: DoorWorld) -> None:
    assert isinstance(world.tracker, Registry)
    world.ruled(approvals=1).ask()
    world.approve(BEN)
    admission = world.promote()
    (copy,) = world.tracker.copies.values()
    version = world.version
    assert (copy.model, copy.number, copy.version_digest) == ("churn", 1, digest_of(version))
    assert {copy.lineage[f"keelway.{name}"] for name in ("trained", "scorecard", "feature_table", "onnx")} == {
        version.trained, version.scorecard, version.feature_table, version.onnx,
    }  # fmt: skip
    assert "keelway.snapshot.tx" in copy.lineage
    assert "keelway.source" not in copy.lineage
    decision = parse_json(copy.decision.encode())
    assert (decision["action"], decision["by"], decision["approved_by"]) == ("promote", "sp:ci", ["user:ben"])
    assert decision["decision"] == digest_of(world.told()[-1])
    with world.state.snapshot() as tx:
        assert version_copy(version, admission, tx=tx) == copy


def test_promoting_again_copies_nothing_twice(world: DoorWorld) -> None:
    world.promote()
    world.promote()
    assert len(world.tracker.copies) == 1
    assert drift(world) == ()


def test_a_registry_that_was_down_is_healed(world: DoorWorld) -> None:
    world.tracker.down = True
    world.promote()
    (line,) = drift(world)
    assert (line.expected, line.found, line.edited, line.reason) == (1, None, False, "The tracker does not answer")
    assert heal_aliases([line], tracker=world.tracker, registries={}, state=world.state) == (line,)
    world.tracker.down = False
    (line,) = drift(world)
    assert (line.edited, line.reason) == (False, "")
    assert heal_aliases([line], tracker=world.tracker, registries={}, state=world.state) == ()
    assert drift(world) == ()
    assert alert(world) == ()


def test_left_behind_by_a_rollback_is_not_edited(world: DoorWorld) -> None:
    world.promote()
    world.promote(version=world.register(2))
    world.tracker.down = True
    world.back()
    world.tracker.down = False
    (line,) = drift(world)
    assert (line.expected, line.found, line.edited) == (1, 2, False)
    assert show_pointer("churn", "prod", registry=world.tracker, state=world.state)
    assert drift(world) == ()


def test_a_direct_edit_is_found_with_who_could_have_made_it(world: DoorWorld) -> None:
    world.promote()
    world.promote(version=world.register(2))
    world.tracker.shown["churn", "prod"] = 1
    (line,) = drift(world, writers={"prod": ("sp:ci", "ml-platform")})
    assert (line.expected, line.found, line.edited) == (2, 1, True)
    assert (line.writers, line.changed_at, line.changed_by) == (("sp:ci", "ml-platform"), EDITED, "somebody")


@pytest.mark.parametrize(("shown", "edited"), [(0, True), (2, True), (None, True)], ids=["foreign", "never in", "gone"])
def test_what_counts_as_an_edit(world: DoorWorld, shown: int | None, edited: bool) -> None:
    world.promote()
    world.register(2)
    if shown is None:
        del world.tracker.shown["churn", "prod"]
    else:
        world.tracker.shown["churn", "prod"] = shown
    (line,) = drift(world)
    assert (line.found, line.edited) == (shown, edited)


def test_an_alias_of_a_model_that_nobody_let_in_is_found_and_taken_away(world: DoorWorld) -> None:
    world.tracker.shown["basket", "prod"] = 3
    assert drift(world) == ()
    (line,) = drift(world, registries={"prod": world.tracker}, models=["basket", "churn"])
    assert (line.model, line.expected, line.found, line.edited) == ("basket", 0, 3, True)
    world.tracker.down = True
    assert heal_aliases([line], tracker=world.tracker, registries={}, state=world.state) == (line,)
    world.tracker.down = False
    assert heal_aliases([line], tracker=world.tracker, registries={}, state=world.state) == ()
    assert world.tracker.alias_of("basket", "prod") is None


def test_an_alias_stays_where_a_version_was_let_in_meanwhile(world: DoorWorld) -> None:
    world.tracker.shown["churn", "prod"] = 3
    (line,) = drift(world, registries={"prod": world.tracker}, models=["churn"])
    assert line.expected == 0
    world.promote()
    world.tracker.shown["churn", "prod"] = 7
    assert heal_aliases([line], tracker=world.tracker, registries={}, state=world.state) == ()
    assert world.tracker.alias_of("churn", "prod") == 1


def test_an_edit_raises_its_alert_once_a_day_while_it_stands(world: DoorWorld) -> None:
    world.promote()
    world.tracker.shown["churn", "prod"] = 7
    assert len(alert(world)) == 1
    last = world.told()[-1]
    assert (last.action, last.subject, last.environment) == (Action.ALERT, "churn", "prod")
    assert last.comment == "the alias prod was edited: it shows 7, not 1"
    assert alert(world) == ()
    world.now += timedelta(days=1)
    assert len(alert(world)) == 1
    world.tracker.shown["churn", "prod"] = 8
    assert len(alert(world)) == 1


def test_environments_have_registries_of_their_own(world: DoorWorld) -> None:
    own = Shelf()
    world.promote(tracker=own)
    assert world.tracker.copies == {}
    assert [line.found for line in drift(world)] == [None]
    assert drift(world, registries={"prod": own}) == ()
