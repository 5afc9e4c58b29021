"""Finders of evidence about running models: logs, monitoring, outcomes, incidents, drills, rollback, the ledger itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from keelway.core import Action, digest_of
from keelway.report.finders.found import days_before, gap, met, not_applicable, partly
from keelway.report.past import Past, PastEntry

if TYPE_CHECKING:
    from keelway.promote import Drill, IncidentView
    from keelway.report.records import Point

MONITORED_WITHIN_DAYS = 35
"""A model that answers is looked at once a month."""
DRILLED_WITHIN_DAYS = 180
"""How long a drill counts whose plan did not say when the next one is due."""


def audit_log(past: Past) -> Iterator[Point]:
    """Every decision is an entry of an append-only log with a root that can be proven."""
    if past.first is None:
        return
    yield met(f"{past.size} entries with root {past.root}", past.first, past.last)


def prediction_log(past: Past) -> Iterator[Point]:
    """Answers are logged, and the log is sealed into the ledger."""
    logged = {(each.decision.subject, each.decision.environment): each for each in past.entries(Action.LOG_PREDICTIONS)}
    for place in past.serving:
        entry = logged.get((place.model, place.environment))
        if entry is not None:
            when = f"{entry.decision.at:%Y-%m-%d}"
            yield met(f"{place.model} in {place.environment}: answers are sealed, the last on {when}", entry)
        elif place.served:
            yield gap(f"{place.model} in {place.environment} has traffic, and no answer was ever sealed", place.entry)
        else:
            yield not_applicable(f"{place.model} in {place.environment} has no traffic", place.entry)


def monitoring(past: Past) -> Iterator[Point]:
    """What answers is watched for drift and for lost quality, and what was found is acted on."""
    looked = {(each.decision.subject, each.decision.environment): each for each in past.entries(Action.MONITOR)}
    for place in past.serving:
        entry = looked.get((place.model, place.environment))
        name = f"{place.model} in {place.environment}"
        if entry is None:
            yield gap(f"{name} was never monitored", place.entry)
        elif days_before(entry.decision.at, past.at) > MONITORED_WITHIN_DAYS:
            yield partly(f"{name} was last monitored {days_before(entry.decision.at, past.at)} days before", entry)
        elif entry.decision.allowed:
            yield met(f"{name} was last monitored on {entry.decision.at:%Y-%m-%d}: {entry.decision.comment}", entry)
        else:
            yield partly(f"{name} left its bounds: {'; '.join(entry.decision.reasons)[:200]}", entry)
    acted = past.entries(Action.RETRAIN)
    if acted:
        yield met(f"{len(acted)} retrainings were asked for or decided", *acted[-3:])


def outcomes(past: Past) -> Iterator[Point]:
    """What really happened is recorded, so that quality can be measured."""
    recorded = past.entries(Action.LOG_OUTCOMES)
    for entry in recorded:
        yield met(f"outcomes of {entry.decision.subject} are recorded, the last on {entry.decision.at:%Y-%m-%d}", entry)
    if not recorded and not past.serving:
        yield not_applicable("nothing is live")


def incidents(past: Past) -> Iterator[Point]:
    """What goes wrong is recorded, followed to its cause, and closed."""
    views = _incidents(past)
    for view, entry in views:
        one = view.incident
        told = f"incident {one.number} ({view.severity}): {one.title}"
        if view.closed_at is not None:
            yield met(f"{told}; closed on {view.closed_at:%Y-%m-%d}: {view.root_cause}", entry)
        else:
            yield partly(f"{told}; open since {one.opened_at:%Y-%m-%d}", entry)
    called = [entry for drill, entry in _drills(past) if drill.kind == "call" and drill.passed]
    if called:
        yield met("calling who has to be called was tried out", called[-1])
    elif not views:
        yield partly("no incident was opened, and nobody tried out who is called")


def notifications(past: Past) -> Iterator[Point]:
    """Authorities and persons are told of incidents in time."""
    views = _incidents(past)
    for view, entry in views:
        for state in view.duties:
            told = f"incident {view.incident.number}: {state.duty.whom} ({state.duty.reference})"
            if state.late:
                yield gap(f"{told}: {'told late' if state.done_at else 'not told in time'}", entry)
            elif state.open:
                due = f" by {state.duty.due_at:%Y-%m-%d %H:%M} UTC" if state.duty.due_at else " without undue delay"
                yield partly(f"{told}: to be told{due}", entry)
            else:
                yield met(f"{told}: {f'not needed: {state.waived}' if state.waived else 'told in time'}", entry)
    if not any(view.duties for view, _ in views):
        yield not_applicable("no incident had to be told to anybody")


def drills(past: Past) -> Iterator[Point]:
    """The fallback plan of whatever answers was tried out, and worked."""
    newest = {(drill.model, drill.environment): (drill, entry) for drill, entry in _drills(past)}
    passed = {(drill.model, drill.environment): (drill, entry) for drill, entry in _drills(past) if drill.passed}
    for place in past.serving:
        key, name = (place.model, place.environment), f"{place.model} in {place.environment}"
        if key not in newest:
            yield gap(f"{name}: no drill was ever held", place.entry)
        elif key not in passed:
            yield gap(f"{name}: every drill failed: {newest[key][0].findings}", newest[key][1])
        else:
            yield _drilled(name, *passed[key], past)


def rollback(past: Past) -> Iterator[Point]:
    """Going back to an earlier version was done or tried out."""
    done = past.entries(Action.ROLLBACK, allowed=True)
    if done:
        yield met(f"{len(done)} rollbacks were done", *done[-3:])
    held = [(drill, entry) for drill, entry in _drills(past) if drill.kind == "rollback" and drill.passed]
    if held:
        yield met(f"a rollback was tried out on {held[-1][0].held_at:%Y-%m-%d}", held[-1][1])
    if not done and not held:
        yield partly("nobody went back to an earlier version, or tried it out")


def _drilled(name: str, drill: Drill, entry: PastEntry, past: Past) -> Point:
    told = f"{name}: a {drill.kind} drill passed on {drill.held_at:%Y-%m-%d}"
    if drill.next_due is not None:
        over = past.at >= drill.next_due
    else:
        over = days_before(drill.held_at, past.at) > DRILLED_WITHIN_DAYS
    return partly(f"{told}; the next one is overdue", entry) if over else met(told, entry)


def _incidents(past: Past) -> list[tuple[IncidentView, PastEntry]]:
    """Return every incident as it stood, with the entry that opened it."""
    from keelway.promote import Incident, IncidentUpdate, view_of

    opened: dict[str, tuple[Incident, PastEntry]] = {}
    updates: dict[str, list[IncidentUpdate]] = {}
    for entry in past.entries(Action.INCIDENT, allowed=True):
        incident = past.record(Incident, entry.decision.evidence.get("incident"))
        update = past.record(IncidentUpdate, entry.decision.evidence.get("update"))
        if incident is not None and update is None:
            opened[digest_of(incident)] = (incident, entry)
        elif update is not None:
            updates.setdefault(update.incident, []).append(update)
    return [
        (view_of(incident, updates.get(digest, []), now=past.at), entry) for digest, (incident, entry) in opened.items()
    ]


def _drills(past: Past) -> list[tuple[Drill, PastEntry]]:
    """Return every drill with its entry, by when it was held."""
    from keelway.promote import Drill

    found = [
        (drill, entry)
        for entry in past.entries(Action.DRILL)
        if (drill := past.record(Drill, entry.decision.evidence.get("drill"))) is not None
    ]
    return sorted(found, key=lambda pair: (pair[0].held_at, pair[0].number))
