"""Whether data comes as it should: on time, fresh, and as much as usual."""

from keelway.contract.arrival.alerts import IngestAlert, IngestAlertKind, ingest_alerts, raise_alerts
from keelway.contract.arrival.anomalies import Account, Arrival, take_account
from keelway.contract.arrival.freshness import Freshness, freshness, freshness_alerts, stop_alerts
from keelway.contract.arrival.schedule import due_after, due_before, grace_of, nearest_due
from keelway.contract.arrival.volume import VolumeCheck

__all__ = [
    "Account",
    "Arrival",
    "Freshness",
    "IngestAlert",
    "IngestAlertKind",
    "VolumeCheck",
    "due_after",
    "due_before",
    "freshness",
    "freshness_alerts",
    "grace_of",
    "ingest_alerts",
    "nearest_due",
    "raise_alerts",
    "stop_alerts",
    "take_account",
]
