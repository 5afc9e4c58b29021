"""What a finder says of evidence that is there, that is missing, that is too old, and that came later."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import Action, digest_bytes, digest_of
from keelway.privacy import Erasure, Loss
from keelway.promote import DrillReport, IncidentNews, IncidentReport, open_incident, record_drill, update_incident
from keelway.report import FINDERS, FoundEvidence, Point
from keelway.report.finders import ask
from keelway.report.finders.found import found
from keelway.testing.door import ANA, CI, EVE
from keelway.testing.reports import CHAPTERS, HOUR, ReportWorld

DAY = timedelta(days=1)
NOT_MET = {"cards": "partly", "transparency": "not applicable"}
"""What the whole story leaves open: the door was not asked for the card, and nobody has to be told."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ReportWorld:
    return ReportWorld(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ReportWorld]:
    """Return worlds whose story lacks some chapters, each made once; tests only read them."""

    @functools.cache
    def made(*chapters: str) -> ReportWorld:
        return ReportWorld(tmp_path_factory.mktemp("lacking"), without=chapters)

    return made


def asked(world: ReportWorld, name: str, *, after: timedelta = timedelta(0)) -> FoundEvidence:
    with world.reading(world.now + after) as past:
        return ask(name, past)


@pytest.mark.parametrize("name", FINDERS)
def test_a_whole_story_has_every_evidence(whole: ReportWorld, name: str) -> None:
    evidence = asked(whole, name)
    assert (evidence.finder, evidence.status) == (name, NOT_MET.get(name, "met"))
    assert all(point.text for point in evidence.points)


@pytest.mark.parametrize("name", FINDERS)
def test_a_finder_says_what_it_looks_for(name: str) -> None:
    assert (FINDERS[name].__doc__ or "").endswith(".")


@pytest.mark.parametrize("name", FINDERS)
def test_an_empty_ledger_meets_nothing(lacking: Callable[..., ReportWorld], name: str) -> None:
    assert asked(lacking(*CHAPTERS), name).status != "met"


MISSING = [
    ("contracts", "checked", "gap"),
    ("quarantine", "checked", "gap"),
    ("personal_data", "checked", "gap"),
    ("snapshots", "taken", "gap"),
    ("provenance", "registered", "gap"),
    ("evaluation", "registered", "gap"),
    ("bill_of_materials", "registered", "gap"),
    ("risk", "assessed", "gap"),
    ("prohibited", "assessed", "gap"),
    ("impact", "assessed", "gap"),
    ("oversight", "assessed", "gap"),
    ("transparency", "assessed", "gap"),
    ("reproduction", "reproduced", "partly"),
    ("changes", "asked", "partly"),
    ("approvals", "asked", "gap"),
    ("separation", "asked", "partly"),
    ("gate", "promoted", "gap"),
    ("prediction_log", "logged", "gap"),
    ("prediction_log", "deployed", "met"),
    ("monitoring", "monitored", "gap"),
    ("outcomes", "learned", "gap"),
    ("rollback", "drilled", "partly"),
    ("erasures", "erased", "not applicable"),
    ("retention", "vacuumed", "partly"),
    ("notifications", "incident", "not applicable"),
]


@pytest.mark.parametrize(("name", "chapter", "status"), MISSING, ids=str)
def test_what_was_never_recorded_is_missing(
    lacking: Callable[..., ReportWorld], name: str, chapter: str, status: str
) -> None:
    assert asked(lacking(chapter), name).status == status


@pytest.mark.parametrize(
    ("name", "chapter"), [(name, chapter) for name, chapter, status in MISSING if status == "gap"], ids=str
)
def test_what_comes_later_does_not_count(whole: ReportWorld, name: str, chapter: str) -> None:
    with whole.reading(whole.told_at[chapter] - HOUR) as before, whole.reading(whole.told_at[chapter]) as then:
        assert ask(name, before).status != "met"
        assert before.size < then.size
    if name not in ("prediction_log", "outcomes"):
        return
    assert asked(whole, name).status == "met"


def test_drills_of_either_kind_are_enough_but_one_is_needed(lacking: Callable[..., ReportWorld]) -> None:
    one, none = lacking("called"), lacking("called", "drilled", "incident")
    assert asked(one, "drills").status == "met"
    assert [asked(none, name).status for name in ("drills", "incidents")] == ["gap", "partly"]


