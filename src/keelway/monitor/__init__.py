"""Watches models in production: drift of inputs, quality once outcomes are known, and alerts."""

from keelway.monitor.drift import drift_report, histograms
from keelway.monitor.error_budget import ErrorBudget, error_budget
from keelway.monitor.outcomes import read_outcomes, record_outcomes
from keelway.monitor.quality import quality_report
from keelway.monitor.record import (
    Alert,
    ColumnDrift,
    DriftReport,
    OutcomeBatch,
    QualityReport,
    QualitySlice,
)
from keelway.monitor.watch import monitor

__all__ = [
    "Alert",
    "ColumnDrift",
    "DriftReport",
    "ErrorBudget",
    "OutcomeBatch",
    "QualityReport",
    "QualitySlice",
    "drift_report",
    "error_budget",
    "histograms",
    "monitor",
    "quality_report",
    "read_outcomes",
    "record_outcomes",
]
