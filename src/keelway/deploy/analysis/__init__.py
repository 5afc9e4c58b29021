"""Analysis of rollouts: tests that may be looked at all the time, plans, corrections, and the verdict on an arm."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
    from keelway.deploy.analysis.bandit import thompson_arm, thompson_shares
    from keelway.deploy.analysis.drift import ks_distance, ks_null_quantile, log_unlike
    from keelway.deploy.analysis.evidence import ArmFigures, ClassAnswers, Matured, RolloutEvidence
    from keelway.deploy.analysis.families import e_bh
    from keelway.deploy.analysis.harms import ArmHarm, harm_of
    from keelway.deploy.analysis.judge import judge, violations
    from keelway.deploy.analysis.levels import cuped_part, levels_of
    from keelway.deploy.analysis.looks import crossing_chances, drift_for
    from keelway.deploy.analysis.mixtures import (
        BetaBinomialMixture,
        GammaExponentialMixture,
        GammaPoissonMixture,
        Mixture,
        NormalMixture,
        best_rho,
        boundary,
        stitched_boundary,
    )
    from keelway.deploy.analysis.moments import Moments, moments_of, pooled_theta
    from keelway.deploy.analysis.plan import ExperimentPlan, ExperimentQuestion, MetricKind, experiment_plan
    from keelway.deploy.analysis.quantiles import log_slower, quantile_p, ratio_bound, sorted_values
    from keelway.deploy.analysis.rates import RateCounts, excess_bound, log_bet, log_excess, rate_sequence
    from keelway.deploy.analysis.sequences import (
        Contrast,
        always_valid_p,
        log_evidence,
        mean_difference_sequence,
        mean_gap,
        mean_sequence,
        rate_moments,
        reach,
    )
    from keelway.deploy.analysis.shares import Phase, log_mismatch, mismatch_p
    from keelway.deploy.analysis.verdict import MeasuredFigure, Outcome, RolloutVerdict, Status

__all__ = [
    "ArmFigures",
    "ArmHarm",
    "BetaBinomialMixture",
    "ClassAnswers",
    "Contrast",
    "ExperimentPlan",
    "ExperimentQuestion",
    "GammaExponentialMixture",
    "GammaPoissonMixture",
    "Matured",
    "MeasuredFigure",
    "MetricKind",
    "Mixture",
    "Moments",
    "NormalMixture",
    "Outcome",
    "Phase",
    "RateCounts",
    "RolloutEvidence",
    "RolloutVerdict",
    "Status",
    "always_valid_p",
    "best_rho",
    "boundary",
    "crossing_chances",
    "cuped_part",
    "drift_for",
    "e_bh",
    "excess_bound",
    "experiment_plan",
    "harm_of",
    "judge",
    "ks_distance",
    "ks_null_quantile",
    "levels_of",
    "log_bet",
    "log_evidence",
    "log_excess",
    "log_mismatch",
    "log_slower",
    "log_unlike",
    "mean_difference_sequence",
    "mean_gap",
    "mean_sequence",
    "mismatch_p",
    "moments_of",
    "pooled_theta",
    "quantile_p",
    "rate_moments",
    "rate_sequence",
    "ratio_bound",
    "reach",
    "sorted_values",
    "stitched_boundary",
    "thompson_arm",
    "thompson_shares",
    "violations",
]

open_door(__name__)
