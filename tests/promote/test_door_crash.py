"""A process that dies at any write of any verb at the door leaves the whole change or none, and the retry succeeds.

Each chapter is one call. It is killed at every instant around its writes, on a copy of the world before it; what is
left must hold together, and doing the chapter again must come to what one undisturbed call comes to.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from keelway.core import Action, Environment, PolicySet, digest_of
from keelway.deploy import SmokeResult, deploy, rollback
from keelway.ledger import audit
from keelway.promote import (
    Admission,
    Approval,
    ChecklistAnswer,
    Delegation,
    PromotionRequest,
    Revocation,
    UnsafeSkipGate,
    Withdrawal,
    answer_checklist,
    delegate,
    end_delegation,
)
from keelway.register import ModelVersion
from keelway.testing.crash import EXIT_CODE, CrashPoint, swept
from keelway.testing.door import ADA, BEN, CAT, CI, EVERYBODY, FAY, OPEN, DoorWorld

KINDS = (Admission, Approval, ChecklistAnswer, Delegation, PromotionRequest, Revocation, UnsafeSkipGate, Withdrawal)
PROD = Environment("prod")
Chapter = Callable[[DoorWorld], object]


def basket(world: DoorWorld) -> ModelVersion:
    with world.state.snapshot() as tx:
        return tx.get(ModelVersion, "basket:1")


def second(world: DoorWorld) -> ModelVersion:
    with world.state.snapshot() as tx:
        return tx.get(ModelVersion, "churn:2")


def served(world: DoorWorld) -> object:
    def smoke(version: ModelVersion) -> SmokeResult:
        return SmokeResult(version.name, digest_of(version), passed=True, answers=1)

    with world.state.snapshot() as tx:
        pointer = tx.pointer("environment/prod/churn")
        stable = tx.by_digest(ModelVersion, pointer.target).name
    return deploy(
        "churn", environment=PROD, stable=stable, smoke=smoke, state=world.state, principal=CI.id, now=world.now
    )


def lend(world: DoorWorld) -> object:
    return delegate(
        FAY.id,
        until=world.now + timedelta(days=9),
        principal=BEN,
        directory=EVERYBODY,
        state=world.state,
        now=world.now,
    )


def answer(world: DoorWorld) -> object:
    return answer_checklist(
        world.version, "Assessed", done=True, environment=world.rules, principal=BEN, state=world.state, now=world.now
    )


def traffic_back(world: DoorWorld) -> object:
    with world.state.snapshot() as tx:
        if (pointer := tx.pointer("environment/prod/churn")) and pointer.target == digest_of(world.version):
            return None  # it went back before the process died
    way = world.way()
    return rollback("churn", environment=PROD, state=world.state, principal=CI.id, now=world.now, follow=way.follow)


def withdrawn(world: DoorWorld) -> object:
    with world.state.snapshot() as tx:
        return world.withdraw(ADA, break_glass=True) if tx.count(Withdrawal) == 0 else None


def ended(world: DoorWorld) -> object:
    return end_delegation("delegation/1", principal=BEN, state=world.state, now=world.now, reason="back")


STORY: dict[str, tuple[Chapter, int]] = {
    "request": (lambda world: world.ask(), 1),
    "checklist": (answer, 1),
    "delegate": (lend, 1),
    "approve": (lambda world: world.approve(FAY), 1),
    "reject": (lambda world: world.reject(CAT), 1),
    "revoke": (lambda world: world.revoke(ADA, given_by=CAT.id), 1),
    "request of another": (lambda world: world.ask(ADA, version=basket(world)), 1),
    "approve another": (lambda world: world.approve(BEN, version=basket(world)), 1),
    "promote together": (lambda world: world.together(world.version, basket(world)), 2),
    "deploy": (served, 1),
    "end delegation": (ended, 1),
    "break-glass request": (lambda world: world.ask(ADA, version=second(world), comment="now", break_glass=True), 1),
    "first of two": (lambda world: world.approve(BEN, version=second(world), break_glass=True), 1),
    "second of two": (lambda world: world.approve(CAT, version=second(world), break_glass=True), 1),
    "skip": (lambda world: world.skip(version=second(world)), 2),
    "deploy again": (served, 1),
    "rollback": (traffic_back, 2),
    "another request": (lambda world: world.ask(ADA, comment="now", break_glass=True), 1),
    "withdraw": (withdrawn, 1),
}
"""What is done, and how many entries of the ledger it is."""


@dataclass(frozen=True)
class Scene:
    """The world before a chapter."""

    folder: Path
    world: DoorWorld
    entries: int


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    """Tell the story once, and keep the world as it was before each chapter."""
    root = tmp_path_factory.mktemp("door")
    (root / "live").mkdir()
    world = DoorWorld(root / "live").ruled(
        policy=PolicySet("open", {"gate.rego": OPEN}), checklists={"high": ("Assessed",)}
    )
    for name in ("churn:2", "basket:1"):
        model, number = name.split(":")
        world.register(int(number), model=model)
    answered = world.ruled(checklists={"high": ("Assessed",)})
    answer_checklist(
        basket(world),
        "Assessed",
        done=True,
        environment=answered.rules,
        principal=BEN,
        state=world.state,
        now=world.now,
    )
    world.state.close()
    found: dict[str, Scene] = {}
    for number, (name, (chapter, _)) in enumerate(STORY.items()):
        folder = root / f"{number}"
        shutil.copytree(root / "live", folder)
        here = world.at(root / "live")
        found[name] = Scene(folder, world, len(here.told()))
        chapter(here)
        here.state.close()
    return found


def holds_together(world: DoorWorld) -> int:
    """Check ledger, pointers and records against each other, and return how many entries there are."""
    assert audit(world.state, key=world.key.public, artifacts=world.artifacts).problems == ()
    told = world.told()
    named = {digest for decision in told if decision.allowed for digest in decision.evidence.values()}
    moved = {move.name: move.after for decision in told for move in decision.moves}
    with world.state.snapshot() as tx:
        for kind in KINDS:
            assert {digest_of(record) for record in tx.newest(kind)} <= named, f"{kind.__name__} without its entry"
        assert {pointer.name: pointer.target for pointer in tx.pointers(prefix="")} == moved
        admissions = sum(decision.action in (Action.PROMOTE, Action.SKIP_GATE) for decision in told)
        back = sum(decision.action == Action.ROLLBACK and "admission" in decision.evidence for decision in told)
        assert tx.count(Admission) == admissions + back
    return len(told)


def died(world: DoorWorld, chapter: Chapter) -> bool:
    """Do a chapter in a process of its own, and say whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            chapter(world)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == EXIT_CODE


