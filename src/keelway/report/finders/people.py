"""Finders of evidence about people: risk, oversight, approvals, separation of duties, the gate, access, changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from keelway.core import Action
from keelway.report.finders.found import days_before, gap, met, not_applicable, partly
from keelway.report.past import LivePlace, Past, PastEntry

if TYPE_CHECKING:
    from keelway.promote import Admission, RiskAssessment
    from keelway.report.records import Point


def risk(past: Past) -> Iterator[Point]:
    """The risk of every model is assessed by a person, and the assessment is not due for review."""
    for model in past.models:
        if model not in past.assessments:
            yield gap(f"{model}: nobody assessed its risk")
            continue
        assessment, entry = past.assessments[model]
        days = days_before(assessment.assessed_at, past.at)
        yield _while_it_holds(
            f"{model}: tier {assessment.tier} ({assessment.reasons[0].reference}), assessed by {assessment.assessed_by}, "
            f"{days} {'day' if days == 1 else 'days'} old",
            assessment,
            entry,
            past,
        )


def prohibited(past: Past) -> Iterator[Point]:
    """No model that answers is part of a prohibited practice."""
    for model in past.models:
        if model not in past.assessments:
            yield gap(f"{model}: nobody answered whether it is part of a prohibited practice")
            continue
        assessment, entry = past.assessments[model]
        if assessment.tier != "unacceptable":
            yield _while_it_holds(f"{model} is assessed to be part of none", assessment, entry, past)
        elif any(place.model == model for place in past.serving):
            yield gap(f"{model} is assessed to be part of one, and is live", entry)
        else:
            yield partly(f"{model} is assessed to be part of one; it is not live", entry)


def impact(past: Past) -> Iterator[Point]:
    """It is told whom a model affects, how badly, how many, and with which data."""
    for model in past.models:
        if model not in past.assessments:
            yield gap(f"{model}: nobody told whom it affects")
            continue
        assessment, entry = past.assessments[model]
        told = assessment.declared
        affected = ", ".join(told.get("affected", ())) or "nobody"
        data = ", ".join(assessment.data_classes) or "none of the sensitive classes"
        yield _while_it_holds(
            f"{model} affects {affected}: {told.get('severity')} harm at worst, {told.get('reversibility')} to undo, "
            f"{told.get('scale')} of them; data: {data}",
            assessment,
            entry,
            past,
        )


def oversight(past: Past) -> Iterator[Point]:
    """A person decides, or can stop the model, and it is told how."""
    for model in past.models:
        if model not in past.assessments:
            yield gap(f"{model}: nobody told how people oversee it")
            continue
        assessment, entry = past.assessments[model]
        kind = assessment.declared.get("oversight")
        if kind == "none":
            yield gap(f"{model}: nobody oversees it", entry)
        else:
            told = f"{model}: {assessment.declared.get('oversight_how')}"
            yield _while_it_holds(told, assessment, entry, past)


def approvals(past: Past) -> Iterator[Point]:
    """Whatever answers was approved by people, for this version, environment and policy."""
    for place, admission in _admissions(past):
        name = _name(place)
        if admission is None:
            yield gap(f"{name}: its admission is not on record", place.entry)
        elif admission.unsafe is not None:
            yield partly(f"{name} was let in past the gate, with {len(admission.approvals)} approvals", place.entry)
        elif admission.approvals:
            yield met(f"{name} has {len(admission.approvals)} approvals", place.entry, *_answers(past, admission))
        elif admission.rollback:
            yield met(f"{name} came back by a rollback of a version that was let in before", place.entry)
        else:
            yield gap(f"{name} was let in without an approval", place.entry)


def separation(past: Past) -> Iterator[Point]:
    """Nobody who made or asked for a version approved it, and a service moved it."""
    from keelway.promote import Approval, PromotionRequest

    for place, admission in _admissions(past):
        if admission is None:
            yield gap(f"{_name(place)}: its admission is not on record", place.entry)
            continue
        version = past.versions.get(place.version)
        request = past.record(PromotionRequest, admission.request)
        parts = {version[0].author if version else None, request.requested_by if request else None}
        approvers = {
            answer.principal for one in admission.approvals if (answer := past.record(Approval, one)) is not None
        }
        both = sorted(str(one) for one in approvers & parts)
        if both:
            yield gap(f"{_name(place)} was approved by who made or asked for it: {', '.join(both)}", place.entry)
        elif not admission.principal.startswith("sp:"):
            yield partly(f"{_name(place)} was moved by a person, {admission.principal}", place.entry)
        elif approvers:
            told = ", ".join(sorted(map(str, approvers)))
            yield met(f"{_name(place)}: approved by {told}, moved by {admission.principal}", place.entry)
        else:
            yield partly(f"{_name(place)} was moved by {admission.principal}; nobody had to approve it", place.entry)


def gate(past: Past) -> Iterator[Point]:
    """Whatever answers was judged by a policy that is on record, and the policy said yes."""
    for place, admission in _admissions(past):
        if admission is None:
            yield gap(f"{_name(place)}: its admission is not on record", place.entry)
        elif admission.unsafe is not None:
            yield gap(f"{_name(place)} was let in past the gate", place.entry)
        elif admission.verdict.allowed and admission.verdict.rules:
            yield met(f"{_name(place)}: {len(admission.verdict.rules)} rules said yes", place.entry)
        else:
            yield gap(f"{_name(place)}: no rule said yes", place.entry)
    refused = past.entries(Action.PROMOTE, allowed=False)
    if refused:
        yield met(f"{len(refused)} promotions were refused", *refused[-3:])


def changes(past: Past) -> Iterator[Point]:
    """Changes of what answers are asked for and recorded, with who and why."""
    for place in past.serving:
        asked = past.entries(Action.REQUEST, subject=place.entry.decision.subject, allowed=True)
        if asked:
            why = asked[-1].decision.comment or "no reason told"
            yield met(f"{_name(place)} was asked for by {asked[-1].decision.principal}: {why}", asked[-1], place.entry)
        else:
            yield partly(
                f"{_name(place)} is live since {place.entry.decision.at:%Y-%m-%d}; nobody asked first", place.entry
            )


def access(past: Past) -> Iterator[Point]:
    """Every entry names who acted; who may act is a setting that people review."""
    if past.first is None:
        return
    yield met(f"{len(past.principals)} principals acted, each entry names its own", past.first, past.last)
    changed = past.entries(Action.DELEGATE, Action.REVOKE, Action.ROTATE_KEY, allowed=True)
    if changed:
        yield met(f"{len(changed)} delegations, revocations and rotations of keys", *changed[-3:])


def transparency(past: Past) -> Iterator[Point]:
    """It is told of which models people have to be informed."""
    for model in past.models:
        if model not in past.assessments:
            yield gap(f"{model}: nobody answered of what people have to be told")
            continue
        assessment, entry = past.assessments[model]
        duties = assessment.declared.get("transparency") or ()
        if duties:
            yield partly(f"{model}: people have to be told ({', '.join(duties)}); show how", entry)
        elif past.at >= assessment.review_by:
            yield _while_it_holds(f"{model} fell under no such duty", assessment, entry, past)
        else:
            yield not_applicable(f"{model} falls under no such duty", entry)


def _while_it_holds(text: str, assessment: RiskAssessment, entry: PastEntry, past: Past) -> Point:
    """Return that an assessment says something; half of it once the assessment is due for review."""
    if past.at < assessment.review_by:
        return met(text, entry)
    days = days_before(assessment.review_by, past.at)
    return partly(f"{text.rstrip('.')}; the assessment is stale: its review is {days} days overdue", entry)


def _admissions(past: Past) -> Iterator[tuple[LivePlace, Admission | None]]:
    for place in past.serving:
        yield place, past.admission(place)


def _name(place: LivePlace) -> str:
    return f"{place.entry.decision.subject} in {place.environment}"


def _answers(past: Past, admission: Admission) -> list[PastEntry]:
    """Return the entries of the approvals that counted."""
    return [
        entry
        for entry in past.entries(Action.APPROVE)
        if entry.decision.evidence.get("approval") in admission.approvals
    ]