@pytest.mark.parametrize(
    ("name", "holds", "over"),
    [
        ("risk", 364, 366),
        ("prohibited", 364, 366),
        ("impact", 364, 366),
        ("oversight", 364, 366),
        ("monitoring", 35, 36),
        ("drills", 89, 91),
    ],
)
def test_evidence_grows_old(whole: ReportWorld, name: str, holds: int, over: int) -> None:
    fresh, old = (asked(whole, name, after=timedelta(days=days)).status for days in (holds, over))
    assert (fresh, old) == ("met", "partly")


def test_an_assessment_tells_its_age_and_is_stale_after_the_declared_interval(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, review_every="30d")
    fresh, stale = (asked(world, "risk", after=timedelta(days=days)).points[0] for days in (10, 40))
    days = int(fresh.text.partition("user:eve, ")[2].split()[0])
    assert fresh.text.endswith(f"{days} days old")
    assert f"{days + 30} days old; the assessment is stale: its review is " in stale.text
    assert (fresh.status, stale.status) == ("met", "partly")
    duties = [asked(world, "transparency", after=timedelta(days=days)).status for days in (10, 40)]
    assert duties == ["not applicable", "partly"], "a stale answer spares nobody the question"


def test_a_drill_without_a_plan_counts_half_a_year(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, without={"called", "drilled"})
    held = DrillReport(kind="restore", passed=True, held_at=world.now)
    record_drill("churn", "prod", held, principal=CI, state=world.state, now=world.now)
    assert [asked(world, "drills", after=timedelta(days=days)).status for days in (180, 182)] == ["met", "partly"]


def test_drills_that_all_failed_are_a_gap(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, without={"called", "drilled"})
    held = DrillReport(kind="rollback", passed=False, findings="nobody had the token", held_at=world.now)
    record_drill("churn", "prod", held, principal=CI, state=world.state, now=world.now)
    evidence = asked(world, "drills")
    assert evidence.status == "gap"
    assert "nobody had the token" in evidence.points[0].text


def test_a_model_that_left_its_bounds_is_told_of(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path)
    world.now += HOUR
    world.decide(Action.MONITOR, "churn", environment="prod", allowed=False, reasons=("recency drifted",))
    evidence = asked(world, "monitoring")
    assert (evidence.status, "recency drifted" in evidence.points[0].text) == ("partly", True)


def test_who_moves_it_by_hand_or_past_the_gate_is_seen(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, without={"asked", "promoted", "deployed"})
    world.ruled(break_glass_lasts=DAY)
    world.ask(break_glass=True, comment="the till is down")
    for who in ("user:ben", "user:cat"):
        world.approve(next(one for one in (world.rules.directory.find(who),) if one), break_glass=True)
    world.skip()
    assert asked(world, "gate").status == "gap"
    assert asked(world, "approvals").status == "partly"


def test_oversight_by_nobody_and_prohibited_practices_are_gaps(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, prohibited=("social_scoring",), oversight="none", oversight_how="")
    assert [asked(world, name).status for name in ("prohibited", "oversight", "risk")] == ["gap", "gap", "met"]


def test_what_people_have_to_be_told_of_is_not_answered_by_software(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, transparency=("interacts_with_people",))
    assert asked(world, "transparency").status == "partly"


def test_an_erasure_that_waits_too_long_is_a_gap(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, without={"erased"})
    erasure = Erasure(7, Loss.ERASED, (), (), world.now, ANA.id)
    world.decide(Action.ERASE, "erasure 7", evidence={"erasure": world.store(erasure, key="000007")})
    assert [asked(world, "erasures", after=timedelta(days=days)).status for days in (30, 31)] == ["partly", "gap"]