def instants(scene: Scene, folder: Path, chapter: Chapter) -> int:
    counting = CrashPoint()
    shutil.copytree(scene.folder, folder)
    world = scene.world.at(folder, counting)
    chapter(world)
    world.state.close()
    return counting.count


@pytest.mark.crash
@pytest.mark.parametrize("name", STORY)
def test_a_process_that_dies_at_any_write_leaves_all_or_nothing(
    scenes: dict[str, Scene], name: str, tmp_path: Path
) -> None:
    scene, (chapter, entries) = scenes[name], STORY[name]
    count = instants(scene, tmp_path / "whole", chapter)
    assert count >= 9  # around the transaction, the record, the leaf and the decision
    left = []
    for at in swept(count):
        folder = tmp_path / f"{at}"
        shutil.copytree(scene.folder, folder)
        assert died(scene.world.at(folder, CrashPoint(at)), chapter)
        world = scene.world.at(folder)
        left.append(holds_together(world) - scene.entries)
        chapter(world)
        assert holds_together(world) == scene.entries + entries
        world.state.close()
    assert left == sorted(left)
    assert set(left) == {0, entries}


def test_a_door_that_moves_its_pointer_first_is_caught(scenes: dict[str, Scene], tmp_path: Path) -> None:
    def pointer_first(world: DoorWorld) -> None:
        with world.state.transaction() as tx:
            tx.move("environment/prod/churn", before=None, after=digest_of(world.version), at=world.now)
        world.promote()

    scene, caught = scenes["promote together"], 0
    for at in range(1, 12):
        folder = tmp_path / f"{at}"
        shutil.copytree(scene.folder, folder)
        assert died(scene.world.at(folder, CrashPoint(at)), pointer_first)
        world = scene.world.at(folder)
        try:
            holds_together(world)
        except AssertionError:
            caught += 1
        world.state.close()
    assert caught >= 5
