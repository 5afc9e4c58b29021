"""What risk owners, auditors, product owners and whoever is called at night use: risk, incidents, drills, reports, experiments."""

from __future__ import annotations

from dataclasses import dataclass

from keelway.app.experiments import ExperimentRoom
from keelway.app.incidents import IncidentRoom
from keelway.app.reports import ReportRoom
from keelway.app.risk import RiskRoom
from keelway.app.wire import Workspace


@dataclass(frozen=True, slots=True)
class Governance:
    """The rooms of those who answer for models.

    Attributes:
        risk: Assess risk; the inventory of models.
        incidents: Incidents and drills.
        reports: Compliance reports and governance packets.
        experiments: Plans and reports of experiments.
    """

    risk: RiskRoom
    incidents: IncidentRoom
    reports: ReportRoom
    experiments: ExperimentRoom

    @classmethod
    def of(cls, workspace: Workspace) -> Governance:
        """Bind the rooms to a workspace."""
        return cls(RiskRoom(workspace), IncidentRoom(workspace), ReportRoom(workspace), ExperimentRoom(workspace))