def test_a_notification_that_comes_too_late_is_a_gap_and_one_that_waits_is_not(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, without={"incident"})
    report = IncidentReport(
        title="leak", severity="critical", model="churn", environment="prod", aware_at=world.now, personal_data=True
    )
    who: dict[str, Any] = {"principal": EVE, "state": world.state}
    open_incident(report, **who, now=world.now)
    at_once = asked(world, "notifications").status
    late = asked(world, "notifications", after=4 * DAY).status
    update_incident(1, IncidentNews(note="told", notified={"gdpr-33": world.now + DAY}), **who, now=world.now + 9 * DAY)
    in_time = asked(world, "notifications", after=9 * DAY).status
    assert (at_once, late, in_time) == ("partly", "gap", "met")
    assert asked(world, "incidents", after=9 * DAY).status == "partly"


def test_figures_speak_for_themselves(tmp_path: Path) -> None:
    def changed(world: ReportWorld, name: str, change: Callable[[Any], Any]) -> str:
        """Register the same version with other figures, as the newest one of a model that is not live."""
        with world.state.snapshot() as tx:
            from keelway.evaluate import Scorecard

            card = tx.by_digest(Scorecard, world.version.scorecard)
        other = replace(world.version, model=f"m{name}", name=f"m{name}:1", scorecard=world.store(change(card)))
        world.decide(Action.REGISTER, other.name, evidence={"version": world.store(other, key=other.name)})
        evidence = asked(world, name)
        return next(point.status for point in evidence.points if point.text.startswith(f"m{name}:1"))

    world = ReportWorld(tmp_path)
    fairness = lambda card, verdict: replace(card, fairness=(replace(card.fairness[0], four_fifths=verdict),))
    found_out = [
        changed(world, "calibration", lambda card: replace(card, calibration=None)),
        changed(world, "evaluation", lambda card: replace(card, versus_trivial=None)),
        changed(world, "leakage", lambda card: replace(card, overlap_days=3)),
        changed(world, "fairness", lambda card: fairness(card, "fails")),
    ]
    assert found_out == ["gap", "partly", "partly", "gap"]


def test_a_record_that_is_gone_is_a_gap_and_no_crash(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, without={"checked"})
    world.decide(Action.QUARANTINE, "tx", evidence={"contract": digest_bytes(b"gone")})
    world.decide(Action.ASSESS, "other", evidence={"assessment": digest_bytes(b"gone")})
    assert asked(world, "contracts").status == "gap"
    assert asked(world, "risk").status == "met"
    assert asked(world, "personal_data").status == "gap"


def test_reading_stops_at_the_first_later_entry(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path)
    then = world.now
    with world.reading(then) as past:
        before = (past.size, past.root)
    world.now = then + DAY
    world.decide(Action.TAG, "later")
    world.now = then - DAY
    world.decide(Action.TAG, "written later, dated earlier")
    with world.reading(then) as past:
        assert (past.size, past.root) == before
        assert not past.entries(Action.TAG)


def test_of_what_comes_by_the_thousand_the_newest_is_kept(tmp_path: Path) -> None:
    world = ReportWorld(tmp_path, without=CHAPTERS)
    for environment in ("prod", "staging", "prod"):
        world.now += HOUR
        world.decide(Action.LOG_PREDICTIONS, "churn", environment=environment)
    with world.reading() as past:
        kept = past.entries(Action.LOG_PREDICTIONS)
        assert [(one.index, one.decision.environment) for one in kept] == [(1, "staging"), (2, "prod")]
        assert past.size == 3


statuses = st.lists(st.sampled_from(["met", "partly", "gap", "not applicable"]), max_size=6)


@given(statuses)
def test_a_finding_is_as_good_as_its_worst_point(given_: list[Any]) -> None:
    evidence = found("x", [Point(status, "text") for status in given_], nothing="nothing")
    judged = [status for status in given_ if status != "not applicable"]
    if not given_:
        assert (evidence.status, evidence.points[0].text) == ("gap", "nothing")
    elif not judged:
        assert evidence.status == "not applicable"
    else:
        order = ["met", "partly", "gap"]
        assert evidence.status == max(judged, key=order.index)
        assert evidence.points[0].status == evidence.status


def test_links_name_the_records_of_their_entry(whole: ReportWorld) -> None:
    with whole.reading() as past:
        evidence = ask("risk", past)
        [index] = evidence.points[0].entries
        entry = next(one for one in past.entries(Action.ASSESS) if one.index == index)
        assessment, _ = past.assessments["churn"]
    assert entry.decision.evidence == {"assessment": digest_of(assessment)}
