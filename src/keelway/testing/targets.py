"""What every serving target promises; a suite to be inherited, with a scene that holds two replicas of the target.

class TestMyTarget(ServingTargetConformance):
    @pytest.fixture
    def scene(self, tmp_path): ...
"""

from __future__ import annotations

import contextlib
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from keelway.deploy import Deployment, ObservedTraffic, ServingTarget
from keelway.errors import EngineError
from keelway.testing.serving import PROD

TURNS = 10
"""More than a replica takes to get ready in any scene."""


class TargetScene(Protocol):
    """A target with two replicas, whose deployments of `churn` in prod are decided as the ledger would."""

    target: ServingTarget

    def decide(self, version: str) -> Deployment:
        """Let the ledger want all traffic at a version from here on, such as `churn_2`; the target is not told."""
        ...

    def turn(self) -> None:
        """Let every replica that is not stalled do its next step."""
        ...

    def stall(self, replica: int, *, stalled: bool = True) -> None:
        """Let the first (0) or the second (1) replica do nothing, or go on."""
        ...

    def refuse(self, version: str) -> None:
        """Let no replica load a version, such as `churn_2`."""
        ...

    def lose(self, *, heard: bool) -> None:
        """Let the next call of `apply` fail, before or after it was heard, where there is anything to lose."""
        ...

    def answered_by(self, replica: int) -> list[int]:
        """Return the numbers of all deployments that a replica ever answered by, in their order."""
        ...


def seen(scene: TargetScene) -> ObservedTraffic:
    """Return what the target says of `churn` in prod."""
    return scene.target.observed("churn", PROD)


def served(scene: TargetScene) -> list[int | None]:
    """Return by which deployment each replica answers, as the target says."""
    return [replica.deployment for replica in seen(scene).replicas]


def settle(scene: TargetScene) -> None:
    """Let replicas do everything that they can."""
    for _ in range(TURNS):
        scene.turn()


