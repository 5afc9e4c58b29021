"""Gathers what a governance packet is made of: settings, declarations, the gate's opinion, and what is on record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelway.app.gate import Gate, environment_rules
from keelway.app.risk import risk_state
from keelway.app.wire import Workspace

if TYPE_CHECKING:
    from keelway.ledger import Transaction
    from keelway.report import PacketFacts

PACKET_FRAMEWORKS = ("eu-ai-act",)
"""The frameworks that a packet's checklist holds where none is named."""


def packet_facts(
    model: str, environment: str, *, at: Workspace, frameworks: tuple[str, ...] = PACKET_FRAMEWORKS
) -> PacketFacts:
    """Return what the packet of a model in an environment is made of.

    Raises:
        ProjectError: The project has no such model.
        SettingsError: The environment is unknown, or names no policy.
    """
    from keelway.promote import drills, incident_views, newest_assessment
    from keelway.register import newest_version
    from keelway.report import PacketFacts, Past, compliance_report, load_framework

    declared, rules, now = at.project.model(model), environment_rules(environment, at=at), at.now()
    with at.state.snapshot() as tx:
        version, past = newest_version(model, tx), Past(tx, at.artifacts, now)
        assessment = newest_assessment(model, tx=tx)
        live, previous = _live(model, environment, tx)
        held = tuple(drills(model, environment, tx=tx))
        unclosed = tuple(one for one in incident_views(tx=tx, now=now, model=model) if one.closed_at is None)
        wanted = [load_framework(name) for name in frameworks]
        answered = tuple(compliance_report(one, past, project=at.settings.project.name) for one in wanted)
    monitor = at.project.monitor(model)
    return PacketFacts(
        project=at.settings.project.name,
        model=model,
        rules=rules,
        path=_path(environment, at),
        at=now,
        people=_people(at),
        verdict=Gate(at).check(version.name, environment) if version else None,
        newest=version.name if version else "",
        live=live,
        previous=previous,
        assessment=assessment,
        risk_state=risk_state(declared.risk, assessment, now),
        fallback=declared.fallback_in(environment),
        monitor=monitor.plan if monitor else None,
        drills=held,
        incidents=unclosed,
        compliance=answered,
        purpose=declared.card.intended_use or declared.card.summary,
    )


def _live(model: str, environment: str, tx: Transaction) -> tuple[str, str]:
    """Return the names of the version that is live and of the one that a rollback leads to; empty for none."""
    from keelway.promote import Admission, standing_admission

    standing = standing_admission(model, environment, tx=tx)
    if standing is None:
        return "", ""
    before = tx.by_digest(Admission, standing.previous) if standing.previous else None
    return standing.version, before.version if before else ""


def _path(environment: str, at: Workspace) -> tuple[str, ...]:
    """Return the environments that come before, in order, and this one."""
    path = [environment]
    while (before := at.environment(path[0]).after) and before not in path:
        path.insert(0, before)
    return tuple(path)


def _people(at: Workspace) -> dict[str, tuple[str, ...]]:
    people: dict[str, list[str]] = {}
    for name, entry in sorted(at.settings.principals.items()):
        for role in entry.roles if not entry.disabled else ():
            people.setdefault(role, []).append(name)
    return {role: tuple(names) for role, names in people.items()}
