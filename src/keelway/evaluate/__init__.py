"""Evaluation: metrics with their uncertainty, what they hide, and paired comparisons on the same rows."""

from keelway.evaluate.bootstrap import bootstrap_interval, mean_interval
from keelway.evaluate.calibration import calibration_of, class_calibration_of, reliability_table, spiegelhalter_p
from keelway.evaluate.classical import (
    Tested,
    binomial_test,
    fisher_test,
    independence_test,
    paired_test,
    proportions_test,
    rank_sum_test,
    shares_test,
    signed_rank_test,
    welch_test,
)
from keelway.evaluate.compare import compare, predictions_of
from keelway.evaluate.declared import check_metrics
from keelway.evaluate.delong import auc_covariance, auc_interval, class_auc_interval, compare_aucs
from keelway.evaluate.evaluate import Rival, evaluate
from keelway.evaluate.fairness import fairness_of, in_plain_words
from keelway.evaluate.findings import (
    Calibration,
    Fairness,
    GroupRates,
    Importance,
    ReliabilityBin,
    SliceScore,
    ThresholdChoice,
)
from keelway.evaluate.gains import GainStep, gain_table
from keelway.evaluate.importance import figure_value, permutation_importance
from keelway.evaluate.interval import Interval
from keelway.evaluate.intervals import exact_interval, newcombe_interval, ratio_interval, wald_interval, wilson_interval
from keelway.evaluate.measure import measure
from keelway.evaluate.metrics import (
    METRICS,
    average_precision,
    calibration_error,
    greater_is_better,
    log_losses,
    squared_errors,
)
from keelway.evaluate.paired import compare_by, mcnemar
from keelway.evaluate.plots import (
    forest_plot,
    gain_plot,
    importance_plot,
    lift_plot,
    precision_recall_plot,
    reliability_plot,
    residual_plot,
    roc_plot,
)
from keelway.evaluate.power import effect_of_rates, power_of_means, power_of_rates, rows_for_means, rows_for_rates
from keelway.evaluate.records import Comparison, Correction, Ranking, Scorecard, VerdictWord
from keelway.evaluate.robustness import Perturbation, robustness_of
from keelway.evaluate.several import adjusted, compare_all, corrected
from keelway.evaluate.shapley import shapley_values
from keelway.evaluate.slices import slice_scores
from keelway.evaluate.threshold import choose_threshold
from keelway.evaluate.verdict import in_words, verdict_of

__all__ = [
    "METRICS",
    "Calibration",
    "Comparison",
    "Correction",
    "Fairness",
    "GainStep",
    "GroupRates",
    "Importance",
    "Interval",
    "Perturbation",
    "Ranking",
    "ReliabilityBin",
    "Rival",
    "Scorecard",
    "SliceScore",
    "Tested",
    "ThresholdChoice",
    "VerdictWord",
    "adjusted",
    "auc_covariance",
    "auc_interval",
    "average_precision",
    "binomial_test",
    "bootstrap_interval",
    "calibration_error",
    "calibration_of",
    "check_metrics",
    "choose_threshold",
    "class_auc_interval",
    "class_calibration_of",
    "compare",
    "compare_all",
    "compare_aucs",
    "compare_by",
    "corrected",
    "effect_of_rates",
    "evaluate",
    "exact_interval",
    "fairness_of",
    "figure_value",
    "fisher_test",
    "forest_plot",
    "gain_plot",
    "gain_table",
    "greater_is_better",
    "importance_plot",
    "in_plain_words",
    "in_words",
    "independence_test",
    "lift_plot",
    "log_losses",
    "mcnemar",
    "mean_interval",
    "measure",
    "newcombe_interval",
    "paired_test",
    "permutation_importance",
    "power_of_means",
    "power_of_rates",
    "precision_recall_plot",
    "predictions_of",
    "proportions_test",
    "rank_sum_test",
    "ratio_interval",
    "reliability_plot",
    "reliability_table",
    "residual_plot",
    "robustness_of",
    "roc_plot",
    "rows_for_means",
    "rows_for_rates",
    "shapley_values",
    "shares_test",
    "signed_rank_test",
    "slice_scores",
    "spiegelhalter_p",
    "squared_errors",
    "verdict_of",
    "wald_interval",
    "welch_test",
    "wilson_interval",
]
