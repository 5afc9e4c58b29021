"""The control plane in memory keeps the promises of a target, also where replicas take their time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keelway.core import SimulatedClock, VersionName
from keelway.deploy import Deployment
from keelway.errors import EngineError
from keelway.testing.pushed_target import PushedTarget
from keelway.testing.serving import NOW, PROD, deployment_of
from keelway.testing.targets import ServingTargetConformance, seen, settle


class PushedScene:
    """A control plane with the replicas a and b."""

    def __init__(self, turns_to_load: int) -> None:
        self.target = PushedTarget(clock=SimulatedClock(NOW))
        self.target.turns_to_load = turns_to_load
        self.number = 0

    def decide(self, version: str) -> Deployment:
        self.number += 1
        return replace(deployment_of(**{version: 100}), number=self.number)

    def turn(self) -> None:
        self.target.turn()

    def stall(self, replica: int, *, stalled: bool = True) -> None:
        change = self.target.stalled.add if stalled else self.target.stalled.discard
        change("ab"[replica])

    def refuse(self, version: str) -> None:
        self.target.refused.add(VersionName(version.replace("_", ":")))

    def lose(self, *, heard: bool) -> None:
        self.target.lose(1, heard=heard)

    def answered_by(self, replica: int) -> list[int]:
        return self.target.answered_by("churn", PROD, "ab"[replica])


@pytest.mark.parametrize("turns_to_load", [0, 3], ids=["at once", "late"])
class TestPushedTarget(ServingTargetConformance):
    @pytest.fixture
    def scene(self, turns_to_load: int) -> PushedScene:
        return PushedScene(turns_to_load)


def test_what_a_replica_gets_ready_for_is_given_up_for_what_is_newer() -> None:
    scene = PushedScene(turns_to_load=3)
    scene.target.apply(scene.decide("churn_1"))
    scene.turn()
    scene.turn()
    assert "gets ready for deployment 1" in seen(scene).replicas[0].problem
    scene.target.apply(scene.decide("churn_2"))
    settle(scene)
    assert scene.answered_by(0) == [2]


def test_the_same_again_changes_nothing_that_is_held() -> None:
    scene = PushedScene(turns_to_load=0)
    first = scene.decide("churn_1")
    for _ in range(3):
        scene.target.apply(first)
    assert scene.target.changes == 1


@pytest.mark.parametrize(("heard", "held"), [(False, None), (True, 1)])
def test_a_lost_call_was_heard_or_not(*, heard: bool, held: int | None) -> None:
    scene = PushedScene(turns_to_load=0)
    scene.lose(heard=heard)
    with pytest.raises(EngineError, match="does not answer"):
        scene.target.apply(scene.decide("churn_1"))
    assert seen(scene).held == held
