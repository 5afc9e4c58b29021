"""Incidents and drills: what went wrong, what was tried out, and who is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keelway.app.wire import Workspace
from keelway.core import Digest, digest_of
from keelway.errors import UsageError

if TYPE_CHECKING:
    from keelway.project import FallbackPlan
    from keelway.promote import Drill, DrillReport, IncidentNews, IncidentReport, IncidentView


@dataclass(frozen=True, slots=True)
class DrillLine:
    """A fallback plan, and when it was last tried out.

    Attributes:
        plan: What is declared; None where drills were held without a plan.
        due_at: When the next drill is due; None where the plan was never tried out: then it is due now.
        overdue: Whether that time is over.
        last: The newest drill, passed or not.
    """

    model: str
    environment: str
    plan: FallbackPlan | None
    due_at: datetime | None
    overdue: bool
    last: Drill | None


class IncidentRoom:
    """Use cases of those who answer when something goes wrong."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def open(self, report: IncidentReport, *, predictions: Sequence[str] = ()) -> IncidentView:
        """Open an incident; reporting the same again while it is open returns it.

        Args:
            predictions: Ids of the answers it bears on; each has to be in the log.

        Raises:
            MissingRecordError: The ledger has no such entry, or the log no such answer.
        """
        from keelway.promote import incident_view, open_incident

        at = self._at
        self._must_know(report.model, report.environment)
        segments = {name: self._segment(name) for name in predictions}
        told = replace(report, predictions={**report.predictions, **segments})
        opened = open_incident(told, principal=at.principal, state=at.state, now=at.now())
        with at.state.snapshot() as tx:
            return incident_view(opened.number, tx=tx, now=at.now())

    def update(self, number: int, news: IncidentNews) -> IncidentView:
        """Add what was learned or done."""
        return self._tell(number, news, closes=False)

    def close(self, number: int, news: IncidentNews) -> IncidentView:
        """Say that an incident is over.

        Raises:
            RefusedError: Root cause, corrective action or a notification is missing.
        """
        return self._tell(number, news, closes=True)

    def listed(self, *, model: str | None = None, everything: bool = False) -> list[IncidentView]:
        """Return the open incidents, or all of them, the newest first."""
        from keelway.promote import incident_views

        with self._at.state.snapshot() as tx:
            found = incident_views(tx=tx, now=self._at.now(), model=model)
        return [one for one in found if everything or one.closed_at is None]

    def show(self, number: int) -> IncidentView:
        """Return an incident with everything that was told of it."""
        from keelway.promote import incident_view

        with self._at.state.snapshot() as tx:
            return incident_view(number, tx=tx, now=self._at.now())

    def record_drill(self, model: str, environment: str, report: DrillReport) -> Drill:
        """Record that a fallback plan was tried out; the plan says when the next one is due."""
        from keelway.promote import record_drill

        at = self._at
        self._must_know(model, environment)
        plan = next((one.fallback_in(environment) for one in at.project.models if one.name == model), None)
        due = report.held_at + plan.drill_time if plan else None
        told = replace(report, next_due=due)
        return record_drill(model, environment, told, principal=at.principal, state=at.state, now=at.now())

    def drills(self) -> list[DrillLine]:
        """Return every fallback plan with its last drill, and drills that no plan asks for."""
        from keelway.promote import Drill, drills

        at = self._at
        plans = {(model.name, plan.environment): plan for model in at.project.models for plan in model.fallback}
        with at.state.snapshot() as tx:
            places = {*plans, *((drill.model, drill.environment) for drill in tx.newest(Drill))}
            return [_drill_line(*place, plans.get(place), drills(*place, tx=tx), at.now()) for place in sorted(places)]

    def _tell(self, number: int, news: IncidentNews, *, closes: bool) -> IncidentView:
        from keelway.promote import update_incident

        at = self._at
        return update_incident(number, news, principal=at.principal, state=at.state, now=at.now(), closes=closes)

    def _must_know(self, model: str, environment: str) -> None:
        """Refuse a model that neither the project nor the state knows, and an environment of no settings."""
        from keelway.register import newest_version

        self._at.environment(environment)
        if model in {each.name for each in self._at.project.models}:
            return
        with self._at.state.snapshot() as tx:
            if newest_version(model, tx) is None:
                known = ", ".join(sorted(each.name for each in self._at.project.models))
                raise UsageError("Unknown model", expected=known or "a model of the project", found=model)

    def _segment(self, prediction_id: str) -> Digest:
        from keelway.serve import find_prediction

        with self._at.state.snapshot() as tx:
            _, _, segment, _ = find_prediction(prediction_id, tx=tx, artifacts=self._at.artifacts)
        return digest_of(segment)


def _drill_line(model: str, environment: str, plan: FallbackPlan | None, held: list[Drill], now: datetime) -> DrillLine:
    passed = next((drill for drill in held if drill.passed), None)
    every = plan.drill_time if plan else timedelta(0)
    due = passed.held_at + every if plan and passed else None
    overdue = plan is not None and (due is None or now >= due)
    return DrillLine(model, environment, plan, due, overdue, held[0] if held else None)
