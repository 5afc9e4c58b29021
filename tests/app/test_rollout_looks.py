"""A look reads what was kept once, judges every version by it, and says why requests do not reach one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.app.rollout_looks import RolloutView, rollout_view
from keelway.core import BusinessEvent, Digest, Outcome, digest_of
from keelway.deploy import CONTROL, STABLE, Deployment
from keelway.deploy.analysis import RateCounts, judge, thompson_shares
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.monitor import SegmentCache, record_events, record_outcomes
from keelway.monitor.rollout import evidence_of
from keelway.project import Analysis, BusinessMetric, Guardrail, Metric, Project, Rollout
from keelway.serve import ArmRequests, RequestFigures
from keelway.serve.segment import SealingPorts
from keelway.serve.tally import keep_figures
from keelway.testing.fleet import CI, NOW, A, B, C, Fleet
from keelway.testing.rollouts import seal_answers
from keelway.testing.training import churn_model

PEOPLE = [f"c{number}" for number in range(900)]
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ANALYSIS = Analysis(
    (Guardrail("brier", "brier", margin=0.5),), (Metric("buyers"),), minimum=30
)  # fmt: skip
BUYERS = BusinessMetric("buyers", stream="purchases", window="1h")
STEPS = Rollout.canary("prod", steps=(10,), analysis=Analysis((Guardrail("error_rate", margin=0.1),)))
SHADOWED = Rollout.shadow("prod", analysis=STEPS.analysis)


class CountingArtifacts(LocalArtifacts):
    """Remembers what was read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.read: list[Digest] = []

    def get(self, digest: Digest) -> bytes:
        self.read.append(digest)
        return super().get(digest)


@dataclass(frozen=True)
class Place:
    """What a look asks of a workspace."""

    project: Project
    artifacts: CountingArtifacts


class Watched:
    """A fleet whose rollout is served, and looked at."""

    def __init__(self, folder: Path) -> None:
        self.fleet = Fleet(folder)
        self.fleet.fill()
        self.before = self.fleet.deploy(A)
        self.artifacts = CountingArtifacts(folder / "store")
        self.project = Project("shop", models=[replace(churn_model(), business=(BUYERS,))])
        self.cache = SegmentCache()
        self.journals = 0

    @property
    def now(self) -> Any:
        return self.fleet.now

    def serve(self, deployment: Deployment, people: Sequence[str] = PEOPLE) -> None:
        """Answer everybody once, and let a minute pass."""
        self.journals += 1
        ports = SealingPorts(self.fleet.state, self.artifacts, CI)
        values = dict.fromkeys(people, 0.25)
        seal_answers(deployment, values, at=self.now, as_of=NOW, journal=f"j{self.journals}", ports=ports)
        self.fleet.passing(1 / 60)

    def told(self, buyers: Sequence[str]) -> None:
        """Let people buy now, and learn what became of everybody."""
        ports = {"state": self.fleet.state, "artifacts": self.artifacts, "actor": CI, "now": self.now + DAY}
        known = {"known_at": self.now}
        record_events(
            [BusinessEvent("purchases", each, 9.0, self.now, self.now) for each in buyers], "purchases",
            complete_until=self.now + 2 * HOUR, **ports,
        )  # fmt: skip
        outcomes = [Outcome("churned", each, NOW, 1, event_time=self.now, **known) for each in PEOPLE]
        record_outcomes(outcomes, **ports)

    def view(self) -> RolloutView:
        at: Any = Place(self.project, self.artifacts)
        with self.fleet.state.snapshot() as tx:
            return rollout_view(self.fleet.scene(), tx=tx, at=at, now=self.now, cache=self.cache)

    def reasons(self) -> tuple[str, ...]:
        view = self.view()
        return view.move(view.verdicts()).reasons


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.fleet.state.close()


def bandit_of_two_steps(watched: Watched) -> tuple[Deployment, Deployment]:
    """Begin a bandit whose arms sold differently, let it draw its shares anew, and serve those."""
    first = watched.fleet.begin(Rollout.bandit("prod", analysis=ANALYSIS), B, C).deployment
    watched.serve(first)
    watched.told([each for each in PEOPLE[::3] if first.arm_of(each) == B] + PEOPLE[:30])
    watched.fleet.passing(3)
    view = watched.view()
    verdicts = view.verdicts()
    move = view.move(verdicts)
    shares = view.shares(verdicts, move)
    assert shares is not None
    assert max(shares, key=lambda arm: shares[arm]) == B
    second = watched.fleet.carry_out(view.scene, move, verdicts, shares=shares)
    watched.serve(second)
    watched.told([each for each in PEOPLE[::2] if second.arm_of(each) == C])
    watched.fleet.passing(3)
    return first, second


def test_a_look_reads_once_however_many_arms_and_steps_it_has(watched: Watched) -> None:
    bandit_of_two_steps(watched)
    watched.cache = SegmentCache()
    watched.artifacts.read.clear()
    view = watched.view()
    verdicts = view.verdicts()
    view.shares(verdicts, view.move(verdicts))
    assert [(each.arm, each.version) for each in verdicts] == [(B, B), (C, C)]
    assert len(view.scene.steps) == 2
    assert len(watched.artifacts.read) == len(set(watched.artifacts.read)) == 5, "two segments, outcomes, events"
    watched.view().verdicts()
    assert len(watched.artifacts.read) == 8, "what was read of the log is kept for the next look"


