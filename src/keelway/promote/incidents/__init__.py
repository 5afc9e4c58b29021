"""What goes wrong and what is tried out beforehand: incidents with their deadlines, and drills of fallback plans."""

from keelway.promote.incidents.drill import (
    DRILL_KINDS,
    Drill,
    DrillKind,
    DrillReport,
    drills,
    drills_evidence,
    record_drill,
)
from keelway.promote.incidents.duties import DUTIES, Duty, NotificationDuty, SeriousKind, duties_of
from keelway.promote.incidents.incident import (
    SEVERITIES,
    DutyState,
    Incident,
    IncidentSeverity,
    IncidentUpdate,
    IncidentView,
    incident_view,
    incident_views,
    incidents_evidence,
    view_of,
)
from keelway.promote.incidents.story import IncidentNews, IncidentReport, open_incident, update_incident

__all__ = [
    "DRILL_KINDS",
    "DUTIES",
    "SEVERITIES",
    "Drill",
    "DrillKind",
    "DrillReport",
    "Duty",
    "DutyState",
    "Incident",
    "IncidentNews",
    "IncidentReport",
    "IncidentSeverity",
    "IncidentUpdate",
    "IncidentView",
    "NotificationDuty",
    "SeriousKind",
    "drills",
    "drills_evidence",
    "duties_of",
    "incident_view",
    "incident_views",
    "incidents_evidence",
    "open_incident",
    "record_drill",
    "update_incident",
    "view_of",
]
