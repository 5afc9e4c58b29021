"""Risk tiers follow from declared answers by rules that name their article; an assessment is bound to the answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import Action, PrincipalId, digest_of, parse_json
from keelway.engines.sql import SqlState
from keelway.errors import IdentityError
from keelway.identity import Principal
from keelway.ledger import decisions
from keelway.project import AnnexIII, DataClass, Exemption, Prohibited, Risk, Transparency
from keelway.promote import TIERS, assess_risk, newest_assessment, risk_evidence, tier_by_rules, tier_of
from keelway.testing.door import DoorWorld

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLGA = Principal(PrincipalId("user:olga"), ("risk-owner",))
ANA = Principal(PrincipalId("user:ana"), ("data-scientist", "deployer"))


def risk(**answers: Any) -> Risk:
    given_: dict[str, Any] = {
        "owner": "user:olga",
        "prohibited": (),
        "product_safety": False,
        "annex_iii": (),
        "profiles_persons": False,
        "transparency": (),
        "affected": ("customers",),
        "severity": "limited",
        "reversibility": "easy",
        "scale": "hundreds",
        "data": (),
        "oversight": "decides",
        "oversight_how": "A person decides.",
    }
    return Risk(**given_ | answers)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SqlState]:
    made = SqlState(f"sqlite:///{tmp_path / 'state.db'}")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("answers", "tier", "reference"),
    [
        ({}, "minimal", "Article 95"),
        *(({"prohibited": (each,)}, "unacceptable", f"Article 5(1)({letter})")
          for each, letter in zip(get_args(Prohibited), "abcdefgh", strict=True)),
        *(({"annex_iii": (each,)}, "high", f"Article 6(2), Annex III, point {point}")
          for point, each in enumerate(get_args(AnnexIII), start=1)),
        *(({"transparency": (each,)}, "limited", f"Article 50({number})")
          for number, each in enumerate(get_args(Transparency), start=1)),
        *(({"annex_iii": ("education",), "exemption": each}, "limited", f"Article 6(3)({letter}) and 6(4)")
          for each, letter in zip(get_args(Exemption)[1:], "abcd", strict=True)),
        ({"product_safety": True}, "high", "Article 6(1)"),
        ({"annex_iii": ("education",), "exemption": "narrow_task", "profiles_persons": True}, "high",
         "Article 6(3), Annex III, point 3"),
        ({"severity": "critical"}, "high", "house"),
        ({"severity": "critical", "affected": ()}, "minimal", "Article 95"),
        ({"severity": "serious", "reversibility": "irreversible"}, "high", "house"),
        ({"severity": "serious", "oversight": "none"}, "high", "house"),
        ({"severity": "serious"}, "limited", "house"),
        ({"data": ("health",)}, "limited", "house"),
        ({"data": ("personal", "financial"), "profiles_persons": True}, "minimal", "Article 95"),
    ],
    ids=str,
)  # fmt: skip
def test_a_tier_names_the_article_it_rests_on(answers: dict[str, Any], tier: str, reference: str) -> None:
    found, reasons = tier_by_rules(risk(**answers))
    assert (found, reasons[0].tier, reasons[0].reference) == (tier, tier, reference)


def test_every_reason_is_told_and_the_worst_is_first() -> None:
    tier, reasons = tier_by_rules(
        risk(
            prohibited=("social_scoring",), annex_iii=("employment",), transparency=("deep_fakes",), data=("children",)
        )
    )
    assert tier == "unacceptable"
    assert [one.tier for one in reasons] == ["unacceptable", "high", "limited", "limited"]


answers_to = st.fixed_dictionaries(
    {
        "prohibited": st.sets(st.sampled_from(get_args(Prohibited))),
        "annex_iii": st.sets(st.sampled_from(get_args(AnnexIII))),
        "transparency": st.sets(st.sampled_from(get_args(Transparency))),
        "data": st.sets(st.sampled_from(get_args(DataClass))),
        "product_safety": st.booleans(),
        "severity": st.sampled_from(["negligible", "limited", "serious", "critical"]),
        "reversibility": st.sampled_from(["easy", "hard", "irreversible"]),
        "oversight": st.sampled_from(["decides", "can_stop", "none"]),
    }
)


@given(answers_to, answers_to)
def test_saying_yes_to_more_never_makes_the_tier_milder(one: dict[str, Any], other: dict[str, Any]) -> None:
    sets = ("prohibited", "annex_iii", "transparency", "data")
    more = one | {name: one[name] | other[name] for name in sets} | {
        "product_safety": one["product_safety"] or other["product_safety"]
    }  # fmt: skip
    less, worse = (TIERS.index(tier_by_rules(risk(**answers))[0]) for answers in (one, more))
    assert less <= worse


@given(answers_to)
def test_the_tier_is_that_of_its_worst_reason(answers: dict[str, Any]) -> None:
    tier, reasons = tier_by_rules(risk(**answers))
    assert tier == max((one.tier for one in reasons), key=TIERS.index)
    assert all(one.reference for one in reasons)


def test_without_an_assessment_nothing_is_known(state: SqlState) -> None:
    with state.snapshot() as tx:
        assert tier_of("churn", tx=tx) is None
        found = risk_evidence("churn", tx=tx, now=NOW, declared=digest_of(risk()))
    assert found.pop("data_classes") == []
    assert set(found.values()) == {None}


def test_an_assessment_is_a_decision_of_a_person_and_holds_until_its_review(state: SqlState) -> None:
    declared = risk(annex_iii=("employment",), data=("personal",), review_every="30d")
    made = assess_risk("churn", declared, principal=OLGA, state=state, now=NOW, comment="looked at it")
    assert (made.tier, made.owner, made.review_by) == ("high", "user:olga", NOW + timedelta(days=30))
    with state.snapshot() as tx:
        assert tier_of("churn", tx=tx) == "high"
        assert tier_of("other", tx=tx) is None
        [(_, decision)] = decisions(tx)
        before, due = (
            risk_evidence("churn", tx=tx, now=NOW + timedelta(days=days), declared=digest_of(declared))
            for days in (29, 30)
        )
        assert newest_assessment("churn", tx=tx) == made
    assert (decision.action, decision.principal, decision.comment) == (Action.ASSESS, OLGA.id, "looked at it")
    assert decision.evidence == {"assessment": digest_of(made)}
    assert (before["tier"], before["expired"], before["stale"], before["age_days"]) == ("high", False, False, 29)
    assert (due["tier"], due["expired"], due["assessed_by"]) == ("high", True, OLGA.id)
    assert due["data_classes"] == ["personal"]


def test_other_answers_make_the_assessment_stale(state: SqlState) -> None:
    assess_risk("churn", risk(), principal=OLGA, state=state, now=NOW)
    with state.snapshot() as tx:
        found = {
            declared: risk_evidence("churn", tx=tx, now=NOW, declared=declared)["stale"]
            for declared in (digest_of(risk()), digest_of(risk(scale="millions")), None)
        }
    assert list(found.values()) == [False, True, None]


def test_assessing_the_same_again_changes_nothing_until_it_is_due(state: SqlState) -> None:
    first = assess_risk("churn", risk(), principal=OLGA, state=state, now=NOW)
    again = assess_risk("churn", risk(), principal=OLGA, state=state, now=NOW + timedelta(days=364))
    renewed = assess_risk("churn", risk(), principal=OLGA, state=state, now=NOW + timedelta(days=364), renew=True)
    later = assess_risk("churn", risk(), principal=OLGA, state=state, now=NOW + timedelta(days=3000))
    other = assess_risk("churn", risk(scale="few"), principal=OLGA, state=state, now=NOW + timedelta(days=3001))
    assert again == first
    assert [one.number for one in (first, renewed, later, other)] == [1, 2, 3, 4]
    with state.snapshot() as tx:
        assert len(list(decisions(tx))) == 4


def test_who_only_builds_the_model_does_not_assess_it(state: SqlState) -> None:
    with pytest.raises(IdentityError):
        assess_risk("churn", risk(), principal=ANA, state=state, now=NOW)
    with state.snapshot() as tx:
        assert tier_of("churn", tx=tx) is None
        assert [(told.allowed, told.principal) for _, told in decisions(tx)] == [(False, ANA.id)]


def test_every_combination_of_answers_has_a_tier() -> None:
    harms = product(("negligible", "limited", "serious", "critical"), ("easy", "hard", "irreversible"),
                    ("decides", "can_stop", "none"), ((), ("people",)))  # fmt: skip
    for severity, reversibility, oversight, affected in harms:
        answers = risk(severity=severity, reversibility=reversibility, oversight=oversight, affected=affected)
        assert tier_by_rules(answers)[0] in TIERS
        assert affected or tier_by_rules(answers)[0] == "minimal"


@pytest.mark.parametrize(("declared", "stale"), [("same", False), ("other", True), ("unknown", None)])
def test_the_door_sees_whether_the_assessment_is_of_what_is_declared_now(
    tmp_path: Path, declared: str, stale: bool | None
) -> None:
    world = DoorWorld(tmp_path)
    assess_risk("churn", risk(data=("personal",)), principal=OLGA, state=world.state, now=world.now)
    digests = {"same": digest_of(risk(data=("personal",))), "other": digest_of(risk())}
    world.ruled(approvals=0, risks={"churn": digests[declared]} if declared in digests else {})
    found = parse_json(world.artifacts.get(world.promote().evidence))
    assert (found["risk"]["tier"], found["risk"]["stale"], found["risk"]["data_classes"]) == (
        "minimal",
        stale,
        ["personal"],
    )
    assert found["incidents"]["open"] == 0
    assert set(found["drills"].values()) == {None}