def test_each_version_is_judged_by_what_was_read_of_the_whole_rollout(watched: Watched) -> None:
    first, second = bandit_of_two_steps(watched)
    view = watched.view()
    assert view.readings is not None
    for each in view.verdicts():
        found = evidence_of(view.readings, [first, second], each.arm, analysis=ANALYSIS, business=(BUYERS,))
        judged = judge(view.scene.start.plan.analysis, found, part=1 / 2 / 3)
        assert (each.verdict.requests, each.verdict.outcome) == (judged.requests, judged.outcome)
        assert each.verdict.figures[1].treatment == judged.figures[1].treatment
        assert sum(each.verdict.requests) > 0


def test_a_bandit_believes_what_each_step_says_by_itself(watched: Watched) -> None:
    first, second = bandit_of_two_steps(watched)
    view = watched.view()
    verdicts = view.verdicts()
    assert view.readings is not None
    beliefs: dict[str, RateCounts] = {}
    for step in (first, second):
        for arm, side in ((CONTROL, "control"), (B, "treatment"), (C, "treatment")):
            asked = B if arm == CONTROL else arm
            evidence = evidence_of(view.readings, [step], asked, analysis=ANALYSIS, business=(BUYERS,))
            tally, known = getattr(evidence, side).tallies["buyers"], beliefs.get(arm, RateCounts(0, 0))
            beliefs[arm] = RateCounts(known.count + tally.count, known.rows + tally.rows)
    assert sum(each.rows for each in beliefs.values()) > len(PEOPLE), "who came again counts in each step"
    seed = int(view.scene.standing.digest[-8:], 16)
    wanted = thompson_shares(beliefs, seed=seed, greater_is_better=True, floor=view.scene.start.plan.floor)
    found = view.shares(verdicts, view.move(verdicts))
    assert found == wanted


def test_a_stage_that_compares_nothing_reads_nothing(watched: Watched) -> None:
    watched.serve(watched.fleet.begin(Rollout.blue_green("prod", mirror=False), B).deployment)
    watched.artifacts.read.clear()
    view = watched.view()
    assert (view.readings, view.verdicts(), watched.artifacts.read) == (None, [], [])
    assert view.move([]).move == "hold"


def test_it_says_that_servers_go_on_as_they_were(watched: Watched) -> None:
    begun = watched.fleet.begin(STEPS, B).deployment
    watched.serve(watched.before)
    assert len(watched.reasons()) == 1, "servers may still be loading it"
    watched.serve(watched.before)
    early = watched.reasons()
    assert early[-1] == (
        "no request reached churn:2 since 1998-06-01T00:00:00Z: an earlier deployment still answers; "
        "a server that cannot load this one says why at /readyz"
    )
    watched.serve(watched.before)
    assert watched.reasons() == early, "a look that saw nothing new is not kept, so the words may not change"
    watched.serve(begun)
    assert watched.reasons()[-1].startswith("not every request is answered as deployed: an earlier deployment")
    watched.fleet.passing(0.2)
    assert not any("/readyz" in reason for reason in watched.reasons()), "all servers took it since"


def test_it_says_so_too_once_servers_kept_what_they_counted(watched: Watched) -> None:
    begun = watched.fleet.begin(STEPS, B).deployment
    watched.fleet.passing(1 / 60)
    watched.serve(watched.before)
    rows = len(PEOPLE)
    counted = ArmRequests(A, STABLE, rows, 0, (40,), (rows,), deployment=digest_of(watched.before))
    span = RequestFigures("churn", begun.environment, begun.at, watched.now, rows, 0, 0, (counted,))
    keep_figures(span, state=watched.fleet.state)
    watched.fleet.passing(1 / 60)
    view = watched.view()
    move = view.move(view.verdicts())
    assert (move.move, move.reasons[0]) == (
        "hold",
        "0 requests in the smaller arm; nothing is decided before 100",
    )
    assert "/readyz" in move.reasons[1]


def test_it_says_that_nobody_asks(watched: Watched) -> None:
    watched.fleet.begin(STEPS, B)
    watched.fleet.passing(1)
    assert watched.reasons()[-1] == (
        "no answer was logged since 1998-06-01T00:00:00Z: nobody asks, or no server is ready; see their /readyz"
    )


def test_it_says_that_a_shadow_is_shown_nothing(watched: Watched) -> None:
    begun = watched.fleet.begin(SHADOWED, B).deployment
    watched.serve(begun)
    watched.fleet.passing(1)
    assert watched.reasons()[-1].startswith("no copy of a request reached churn:2 since 1998-06-01T00:00:00Z")


def test_a_canary_that_nobody_fell_into_yet_is_no_reason_to_look_at_servers(watched: Watched) -> None:
    begun = watched.fleet.begin(STEPS, B).deployment
    watched.serve(begun, [each for each in PEOPLE if begun.arm_of(each) != "canary"][:20])
    watched.fleet.passing(1 / 60)
    assert watched.reasons() == ("0 requests in the smaller arm; nothing is decided before 100",)


def test_what_is_decided_needs_no_such_words(watched: Watched) -> None:
    begun = watched.fleet.begin(STEPS, B).deployment
    watched.serve(begun)
    watched.fleet.passing(1)
    view = watched.view()
    (verdict,) = view.verdicts()
    failed = replace(verdict, verdict=replace(verdict.verdict, outcome="failure", requests=(900, 0)))
    assert view.move([failed]).move == "back"
    assert view.move([failed]).reasons == failed.verdict.reasons
