"""What a scorecard looks at besides its metrics: what hides behind them."""

from keelway.evaluate.aspects.calibration import (
    calibration_of,
    class_calibration_of,
    reliability_table,
    spiegelhalter_p,
)
from keelway.evaluate.aspects.fairness import fairness_of, in_plain_words
from keelway.evaluate.aspects.gains import GainStep, gain_table
from keelway.evaluate.aspects.importance import Columns, figure_value, permutation_importance
from keelway.evaluate.aspects.levels import levels_of
from keelway.evaluate.aspects.robustness import Perturbation, robustness_of
from keelway.evaluate.aspects.shapley import shapley_values
from keelway.evaluate.aspects.slices import MIN_SUPPORT, slice_scores
from keelway.evaluate.aspects.threshold import choose_threshold

__all__ = [
    "MIN_SUPPORT",
    "Columns",
    "GainStep",
    "Perturbation",
    "calibration_of",
    "choose_threshold",
    "class_calibration_of",
    "fairness_of",
    "figure_value",
    "gain_table",
    "in_plain_words",
    "levels_of",
    "permutation_importance",
    "reliability_table",
    "robustness_of",
    "shapley_values",
    "slice_scores",
    "spiegelhalter_p",
]
