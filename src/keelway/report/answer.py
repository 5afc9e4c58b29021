"""Answers every control of a framework from the ledger as it was at a time.

A control is met when every finder is, and partly met when some are. What a person has to attach makes a control partly
met at best until it is attached; a control without finders is a gap until then. A control that does not apply says why.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from keelway.core import Action, digest_of
from keelway.report.finders import ask
from keelway.report.records import (
    NOT_APPLICABLE,
    AnswerStatus,
    ComplianceReport,
    ControlAnswer,
    ControlAttachment,
    EvidenceLink,
    FoundEvidence,
    Point,
)

if TYPE_CHECKING:
    from keelway.promote import RiskAssessment
    from keelway.report.past import Past, PastEntry
    from keelway.report.records import Control, Framework

SENSITIVE = ("personal", "special_category", "health", "children")
"""Classes of data that are of persons; financial data may be of firms."""


def compliance_report(framework: Framework, past: Past, *, project: str) -> ComplianceReport:
    """Return how far the controls of a framework are answered."""
    answering = _Answering(framework, past)
    answers = tuple(answering.answer(control) for control in framework.controls)
    statuses: tuple[AnswerStatus, ...] = ("met", "partly", "gap", NOT_APPLICABLE)
    return ComplianceReport(
        project=project,
        framework=framework.name,
        title=framework.title,
        source=framework.source,
        framework_digest=framework.digest,
        at=past.at,
        ledger_size=past.size,
        ledger_root=past.root,
        models=past.models,
        counts={status: sum(one.status == status for one in answers) for status in statuses},
        answers=answers,
    )


class _Answering:
    """Answers the controls of one framework; every finder is asked once."""

    def __init__(self, framework: Framework, past: Past) -> None:
        self._past = past
        self._asked: dict[str, FoundEvidence] = {}
        ends = [entry for entry in (past.first, past.last) if entry is not None]
        self._by_index = {entry.index: entry for entry in [*past.entries(*Action), *ends]}
        self._attached: dict[str, list[tuple[ControlAttachment, PastEntry]]] = defaultdict(list)
        for entry in past.entries(Action.CHECK, allowed=True):
            attachment = past.record(ControlAttachment, entry.decision.evidence.get("attachment"))
            if attachment is not None and attachment.framework == framework.name:
                self._attached[attachment.control].insert(0, (attachment, entry))

    def answer(self, control: Control) -> ControlAnswer:
        """Return how far one control is answered."""
        exempt = _exempt(control, self._past)
        if exempt is not None:
            return self._made(control, NOT_APPLICABLE, exempt.text, (), exempt.entries)
        found = tuple(self._ask(name) for name in control.finders)
        status, reason = _status(control, found, [one for one, _ in self._attached[control.control_id]], self._past)
        shown = [index for each in found for point in each.points for index in point.entries]
        return self._made(control, status, reason, found, shown)

    def _ask(self, name: str) -> FoundEvidence:
        if name not in self._asked:
            self._asked[name] = ask(name, self._past)
        return self._asked[name]

    def _made(
        self,
        control: Control,
        status: AnswerStatus,
        reason: str,
        found: tuple[FoundEvidence, ...],
        entries: tuple[int, ...] | list[int],
    ) -> ControlAnswer:
        attached = self._attached[control.control_id]
        wanted = sorted({*entries, *(entry.index for _, entry in attached)})
        links = tuple(_link(self._by_index[index]) for index in wanted)
        return ControlAnswer(control, status, reason, found, tuple(one for one, _ in attached), links)


def _status(
    control: Control, found: tuple[FoundEvidence, ...], attached: list[ControlAttachment], past: Past
) -> tuple[AnswerStatus, str]:
    """Return a control's status and why, from what finders found and people attached."""
    parts = [each.status for each in found if each.status != NOT_APPLICABLE]
    reasons = [point.text for each in found for point in each.points if point.status in ("gap", "partly")][:3]
    if control.attach:
        valid = [one for one in attached if one.valid_until is None or past.at < one.valid_until]
        if valid:
            parts.append("met")
            reasons = reasons or [f"attached: {valid[0].name}"]
        elif attached:
            parts.append("partly")
            reasons.insert(0, f"what was attached ({attached[0].name}) is valid no more")
        else:
            parts.append("gap")
            reasons.insert(0, f"a person has to attach: {control.attach}")
    if not parts:
        return NOT_APPLICABLE, "; ".join(point.text for each in found for point in each.points)[:300]
    if len(set(parts)) == 1:
        return parts[0], "; ".join(reasons) or "every finder found its evidence"
    return "partly", "; ".join(reasons)


def _exempt(control: Control, past: Past) -> Point | None:
    """Return why a control does not apply, or None; what nobody assessed, or not since its review, makes it apply."""
    assessed = _holding(past)
    if control.applies == "always" or not assessed:
        return None
    entries = tuple(entry.index for _, entry in assessed)
    if control.applies == "high_risk":
        if any(assessment.tier in ("high", "unacceptable") for assessment, _ in assessed):
            return None
        return Point(NOT_APPLICABLE, "every model is assessed below high risk", entries)
    classes = {each for assessment, _ in assessed for each in assessment.data_classes}
    if control.applies == "personal_data":
        from keelway.report.finders.data import contracts_of

        named = any(contract.pii_columns for contract, _ in contracts_of(past).values())
        if named or classes & set(SENSITIVE):
            return None
        return Point(
            NOT_APPLICABLE, "no model is assessed to use personal data, and no contract names persons", entries
        )
    return None if "health" in classes else Point(NOT_APPLICABLE, "no model is assessed to use health data", entries)


def _holding(past: Past) -> list[tuple[RiskAssessment, PastEntry]]:
    """Return the assessments of all models; none where one is missing, or stale."""
    found = [past.assessments[model] for model in past.models if model in past.assessments]
    whole = len(found) == len(past.models) and all(past.at < assessment.review_by for assessment, _ in found)
    return found if whole else []


def _link(entry: PastEntry) -> EvidenceLink:
    decision = entry.decision
    return EvidenceLink(
        entry=entry.index,
        decision=digest_of(decision),
        action=decision.action,
        subject=decision.subject,
        principal=decision.principal,
        at=decision.at,
        allowed=decision.allowed,
        records=decision.evidence,
    )
