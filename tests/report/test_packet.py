"""The governance packet: five papers told from facts, and every fact that is missing told as a gap."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelway.core import PolicySet, PrincipalId, Verdict, digest_bytes
from keelway.project import ContingencyPlan, FallbackPlan, Risk
from keelway.promote import (
    Drill,
    EnvironmentRules,
    Freeze,
    Incident,
    RiskAssessment,
    tier_by_rules,
    view_of,
)
from keelway.report import (
    ComplianceReport,
    Control,
    ControlAnswer,
    PacketFacts,
    TablePart,
    TextPart,
    governance_packet,
    report_markdown,
)
from keelway.testing.reports import ANSWERS

NOW = datetime(2026, 3, 1, tzinfo=UTC)
D = digest_bytes(b"x")
RULES = EnvironmentRules(
    "prod",
    PolicySet("policies/production", {"gate.rego": "..."}),
    {"approver": 1, "risk-owner": 2},
    service_principal=True,
    after="staging",
    approval_expires=timedelta(days=14),
    checklists={"high": ("Read the card", "Call the owner"), "minimal": ("Look at it",)},
    freezes=(Freeze(NOW, NOW + timedelta(days=3), "year end"),),
)
TIER, REASONS = tier_by_rules(Risk(**ANSWERS))
ASSESSED = RiskAssessment(
    "churn", 1, D, dict(ANSWERS), TIER, REASONS, ("personal",), "user:olga", PrincipalId("user:eve"), NOW,
    NOW + timedelta(days=365),
)  # fmt: skip
DRILL = Drill("churn", "prod", 1, "rollback", True, NOW, NOW, PrincipalId("sp:ci"), 12.0, ("user:omar",))
INCIDENT = view_of(
    Incident(4, "Wrong unit", "major", "churn", "prod", {}, {}, NOW, NOW, PrincipalId("user:ana")), [], now=NOW
)
WHOLE = PacketFacts(
    project="shop",
    model="churn",
    rules=RULES,
    path=("staging", "prod"),
    at=NOW,
    people={
        "data-scientist": ("user:ana",),
        "approver": ("user:ben",),
        "risk-owner": ("user:eve",),
        "deployer": ("sp:ci", "user:dan"),
    },
    verdict=Verdict(True, (), ("auc floor", "signed"), D, D),
    newest="churn:3",
    live="churn:2",
    previous="churn:1",
    assessment=ASSESSED,
    risk_state="assessed",
    fallback=FallbackPlan("prod", call=("user:omar",), by_hand="Rank by recency."),
    monitor=ContingencyPlan("watch", on_quality=("alert",)),
    drills=(DRILL,),
    incidents=(),
    compliance=(),
    purpose="Who to call",
)


def papers(**changed: Any) -> dict[str, list[TextPart | TablePart]]:
    """Return the parts of each paper, by the first word of its heading."""
    found: dict[str, list[TextPart | TablePart]] = {"": []}
    name = ""
    for part in governance_packet(replace(WHOLE, **changed)).parts:
        if isinstance(part, TextPart) and part.kind == "heading":
            name = part.text.partition(". ")[2]
            found[name] = []
        found[name].append(part)
    return found


def gaps(**changed: Any) -> list[str]:
    parts = governance_packet(replace(WHOLE, **changed)).parts
    return [part.text for part in parts if isinstance(part, TextPart) and part.kind == "bad"]


def words(parts: list[TextPart | TablePart]) -> str:
    texts = [
        part.text if isinstance(part, TextPart) else "\n".join(" | ".join(row) for row in part.rows) for part in parts
    ]
    return "\n".join(texts)


def test_there_are_five_papers_and_a_whole_project_has_no_gap() -> None:
    assert list(papers()) == [
        "", "Approval workflow", "Incident response plan", "Compliance checklist", "Rollback procedure",
        "Retrospective template",
    ]  # fmt: skip
    assert gaps() == []


def test_the_same_facts_give_the_same_packet() -> None:
    assert governance_packet(WHOLE) == governance_packet(replace(WHOLE))
    assert report_markdown(governance_packet(WHOLE)) == report_markdown(governance_packet(WHOLE))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"purpose": " "}, "No purpose is told"),
        ({"assessment": None, "risk_state": "not assessed"}, "nobody assessed it"),
        ({"risk_state": "stale"}, "The assessment is stale"),
        ({"risk_state": "due"}, "The assessment is due"),
        ({"rules": replace(RULES, approvals=0)}, "Nobody has to approve"),
        ({"verdict": None, "newest": ""}, "No version is registered"),
        ({"verdict": Verdict(False, ("auc is low",), ("auc floor",), D, D)}, "auc is low"),
        ({"verdict": Verdict(False, ("no rule",), (), D, D)}, "The policy asks no rule"),
        ({"fallback": None}, "Nobody is called"),
        ({"fallback": FallbackPlan("prod", call=("user:omar",))}, "What is done without the model is not told"),
        ({"monitor": None}, "The model is not monitored"),
        ({"incidents": (INCIDENT,)}, "4 (major)"),
        ({"previous": ""}, "There is no earlier version"),
        ({"drills": ()}, "Never tried out"),
        ({"drills": (replace(DRILL, passed=False, findings="too slow"),)}, "rollback: failed, 12 s too slow"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_missing_is_a_gap(changed: dict[str, Any], told: str) -> None:
    assert any(told in gap for gap in gaps(**changed)), gaps(**changed)


def test_the_workflow_names_roles_people_and_commands() -> None:
    parts = papers()["Approval workflow"]
    [table] = [part for part in parts if isinstance(part, TablePart)]
    assert [(row[0], row[2]) for row in table.rows] == [
        ("ask", "user:ana"),
        ("approve (1 of role approver)", "user:ben"),
        ("approve (2 of role risk-owner)", "user:eve"),
        ("let in", "sp:ci"),
    ]
    assert table.rows[-1][3] == "keelway promote churn:3 --to prod"
    told = words(parts)
    for said in (
        "staging -> prod",
        "expires after 14 days",
        "Change freeze",
        "year end",
        "rule: auc floor",
        "it says now: yes",
    ):
        assert said in told


def test_a_role_that_nobody_has_is_red() -> None:
    [table] = [
        part for part in papers(people={"deployer": ("user:dan",)})["Approval workflow"] if isinstance(part, TablePart)
    ]
    assert [row[2] for row in table.rows] == ["nobody", "nobody", "nobody", "nobody"]
    assert table.bad == {0, 1, 2, 3}


def test_where_people_may_move_it_they_are_named() -> None:
    parts = papers(rules=replace(RULES, service_principal=False))["Approval workflow"]
    assert "sp:ci, user:dan" in words(parts)


def test_the_response_plan_tells_whom_to_call_and_what_the_monitor_does() -> None:
    told = words(papers()["Incident response plan"])
    for said in (
        "Call, in this order: user:omar.",
        "By hand: Rank by recency.",
        "on drift alert, retrain; on lost quality alert",
    ):
        assert said in told
    assert "May close: user:ben, user:eve." in told


def test_the_checklist_is_that_of_the_tier_and_of_every_tier_where_nobody_assessed() -> None:
    assert "[ ] Call the owner" in words(papers()["Compliance checklist"])
    assert "Look at it" not in words(papers()["Compliance checklist"])
    every = words(papers(assessment=None, risk_state="not assessed")["Compliance checklist"])
    assert "Call the owner" in every
    assert "Look at it" in every
    none = words(papers(rules=replace(RULES, checklists={}))["Compliance checklist"])
    assert "asks for nothing at this tier" in none


@pytest.mark.parametrize(
    ("status", "line", "kind"),
    [
        ("met", "[x] Article 1: Asked", "item"),
        ("partly", "[ ] Article 1: Asked. half of it", "item"),
        ("gap", "[ ] Article 1: Asked. half of it", "bad"),
        ("not applicable", "[-] Article 1: Asked", "item"),
    ],
)
def test_controls_are_ticked_as_they_are_answered(status: Any, line: str, kind: str) -> None:
    answer = ControlAnswer(Control("art-1", "Article 1", "Asked", ("risk",)), status, "half of it", (), (), ())
    report = ComplianceReport("shop", "law", "The Law", "source", D, NOW, 1, "00", ("churn",), {}, (answer,))
    parts = papers(compliance=(report,))["Compliance checklist"]
    assert TextPart(kind, line) in parts  # type: ignore[arg-type]
    assert TextPart("subheading", "The Law") in parts


def test_the_way_back_names_the_version_it_leads_to() -> None:
    told = words(papers()["Rollback procedure"])
    assert "live is churn:2" in told
    assert "Expect churn:1 to answer" in told
    assert "keelway rollback churn --env prod" in told
    assert "2026-03-01 rollback: passed, 12 s" in told
    named = FallbackPlan("prod", call=("user:omar",), version="churn:7")
    assert "names churn:7 instead" in words(papers(fallback=named)["Rollback procedure"])


def test_at_most_five_drills_are_listed() -> None:
    many = tuple(replace(DRILL, number=number) for number in range(9))
    assert words(papers(drills=many)["Rollback procedure"]).count("rollback: passed") == 5


def test_the_retrospective_asks_and_names_the_owner() -> None:
    told = words(papers()["Retrospective template"])
    assert "Moderated by: user:olga." in told
    assert told.count("?") >= 6
    assert "Taking part: sp:ci, user:ana, user:ben, user:dan, user:eve." in told
    assert "no owner is told" in words(papers(assessment=None)["Retrospective template"])
