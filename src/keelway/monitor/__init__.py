"""Watches models in production: drift of inputs, quality once outcomes are known, and alerts."""

from keelway.monitor.drift import drift_report, histograms
from keelway.monitor.error_budget import ErrorBudget, error_budget
from keelway.monitor.events import events_complete_until, read_events, record_events
from keelway.monitor.outcomes import read_outcomes, record_outcomes, wanted_of
from keelway.monitor.quality import quality_report
from keelway.monitor.record import (
    Alert,
    ColumnDrift,
    DriftReport,
    EventBatch,
    OutcomeBatch,
    QualityReport,
    QualitySlice,
)
from keelway.monitor.rollout import EntitySums, SegmentCache, baseline_sums, event_columns
from keelway.monitor.watch import monitor

__all__ = [
    "Alert",
    "ColumnDrift",
    "DriftReport",
    "EntitySums",
    "ErrorBudget",
    "EventBatch",
    "OutcomeBatch",
    "QualityReport",
    "QualitySlice",
    "SegmentCache",
    "baseline_sums",
    "drift_report",
    "error_budget",
    "event_columns",
    "events_complete_until",
    "histograms",
    "monitor",
    "quality_report",
    "read_events",
    "read_outcomes",
    "record_events",
    "record_outcomes",
    "wanted_of",
]
