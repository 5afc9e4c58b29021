"""Reads who answers for the data and what they promise: the `team` and the `slaProperties` of an ODCS file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.contract.contract import Rule, RuleKind, Severity
from keelway.contract.odcs.document import NOT_CHECKED, Place, Properties
from keelway.contract.odcs.severity import batch_severity

if TYPE_CHECKING:
    from open_data_contract_standard.model import OpenDataContractStandard, ServiceLevelAgreementProperty

DAY_S = 86_400
SECONDS = {
    "s": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "d": DAY_S, "day": DAY_S,
    "w": 7 * DAY_S, "week": 7 * DAY_S, "month": 30 * DAY_S, "y": 365 * DAY_S, "yr": 365 * DAY_S, "year": 365 * DAY_S,
}  # fmt: skip
"""Seconds by unit; a month counts 30 days and a year 365."""
ABOUT_SERVICE = (
    "availability", "throughput", "errorRate", "generalAvailability", "endOfSupport", "endOfLife", "timeToDetect",
    "timeToNotify", "timeToRepair", "timeOfAvailability",
)  # fmt: skip
"""Service levels of ODCS that speak of people and servers, not of the data: they are shown, not checked."""


@dataclass(frozen=True, slots=True)
class ServiceLevels:
    """What is promised about time.

    Attributes:
        max_age_s: The latency, or else the frequency.
        rules: The rule on freshness, where a latency is promised.
    """

    max_age_s: int | None
    retention_days: int | None
    rules: tuple[Rule, ...]


def owner_of(document: OpenDataContractStandard, place: Place) -> str:
    """Return who answers for the data: the property `owner`, the member who owns it, or the team."""
    own = Properties(document.customProperties, ("owner",), place)
    if named := own.text("owner"):
        return named
    team = document.team
    members = team if isinstance(team, list) else (team.members if team else None)
    for member in members or ():
        if "owner" in (member.role or "").lower() and not member.dateOut:
            return member.username or member.name or ""
    return "" if team is None or isinstance(team, list) else team.name or ""


def service_levels_of(document: OpenDataContractStandard, dataset: str, place: Place) -> ServiceLevels:
    """Return the service levels of a dataset.

    Raises:
        ContractError: A service level has no name that is known, no number, or no unit.
    """
    found: dict[str, int] = {}
    rules: list[Rule] = []
    default = document.slaDefaultElement or ""
    for item in document.slaProperties or ():
        at, name = place.at("slaProperties"), item.property or "nothing"
        element = item.element or default
        if name in ABOUT_SERVICE or (element and element.split(".")[0].strip() != dataset):
            continue
        if name not in ("latency", "frequency", "retention"):
            expected = ", ".join(("latency", "frequency", "retention", *ABOUT_SERVICE))
            raise at.wrong("property", f"one of {expected}", name, NOT_CHECKED)
        if name in found:
            raise at.wrong(name, f"one {name} for {dataset}", "two")
        found[name] = _seconds(item, at.at(name))
        if name == "latency":
            rules.append(_freshness(item, element, found[name], at.at(name)))
    retention = found.get("retention")
    return ServiceLevels(
        max_age_s=found.get("latency", found.get("frequency")),
        retention_days=None if retention is None else retention // DAY_S,
        rules=tuple(rules),
    )


def _seconds(item: ServiceLevelAgreementProperty, place: Place) -> int:
    value = item.value
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or value is None or not 0 < value < float("inf"):
        raise place.wrong("value", "a number above 0", repr(item.value))
    unit = (item.unit or "nothing").lower()
    factor = SECONDS.get(unit) or SECONDS.get(unit.removesuffix("s"))
    if factor is None:
        raise place.wrong("unit", f"one of {', '.join(SECONDS)}", unit)
    return round(value * factor)


def _freshness(item: ServiceLevelAgreementProperty, element: str, seconds: int, place: Place) -> Rule:
    """Return the rule that the youngest row is young enough; it warns unless the contract says more."""
    own = Properties(item.customProperties, ("severity",), place)
    column = element.partition(".")[2]
    return Rule(
        RuleKind.FRESHNESS,
        (column,) if column else (),
        f"the youngest row is older than {item.value:g} {item.unit}"
        if isinstance(item.value, (int, float))
        else f"the youngest row is older than {item.value} {item.unit}",
        severity=batch_severity(own.text("severity") or None, place, default=Severity.WARN),
        maximum=str(seconds),
    )
