"""How sure a figure is: intervals, the bootstrap, the classical tests, and how many rows a difference takes."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
    from keelway.evaluate.uncertainty.bootstrap import (
        RESAMPLES,
        bootstrap_interval,
        draws_of,
        intervals_of,
        mean_interval,
        normal_interval,
        resampled,
        standard_errors,
    )
    from keelway.evaluate.uncertainty.classical import (
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
    from keelway.evaluate.uncertainty.interval import LEVEL, SIGNIFICANT, Interval, quantile_of
    from keelway.evaluate.uncertainty.intervals import (
        exact_interval,
        newcombe_interval,
        ratio_interval,
        wald_interval,
        wilson_interval,
    )
    from keelway.evaluate.uncertainty.power import (
        effect_of_rates,
        power_of_means,
        power_of_rates,
        rows_for_means,
        rows_for_rates,
    )

__all__ = [
    "LEVEL",
    "RESAMPLES",
    "SIGNIFICANT",
    "Interval",
    "Tested",
    "binomial_test",
    "bootstrap_interval",
    "draws_of",
    "effect_of_rates",
    "exact_interval",
    "fisher_test",
    "independence_test",
    "intervals_of",
    "mean_interval",
    "newcombe_interval",
    "normal_interval",
    "paired_test",
    "power_of_means",
    "power_of_rates",
    "proportions_test",
    "quantile_of",
    "rank_sum_test",
    "ratio_interval",
    "resampled",
    "rows_for_means",
    "rows_for_rates",
    "shares_test",
    "signed_rank_test",
    "standard_errors",
    "wald_interval",
    "welch_test",
    "wilson_interval",
]

open_door(__name__)
