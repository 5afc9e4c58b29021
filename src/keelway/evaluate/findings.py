"""What a scorecard finds besides its metrics: calibration, threshold, slices, fairness, importance; as records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from keelway.evaluate.uncertainty import Interval
from keelway.project import Costs

Judgement = Literal["passes", "fails", "not judged"]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows whose predicted probability lies in [low, high); the last bin includes 1.

    Attributes:
        predicted: The mean predicted probability.
        observed: The share of these rows that had the outcome.
    """

    low: float
    high: float
    rows: int
    predicted: float
    observed: Interval


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether probabilities can be taken at their word.

    `brier.value` is `reliability - resolution + uncertainty + within_bins` (Murphy 1973; Stephenson et al. 2008).

    Attributes:
        error: The expected calibration error (ECE) over the bins.
        worst_gap: The largest distance between predicted and observed in any bin.
        brier: The mean squared error of probabilities.
        reliability: The mean squared distance between predicted and observed; small is good.
        resolution: How far the bins' observed shares lie from the overall share; large is good.
        uncertainty: The variance of the outcome itself.
        within_bins: What is lost by looking at bins instead of single probabilities.
        p_value: Spiegelhalter's test (1986) that every probability is right; small speaks against it.
        bins: The bins that hold rows.
    """

    error: Interval
    worst_gap: float
    brier: Interval
    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float
    p_value: float
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """From which probability acting pays.

    Attributes:
        threshold: The cheapest threshold on these rows, with its interval; a row at or above it is acted on. Above
            every probability where never acting is cheapest.
        cost: What a row costs with a threshold chosen on other rows (five-fold), so the choice does not flatter it.
        cost_of_none: What a row costs when nobody is acted on.
        cost_of_all: What a row costs when everybody is.
        calibrated: The best threshold if probabilities could be taken at their word.
        acted_on: The share of rows at or above the threshold.
        costs: The costs it was chosen by.
    """

    threshold: Interval
    cost: Interval
    cost_of_none: float
    cost_of_all: float
    calibrated: float
    acted_on: float
    costs: Costs


@dataclass(frozen=True, slots=True)
class SliceScore:
    """The first metric on the rows that share a value, against all other rows.

    Attributes:
        column: The column that slices.
        level: Its value; for numbers the range.
        rows: How many rows there are.
        enough: Whether they suffice to be judged; otherwise figures may be None and the p-value is 1.
        metric: Which figure it is.
        figure: The figure of these rows.
        difference: Theirs minus that of all other rows.
        p_value: Of no difference, corrected by Holm over all slices judged together.
        verdict: `better` and `worse` than the rest where that is shown.
    """

    column: str
    level: str
    rows: int
    enough: bool
    metric: str
    figure: Interval | None
    difference: Interval | None
    p_value: float
    verdict: Literal["better", "worse", "no difference shown", "not judged"]


@dataclass(frozen=True, slots=True)
class GroupRates:
    """How decisions fell for one group.

    Attributes:
        selected: The share that got the favourable decision.
        true_positive: The same among those who deserved it; None without any.
        false_positive: The same among those who did not; None without any.
    """

    group: str
    rows: int
    enough: bool
    selected: Interval
    true_positive: Interval | None
    false_positive: Interval | None


@dataclass(frozen=True, slots=True)
class Fairness:
    """How evenly decisions fall on the groups of a sensitive column; only groups with enough rows are judged.

    Attributes:
        column: The sensitive column.
        groups: Every group, the judged and the small ones.
        threshold: From which probability a row is decided positive.
        parity_difference: Demographic parity: the highest share selected minus the lowest.
        parity_ratio: The lowest share selected divided by the highest.
        equal_opportunity: The highest true-positive rate minus the lowest.
        equalised_odds: The larger of the differences of true-positive and false-positive rates.
        p_value: Of equal shares selected in all judged groups (Pearson's chi-squared, or Fisher's exact test for two
            groups with few rows).
        four_fifths: Whether the ratio is 0.8 or more (EEOC Uniform Guidelines, 29 CFR 1607.4 D).
        sure: Whether the ratio's whole interval lies on the same side of 0.8.
    """

    column: str
    groups: tuple[GroupRates, ...]
    threshold: float
    parity_difference: Interval | None
    parity_ratio: Interval | None
    equal_opportunity: Interval | None
    equalised_odds: Interval | None
    p_value: float | None
    four_fifths: Judgement
    sure: bool


@dataclass(frozen=True, slots=True)
class Importance:
    """What a feature is worth: how much worse the metric gets when its values are shuffled among the rows.

    Attributes:
        loss: How much worse, above 0 for a feature that helps, whichever way the metric points.
    """

    feature: str
    metric: str
    loss: Interval
