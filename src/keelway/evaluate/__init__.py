"""Evaluation: metrics with their uncertainty, and paired comparisons on the same rows."""

from keelway.evaluate.delong import auc_covariance, auc_interval, compare_aucs
from keelway.evaluate.evaluate import Rival, check_metrics, compare, evaluate, measure
from keelway.evaluate.intervals import bootstrap_interval, mean_interval, newcombe_interval, wilson_interval
from keelway.evaluate.metrics import average_precision, calibration_error, log_losses, squared_errors
from keelway.evaluate.paired import compare_by
from keelway.evaluate.records import Comparison, Interval, Ranking, Scorecard

__all__ = [
    "Comparison",
    "Interval",
    "Ranking",
    "Rival",
    "Scorecard",
    "auc_covariance",
    "auc_interval",
    "average_precision",
    "bootstrap_interval",
    "calibration_error",
    "check_metrics",
    "compare",
    "compare_aucs",
    "compare_by",
    "evaluate",
    "log_losses",
    "mean_interval",
    "measure",
    "newcombe_interval",
    "squared_errors",
    "wilson_interval",
]
