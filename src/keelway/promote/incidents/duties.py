"""Whom the law has told of an incident, and by when; each duty names its article. docs/risk.md explains them.

The time runs from the moment somebody became aware. Keelway counts it; whether a duty applies, people say by how they
describe the incident. This is an aid, and no legal advice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from keelway.promote.incidents.incident import Incident

SeriousKind = Literal["", "serious", "infrastructure", "death"]
"""What kind of serious incident it is for a high-risk system, Article 3(49) of Regulation (EU) 2024/1689; empty: none."""

Duty = Literal["gdpr-33", "gdpr-34", "eu-ai-act-73", "hipaa-breach"]
DUTIES: tuple[Duty, ...] = get_args(Duty)

_AI_ACT: dict[str, tuple[timedelta, str]] = {
    "serious": (timedelta(days=15), "Regulation (EU) 2024/1689, Article 73(2)"),
    "infrastructure": (timedelta(days=2), "Regulation (EU) 2024/1689, Article 73(3)"),
    "death": (timedelta(days=10), "Regulation (EU) 2024/1689, Article 73(4)"),
}


@dataclass(frozen=True, slots=True)
class NotificationDuty:
    """Somebody has to be told of an incident.

    Attributes:
        duty: Its short name, by which `keelway incidents update --notified` answers it.
        whom: Who has to be told.
        reference: The article that asks for it.
        due_at: The last moment; None where the law only says without undue delay.
    """

    duty: Duty
    whom: str
    reference: str
    due_at: datetime | None


def duties_of(incident: Incident) -> tuple[NotificationDuty, ...]:
    """Return whom the law has told of an incident, the most urgent first."""
    found: list[NotificationDuty] = []
    if incident.serious:
        within, reference = _AI_ACT[incident.serious]
        told = NotificationDuty(
            "eu-ai-act-73", "the market surveillance authority", reference, incident.aware_at + within
        )
        found.append(told)
    if incident.personal_data:
        due = incident.aware_at + timedelta(hours=72)
        found.append(NotificationDuty("gdpr-33", "the data protection authority", "GDPR, Article 33(1)", due))
    if incident.high_risk_to_persons:
        found.append(NotificationDuty("gdpr-34", "the persons affected", "GDPR, Article 34(1)", None))
    if incident.health_data:
        due = incident.aware_at + timedelta(days=60)
        found.append(NotificationDuty("hipaa-breach", "the individuals and HHS", "45 CFR 164.404 and 164.408", due))
    return tuple(sorted(found, key=lambda one: (one.due_at is None, one.due_at or incident.aware_at, one.duty)))
