"""Servers that follow the pointer keep the promises of a target: real routers, which say what they answer by."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from keelway.core import SimulatedClock, VersionName
from keelway.deploy import Deployment
from keelway.engines.local.serving_target import LocalTarget
from keelway.serve import MemoryBudget, Presence, Router, ServingCare
from keelway.testing.serving import NOW, PROD, FixedScorer, ScorerShelf, ServedTraffic
from keelway.testing.targets import ServingTargetConformance, seen, served, settle


class FollowingScene:
    """Two routers on one state; they start with the first turn after anything is deployed."""

    def __init__(self, folder: Path) -> None:
        self.traffic = ServedTraffic(folder)
        self.clock = SimulatedClock(NOW)
        self.target = LocalTarget(self.traffic.state, self.clock)
        self.shelf = ScorerShelf(churn_1=FixedScorer(0.1), churn_2=FixedScorer(0.2), churn_3=FixedScorer(0.3))
        self.routers: dict[int, Router] = {}
        self.answered: dict[int, list[int]] = {0: [], 1: []}
        self.stalled: set[int] = set()

    def decide(self, version: str) -> Deployment:
        return self.traffic.send(**{version: 100})

    def start(self, replica: int) -> Router:
        presence = Presence(f"host/{replica}", "churn", PROD, state=self.traffic.state, clock=self.clock)
        return Router(
            "churn", PROD, state=self.traffic.state, load=self.shelf.load,
            care=ServingCare(MemoryBudget(), presence=presence),
        )  # fmt: skip

    def turn(self) -> None:
        for replica in {0, 1} - self.stalled:
            if replica not in self.routers:
                self.routers[replica] = self.start(replica)
            self.routers[replica].refresh()
            number = self.routers[replica].loaded.deployment.number
            if self.answered[replica][-1:] != [number]:
                self.answered[replica].append(number)

    def stall(self, replica: int, *, stalled: bool = True) -> None:
        (self.stalled.add if stalled else self.stalled.discard)(replica)

    def refuse(self, version: str) -> None:
        self.shelf.altered.add(VersionName(version.replace("_", ":")))

    def lose(self, *, heard: bool) -> None:
        """Lose nothing: no call is made."""

    def answered_by(self, replica: int) -> list[int]:
        return self.answered[replica]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[FollowingScene]:
    made = FollowingScene(tmp_path)
    yield made
    for router in made.routers.values():
        router.close()
    made.traffic.state.close()


class TestLocalTarget(ServingTargetConformance):
    @pytest.fixture
    def scene(self, scene: FollowingScene) -> FollowingScene:
        return scene


def test_nobody_has_to_be_told(scene: FollowingScene) -> None:
    decided = scene.decide("churn_1")
    settle(scene)
    assert (seen(scene).held, served(scene)) == (decided.number, [decided.number] * 2)


def test_a_server_that_ends_is_gone(scene: FollowingScene) -> None:
    scene.decide("churn_1")
    scene.turn()
    scene.routers.pop(0).close()
    assert [replica.name for replica in seen(scene).replicas] == ["host/1"]


def test_a_server_that_was_killed_is_told_as_silent_keeps_nobody_waiting_and_is_at_last_forgotten(
    scene: FollowingScene,
) -> None:
    scene.decide("churn_1")
    scene.turn()
    scene.stall(0)  # as if killed
    second = scene.decide("churn_2")
    scene.turn()
    assert [replica.name for replica in seen(scene).lagging(second.number)] == ["host/0"], "it may only be slow"
    scene.clock.advance(timedelta(minutes=4))
    scene.turn()
    silent, alive = seen(scene).replicas
    assert (silent.silent_since, silent.deployment) == (NOW, 1)
    assert silent.problem.startswith("silent since 2026-03-01T00:00:00Z")
    assert (alive.problem, alive.silent_since) == ("", None)
    assert (seen(scene).lagging(second.number), seen(scene).silent()) == ((), (silent,))
    scene.clock.advance(timedelta(hours=7))
    scene.turn()
    assert [replica.name for replica in seen(scene).replicas] == ["host/1"]


def test_a_server_in_the_place_of_a_killed_one_takes_its_name(scene: FollowingScene) -> None:
    scene.decide("churn_1")
    scene.turn()
    killed = scene.routers.pop(0)
    second = scene.decide("churn_2")
    scene.turn()
    assert served(scene) == [second.number] * 2
    killed.close()  # the last word of a predecessor ends nobody but itself
    assert served(scene) == [second.number] * 2