class ServingTargetConformance:
    """The promises of `ServingTarget`."""

    @pytest.fixture
    def scene(self) -> TargetScene:
        """Return a target that took nothing yet. To be overridden."""
        raise NotImplementedError

    def begun(self, scene: TargetScene) -> Deployment:
        """Bring a first deployment to answer everywhere."""
        first = scene.decide("churn_1")
        scene.target.apply(first)
        settle(scene)
        assert served(scene) == [first.number] * 2
        return first

    def test_nothing_is_there_before_anything_was_decided(self, scene: TargetScene) -> None:
        assert seen(scene) == ObservedTraffic()

    def test_what_was_applied_is_held_at_once_and_comes_to_answer_everywhere(self, scene: TargetScene) -> None:
        first = scene.decide("churn_1")
        scene.target.apply(first)
        assert seen(scene).held == first.number
        settle(scene)
        found = seen(scene)
        assert [replica.deployment for replica in found.replicas] == [first.number] * 2
        assert len({replica.name for replica in found.replicas}) == 2
        assert all(replica.since and replica.since.tzinfo and not replica.problem for replica in found.replicas)
        assert found.lagging(first.number) == ()

    def test_applied_twice_is_applied_once(self, scene: TargetScene) -> None:
        first = self.begun(scene)
        before = seen(scene)
        scene.target.apply(first)
        settle(scene)
        assert seen(scene) == before
        assert [scene.answered_by(number) for number in (0, 1)] == [[first.number]] * 2

    def test_one_that_comes_late_never_takes_the_place_of_a_newer_one(self, scene: TargetScene) -> None:
        first = self.begun(scene)
        second, third = scene.decide("churn_2"), scene.decide("churn_3")
        scene.target.apply(third)
        scene.target.apply(second)
        scene.target.apply(first)
        settle(scene)
        scene.target.apply(second)
        settle(scene)
        assert (seen(scene).held, served(scene)) == (third.number, [third.number] * 2)
        assert [scene.answered_by(number) for number in (0, 1)] == [[first.number, third.number]] * 2

    def test_what_a_crash_kept_from_being_applied_is_made_good_by_the_next_call(self, scene: TargetScene) -> None:
        self.begun(scene)
        scene.decide("churn_2")  # and the one who decided it is gone
        third = scene.decide("churn_3")
        scene.target.apply(third)
        settle(scene)
        assert served(scene) == [third.number] * 2

    @pytest.mark.parametrize("heard", [False, True], ids=["before it was heard", "after it was heard"])
    def test_a_call_that_was_lost_may_be_made_again(self, scene: TargetScene, *, heard: bool) -> None:
        first = self.begun(scene)
        second = scene.decide("churn_2")
        scene.lose(heard=heard)
        with contextlib.suppress(EngineError):
            scene.target.apply(second)
        scene.target.apply(second)
        settle(scene)
        assert [scene.answered_by(number) for number in (0, 1)] == [[first.number, second.number]] * 2

    def test_a_replica_that_lags_is_told(self, scene: TargetScene) -> None:
        first = self.begun(scene)
        scene.stall(1)
        second = scene.decide("churn_2")
        scene.target.apply(second)
        settle(scene)
        behind = seen(scene).replicas[1]
        assert served(scene) == [second.number, first.number]
        assert seen(scene).lagging(second.number) == (behind,)
        scene.stall(1, stalled=False)
        settle(scene)
        assert seen(scene).lagging(second.number) == ()

    def test_a_replica_that_cannot_says_why_and_goes_on_as_it_was(self, scene: TargetScene) -> None:
        first = self.begun(scene)
        scene.refuse("churn_2")
        second = scene.decide("churn_2")
        scene.target.apply(second)
        settle(scene)
        lagging = seen(scene).lagging(second.number)
        assert [replica.deployment for replica in lagging] == [first.number] * 2
        assert all("churn:2" in replica.problem for replica in lagging)

    def test_the_way_back_waits_for_no_replica(self, scene: TargetScene) -> None:
        first = self.begun(scene)
        for replica in (0, 1):
            scene.stall(replica)
        second = scene.decide("churn_2")
        scene.target.apply(second)
        back = scene.decide("churn_1")
        scene.target.apply(back)
        assert seen(scene).held == back.number
        for replica in (0, 1):
            scene.stall(replica, stalled=False)
        settle(scene)
        assert [scene.answered_by(number) for number in (0, 1)] == [[first.number, back.number]] * 2

    def test_the_way_back_takes_the_place_of_what_replicas_get_ready_for(self, scene: TargetScene) -> None:
        first = self.begun(scene)
        scene.refuse("churn_2")
        second = scene.decide("churn_2")
        scene.target.apply(second)
        scene.turn()
        back = scene.decide("churn_1")
        scene.target.apply(back)
        settle(scene)
        assert served(scene) == [back.number] * 2
        assert [scene.answered_by(number) for number in (0, 1)] == [[first.number, back.number]] * 2
        assert not any(replica.problem for replica in seen(scene).replicas)

    def test_other_models_and_environments_are_others(self, scene: TargetScene) -> None:
        self.begun(scene)
        assert scene.target.observed("other", PROD) == ObservedTraffic()
        assert scene.target.observed("churn", "staging") == ObservedTraffic()

    def test_of_calls_at_once_the_newest_holds(self, scene: TargetScene) -> None:
        decided = [scene.decide(f"churn_{1 + number % 3}") for number in range(8)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(scene.target.apply, decided[::-1]))
        settle(scene)
        assert (seen(scene).held, served(scene)) == (decided[-1].number, [decided[-1].number] * 2)

    @pytest.mark.parametrize("seed", range(12))
    def test_whatever_happens_no_replica_goes_back_in_number_and_the_last_call_settles_it(
        self, scene: TargetScene, seed: int
    ) -> None:
        luck = random.Random(seed)
        decided = [scene.decide("churn_1")]
        for _ in range(30):
            step = luck.choice(["decide", "apply", "turn", "stall", "lose"])
            if step == "decide":
                decided.append(scene.decide(f"churn_{luck.randint(1, 3)}"))
            elif step == "apply":
                with contextlib.suppress(EngineError):
                    scene.target.apply(luck.choice(decided))
            elif step == "turn":
                scene.turn()
            elif step == "stall":
                scene.stall(luck.randint(0, 1), stalled=luck.random() < 0.5)
            else:
                scene.lose(heard=luck.random() < 0.5)
        self._bring_about(scene, decided[-1])
        assert served(scene) == [decided[-1].number] * 2
        for number in (0, 1):
            assert scene.answered_by(number) == sorted(set(scene.answered_by(number)))

    def _bring_about(self, scene: TargetScene, wanted: Deployment) -> None:
        """Call until it is heard, with every replica at work."""
        for replica in (0, 1):
            scene.stall(replica, stalled=False)
        for _ in range(40):
            with contextlib.suppress(EngineError):
                scene.target.apply(wanted)
        settle(scene)
