"""The governance packet of a model in an environment: five papers that people sign, filled from the project's real state.

Approval workflow, incident response plan, compliance checklist, rollback procedure and retrospective template. What the
project does not say stands in the paper as a gap, in red; nothing is made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import time_text
from keelway.report.document import PrintedReport, TablePart, TextPart

if TYPE_CHECKING:
    from keelway.core import Verdict
    from keelway.project import ContingencyPlan, FallbackPlan
    from keelway.promote import Drill, EnvironmentRules, IncidentView, RiskAssessment
    from keelway.report.records import ComplianceReport


@dataclass(frozen=True, slots=True)
class PacketFacts:
    """What a packet is made of.

    Attributes:
        path: The environments that come before, in order, and this one.
        people: Principals by role, those that are not disabled.
        verdict: What the gate says of the newest version now; None without a version.
        newest: The newest version's name, or empty.
        live: The version that is live there, or empty.
        previous: The version that a rollback leads to, or empty.
        monitor: What the monitor does by itself; None where the model is not watched.
        checklist: What has to be done, by tier.
        compliance: The frameworks as they are answered now.
        purpose: What the model's card says it is for.
    """

    project: str
    model: str
    rules: EnvironmentRules
    path: tuple[str, ...]
    at: datetime
    people: Mapping[str, tuple[str, ...]]
    verdict: Verdict | None
    newest: str
    live: str
    previous: str
    assessment: RiskAssessment | None
    risk_state: str
    fallback: FallbackPlan | None
    monitor: ContingencyPlan | None
    drills: tuple[Drill, ...]
    incidents: tuple[IncidentView, ...]
    compliance: tuple[ComplianceReport, ...]
    purpose: str

    @property
    def checklist(self) -> Mapping[str, tuple[str, ...]]:
        """What has to be done, by tier."""
        return self.rules.checklists


def governance_packet(facts: PacketFacts) -> PrintedReport:
    """Return the packet; the same facts give the same packet."""
    parts = [part for paper in _PAPERS for part in paper(facts)]
    title = f"Governance packet: {facts.model} in {facts.rules.name}"
    footer = f"{facts.project}, {facts.model} in {facts.rules.name}, {time_text(facts.at)}"
    return PrintedReport(title, footer, tuple(parts))


def _summary(facts: PacketFacts) -> Iterator[TextPart | TablePart]:
    yield _text(f"Project {facts.project}, as of {time_text(facts.at)}.")
    yield _said(f"Purpose: {facts.purpose}.", facts.purpose, "No purpose is told: Model(card=Card(intended_use=...)).")
    live = f"Live: {facts.live}." if facts.live else "Live: nothing yet."
    yield _text(f"{live} Newest version: {facts.newest or 'none is registered'}.")
    one = facts.assessment
    if one is None:
        yield _bad(f"Risk: nobody assessed it (keelway risk assess {facts.model}).")
    else:
        told = (
            f"Risk: tier {one.tier} ({one.reasons[0].reference}), owner {one.owner}, assessed by {one.assessed_by} on "
        )
        told += f"{one.assessed_at:%Y-%m-%d}, review by {one.review_by:%Y-%m-%d}."
        yield _text(told)
        if facts.risk_state != "assessed":
            yield _bad(f"The assessment is {facts.risk_state}: assess again before you rely on it.")


def _workflow(facts: PacketFacts) -> Iterator[TextPart | TablePart]:
    rules = facts.rules
    yield TextPart("heading", "1. Approval workflow")
    yield _text(f"The way to {rules.name}: {' -> '.join(facts.path)}.")
    rows = [
        ("ask", "data-scientist, deployer, admin", _names(facts, "data-scientist"), f"keelway promote {_version(facts)} --to {rules.name} --request"),
        *(
            (f"approve ({number} of role {role})", role, _names(facts, role), f"keelway approve {_version(facts)} --to {rules.name}")
            for role, number in rules.seats.items()
        ),
        ("let in", "deployer" + (", a service" if rules.service_principal else ""), _names(facts, "deployer", service=rules.service_principal), f"keelway promote {_version(facts)} --to {rules.name}"),
    ]  # fmt: skip
    bad = frozenset(number for number, row in enumerate(rows) if row[2] == "nobody")
    yield TablePart(("step", "role", "who", "command"), tuple(rows), (0.2, 0.2, 0.22, 0.38), bad)
    if not rules.seats:
        yield _bad(f"Nobody has to approve: environments.{rules.name}.approvals is 0.")
    yield _text("Author, trainer and requester cannot approve; an approval binds version, environment and policy.")
    if rules.approval_expires is not None:
        yield _text(f"An approval expires after {rules.approval_expires}.")
    for freeze in rules.freezes:
        yield _item(f"Change freeze from {time_text(freeze.begins)} to {time_text(freeze.ends)}: {freeze.reason}")
    yield TextPart("subheading", f"The gate ({rules.policy.name})")
    if facts.verdict is None:
        yield _bad("No version is registered, so the rules were not asked.")
        return
    for rule in facts.verdict.rules:
        yield _item(f"rule: {rule}")
    if not facts.verdict.rules:
        yield _bad("The policy asks no rule, so it lets nothing in.")
    said = "yes" if facts.verdict.allowed else "no"
    yield _text(f"Of {facts.newest} it says now: {said}.")
    for reason in facts.verdict.reasons:
        yield _bad(reason)


def _response(facts: PacketFacts) -> Iterator[TextPart | TablePart]:
    yield TextPart("heading", "2. Incident response plan")
    plan = facts.fallback
    if plan is None:
        yield _bad(f"Nobody is called: the model declares no FallbackPlan({facts.rules.name!r}, call=...).")
    else:
        yield _text(f"Call, in this order: {', '.join(plan.call)}.")
        yield _said(f"By hand: {plan.by_hand}", plan.by_hand, "What is done without the model is not told (by_hand).")
    yield _item(
        f'Open it: keelway incidents open "WHAT HAPPENED" --model {facts.model} --env {facts.rules.name} --severity major'
    )
    yield _item("Bind it to what it bears on: --decision ENTRY, --prediction ID (keelway audit, the log of answers)")
    yield _item("Stop the harm: section 4, Rollback procedure")
    yield _item(
        "Tell authorities in time: GDPR Article 33 within 72 hours; EU AI Act Article 73 within 15 days (2 or 10 for the worst)"
    )
    yield _item(
        "Close it with root cause and corrective action: keelway incidents close NUMBER --root-cause ... --corrective-action ..."
    )
    yield _text(f"May close: {', '.join(_all(facts, 'risk-owner', 'approver', 'auditor', 'admin')) or 'nobody'}.")
    if facts.monitor is not None:
        told = ", ".join(facts.monitor.on_drift) or "nothing", ", ".join(facts.monitor.on_quality) or "nothing"
        yield _text(
            f"The monitor does by itself: on drift {told[0]}; on lost quality {told[1]} (plan {facts.monitor.name})."
        )
    else:
        yield _bad("The model is not monitored: nobody is told when it gets worse.")
    yield TextPart("subheading", "Incidents that are open")
    for view in facts.incidents:
        yield _bad(
            f"{view.incident.number} ({view.severity}), since {time_text(view.incident.aware_at)}: {view.incident.title}"
        )
    if not facts.incidents:
        yield _text("None.")


def _checklist(facts: PacketFacts) -> Iterator[TextPart | TablePart]:
    yield TextPart("heading", "3. Compliance checklist")
    tier = facts.assessment.tier if facts.assessment else None
    items = (
        facts.checklist.get(tier, ())
        if tier
        else tuple(dict.fromkeys(i for own in facts.checklist.values() for i in own))
    )
    for item in items:
        yield _item(f"[ ] {item}")
    if not items:
        yield _text(f"environments.{facts.rules.name}.checklists asks for nothing at this tier.")
    for report in facts.compliance:
        yield TextPart("subheading", report.title)
        for one in report.answers:
            mark = {"met": "[x]", "not applicable": "[-]"}.get(one.status, "[ ]")
            line = f"{mark} {one.control.reference}: {one.control.title}"
            yield (
                _bad(f"{line}. {one.reason}")
                if one.status == "gap"
                else _item(line if one.status != "partly" else f"{line}. {one.reason}")
            )


def _way_back(facts: PacketFacts) -> Iterator[TextPart | TablePart]:
    rules, plan = facts.rules, facts.fallback
    yield TextPart("heading", "4. Rollback procedure")
    back = facts.previous or "the version before"
    if not facts.previous:
        yield _bad("There is no earlier version that was let in here: the only way back is by hand.")
    yield _item(f"See what answers: keelway status; live is {facts.live or 'nothing'}")
    yield _item(f"Send traffic back: keelway rollback {facts.model} --env {rules.name}")
    yield _item(f"Expect {back} to answer; check it: keelway status, keelway doctor")
    if plan is not None and plan.version not in ("previous", facts.previous):
        yield _item(f"The fallback plan names {plan.version} instead")
    yield _said(
        f"Without any model: {plan.by_hand if plan else ''}",
        plan.by_hand if plan else "",
        "What is done by hand is not told.",
    )
    who = _names(facts, "deployer", service=rules.service_principal)
    yield _text(f"May do it: {who}.")
    yield TextPart("subheading", "Drills")
    for drill in facts.drills[:5]:
        took = f", {drill.seconds:g} s" if drill.seconds is not None else ""
        line = f"{drill.held_at:%Y-%m-%d} {drill.kind}: {'passed' if drill.passed else 'failed'}{took} {drill.findings}".rstrip()
        yield _item(line) if drill.passed else _bad(line)
    if not facts.drills:
        yield _bad(f"Never tried out: keelway drill record {facts.model} --env {rules.name} --kind rollback --passed")


def _retrospective(facts: PacketFacts) -> Iterator[TextPart | TablePart]:
    yield TextPart("heading", "5. Retrospective template")
    who = facts.assessment.owner if facts.assessment else "nobody: no owner is told"
    yield _text(f"Model {facts.model} in {facts.rules.name}, live {facts.live or 'nothing'}. Moderated by: {who}.")
    for question in (
        "What happened, when, and who noticed it how? (keelway incidents show NUMBER)",
        "Which decisions of the ledger let it happen? (keelway audit --subject ...)",
        "Which rule would have refused it? (keelway policy replay)",
        "Was the harm stopped as fast as the last drill says? What took longest?",
        "Whom did it harm, and were they told?",
        "What changes: contract, feature, test, policy, plan? Who does it until when?",
    ):
        yield TextPart("subheading", question)
        yield _text("...")
    yield _text(
        f"Taking part: {', '.join(_all(facts, 'data-scientist', 'risk-owner', 'approver', 'deployer')) or 'nobody'}."
    )


_PAPERS = (_summary, _workflow, _response, _checklist, _way_back, _retrospective)


def _text(text: str) -> TextPart:
    return TextPart("text", text)


def _item(text: str) -> TextPart:
    return TextPart("item", text)


def _bad(text: str) -> TextPart:
    return TextPart("bad", text)


def _said(text: str, given: str, missing: str) -> TextPart:
    """Return what is said, or in red that it is not."""
    return _text(text) if given.strip() else _bad(missing)


def _version(facts: PacketFacts) -> str:
    return facts.newest or f"{facts.model}:NUMBER"


def _all(facts: PacketFacts, *roles: str) -> list[str]:
    return sorted({name for role in roles for name in facts.people.get(role, ())})


def _names(facts: PacketFacts, role: str, *, service: bool = False) -> str:
    names = [name for name in facts.people.get(role, ()) if not service or name.startswith("sp:")]
    return ", ".join(names) or "nobody"
