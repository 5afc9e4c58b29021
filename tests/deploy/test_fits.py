"""A target that cannot do what a rollout needs is refused before anything begins, with everything that is missing."""

from __future__ import annotations

import pytest

from keelway.core import SimulatedClock
from keelway.deploy import TargetCapabilities, must_fit
from keelway.errors import UsageError
from keelway.project import Analysis, Metric, Rollout
from keelway.testing.fleet import NOW, B, C
from keelway.testing.pushed_target import PushedTarget

BY_CHANCE = TargetCapabilities(sticky=False, shadows=False)
GOAL = Analysis(metrics=(Metric("conversion"),))


def target_that(capabilities: TargetCapabilities) -> PushedTarget:
    return PushedTarget(clock=SimulatedClock(NOW), capabilities=capabilities)


@pytest.mark.parametrize(
    ("rollout", "found"),
    [
        (Rollout.canary("prod", steps=(10, 50)), "arms drawn for each request"),
        (Rollout.canary("prod", steps=(10,), mirror="1h"), "no shadows; arms drawn for each request"),
        (Rollout.shadow("prod"), "no shadows"),
        (Rollout.ab("prod", analysis=GOAL), "arms drawn for each request"),
        (Rollout.bandit("prod", analysis=GOAL, floor=0.1), "arms drawn for each request"),
        (Rollout.blue_green("prod"), "no shadows"),
    ],
    ids=lambda value: value.strategy if isinstance(value, Rollout) else "",
)
def test_what_is_missing_is_named(rollout: Rollout, found: str) -> None:
    with pytest.raises(UsageError, match="pushed cannot carry out") as refused:
        must_fit(rollout, [B], target=target_that(BY_CHANCE))
    assert refused.value.found == found
    assert refused.value.expected
    assert "environments.prod.target" in refused.value.fix
    must_fit(rollout, [B], target=target_that(TargetCapabilities(sticky=True, shadows=True)))


def test_all_at_once_from_blue_to_green_needs_neither_shares_nor_copies() -> None:
    must_fit(Rollout.blue_green("prod", mirror=False), [B], target=target_that(BY_CHANCE))


def test_more_versions_than_a_target_takes_are_refused() -> None:
    two = target_that(TargetCapabilities(sticky=True, shadows=True, most_versions=2))
    rollout = Rollout.ab("prod", analysis=GOAL)
    must_fit(rollout, [B], target=two)
    with pytest.raises(UsageError) as refused:
        must_fit(rollout, [B, C], target=two)
    assert (refused.value.expected, refused.value.found) == ("3 versions at once", "at most 2")
