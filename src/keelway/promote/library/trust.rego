# Ready rules on whether answers can be trusted: calibration, fairness, leakage.
package keelway.lib

# The upper end of the interval of the expected calibration error has to stay under a ceiling.
# reads: calibration.error.high <= {ceiling}
# made by: keelway run MODEL (a label of two classes)
calibrated_within(ceiling) := {reason |
	high := figure(["calibration", "error", "high"])
	not _at_most(high, ceiling)
	reason := _told(
		high,
		sprintf("the calibration error is at most %v with confidence, allowed is %v", [_up(high), ceiling]),
		sprintf("calibration was not measured: keelway run %s", [_model]),
	)
}

# In no bin of predicted probabilities the observed share may be further away than this.
# reads: calibration.worst_gap <= {ceiling}
# made by: keelway run MODEL (a label of two classes)
calibration_gap_at_most(ceiling) := {reason |
	gap := figure(["calibration", "worst_gap"])
	not _at_most(gap, ceiling)
	reason := _told(
		gap,
		sprintf("predicted and observed are %v apart in a bin, allowed is %v", [_up(gap), ceiling]),
		sprintf("calibration was not measured: keelway run %s", [_model]),
	)
}

# Decisions may not fall on one group of people much more often than on another: by each of these columns the
# four-fifths rule has to pass. Groups too small to be judged refuse as well.
# reads: fairness.{columns}.four_fifths == passes; fairness.{columns}.parity_ratio.value
# made by: Model(evaluation=Evaluation(sensitive=...)), then keelway run MODEL
four_fifths(columns) := {reason |
	count(columns) == 0
	reason := "the four-fifths rule names no column"
} | {reason |
	some column in columns
	verdict := object.get(input, ["fairness", column, "four_fifths"], "is not measured")
	verdict != "passes"
	ratio := figure(["fairness", column, "parity_ratio", "value"])
	reason := sprintf("the four-fifths rule by %s %v: the ratio of shares selected is %v", [column, verdict, _down(ratio)])
}

# By each of these columns the shares selected may differ by at most this, by the upper end of the interval.
# reads: fairness.{columns}.parity_difference.high <= {ceiling}
# made by: Model(evaluation=Evaluation(sensitive=...)), then keelway run MODEL
parity_difference_at_most(columns, ceiling) := _no_names(columns, "parity_difference_at_most") |
	_unfair(columns, "parity_difference", "the shares selected", ceiling)

# By each of these columns the true-positive rates may differ by at most this, by the upper end of the interval.
# reads: fairness.{columns}.equal_opportunity.high <= {ceiling}
# made by: Model(evaluation=Evaluation(sensitive=...)), then keelway run MODEL
opportunity_difference_at_most(columns, ceiling) := _no_names(columns, "opportunity_difference_at_most") |
	_unfair(columns, "equal_opportunity", "the true-positive rates", ceiling)

# By each of these columns neither the true- nor the false-positive rates may differ by more than this, by the upper
# end of the interval.
# reads: fairness.{columns}.equalised_odds.high <= {ceiling}
# made by: Model(evaluation=Evaluation(sensitive=...)), then keelway run MODEL
odds_difference_at_most(columns, ceiling) := _no_names(columns, "odds_difference_at_most") |
	_unfair(columns, "equalised_odds", "the true- and false-positive rates", ceiling)

_unfair(columns, measure, what, ceiling) := {reason |
	some column in columns
	high := figure(["fairness", column, measure, "high"])
	not _at_most(high, ceiling)
	reason := _told(
		high,
		sprintf("by %s %s differ by %v with confidence, allowed is %v", [column, what, _up(high), ceiling]),
		sprintf("by %s nothing says how much %s differ: declare Evaluation(sensitive=...)", [column, what]),
	)
}

# Every label of training has to have matured before the test's features: no window may overlap.
# reads: training.overlap_days <= 0
# made by: keelway run MODEL
no_overlap := overlap_at_most_days(0)

# Label windows of training may reach at most this many days into the test's window.
# reads: training.overlap_days <= {days}
# made by: keelway run MODEL
overlap_at_most_days(days) := {reason |
	overlap := figure(["training", "overlap_days"])
	not _at_most(overlap, days)
	reason := _told(
		overlap,
		sprintf("training labels overlap the test by %v days, allowed is %v", [_up(overlap), days]),
		sprintf("nothing says how far training labels overlap the test: keelway run %s", [_model]),
	)
}

# Nothing that stops a training may have been found in the training rows, and somebody has to have looked.
# reads: leakage.stops <= 0; leakage.findings
# made by: keelway policy measure VERSION --leakage
no_leaks := {reason |
	stops := figure(["leakage", "stops"])
	not _at_most(stops, 0)
	reason := _told(
		stops,
		sprintf("%v findings look like leaks: %v", [stops, object.get(input, ["leakage", "findings"], [])]),
		sprintf("nobody looked for leaks: keelway policy measure %s --leakage", [_version]),
	)
}
