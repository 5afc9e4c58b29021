# Ready rules on how well a version does: floors, ceilings, and comparisons.
package keelway.lib

# The lower end of a metric's confidence interval has to reach a floor.
# reads: metrics.{metric}.low >= {floor}
# made by: keelway run MODEL
metric_floor(metric, floor) := {reason |
	low := figure(["metrics", metric, "low"])
	not _at_least(low, floor)
	reason := _told(
		low,
		sprintf("%s is at least %v with confidence, needs %v", [metric, _down(low), floor]),
		sprintf("%s has no interval in the evidence: keelway run %s", [metric, _model]),
	)
}

# The lower end of the interval of the area under the ROC curve has to reach a floor.
# reads: metrics.roc_auc.low >= {floor}
# made by: keelway run MODEL
auc_floor(floor) := metric_floor("roc_auc", floor)

# The upper end of a metric's interval has to stay under a ceiling (for losses).
# reads: metrics.{metric}.high <= {ceiling}
# made by: keelway run MODEL
metric_ceiling(metric, ceiling) := {reason |
	high := figure(["metrics", metric, "high"])
	not _at_most(high, ceiling)
	reason := _told(
		high,
		sprintf("%s is at most %v with confidence, allowed is %v", [metric, _up(high), ceiling]),
		sprintf("%s has no interval in the evidence: keelway run %s", [metric, _model]),
	)
}

# A metric's value itself, without its uncertainty, has to reach a floor.
# reads: metrics.{metric}.value >= {floor}
# made by: keelway run MODEL
value_floor(metric, floor) := {reason |
	value := figure(["metrics", metric, "value"])
	not _at_least(value, floor)
	reason := _told(
		value,
		sprintf("%s is %v, needs %v", [metric, _down(value), floor]),
		sprintf("%s is not in the evidence: keelway run %s", [metric, _model]),
	)
}

# A metric's value itself, without its uncertainty, has to stay under a ceiling.
# reads: metrics.{metric}.value <= {ceiling}
# made by: keelway run MODEL
value_ceiling(metric, ceiling) := {reason |
	value := figure(["metrics", metric, "value"])
	not _at_most(value, ceiling)
	reason := _told(
		value,
		sprintf("%s is %v, allowed is %v", [metric, _up(value), ceiling]),
		sprintf("%s is not in the evidence: keelway run %s", [metric, _model]),
	)
}

# The evaluation needs at least so many rows of the positive class.
# reads: evaluation.positives >= {wanted}
# made by: keelway run MODEL
positives_at_least(wanted) := {reason |
	found := figure(["evaluation", "positives"])
	not _at_least(found, wanted)
	reason := _told(
		found,
		sprintf("the test has %v positive rows, needs %v", [found, wanted]),
		sprintf("nothing says how many positive rows the test has: keelway run %s", [_model]),
	)
}

# The evaluation needs at least so many rows.
# reads: evaluation.rows >= {wanted}
# made by: keelway run MODEL
rows_at_least(wanted) := {reason |
	found := figure(["evaluation", "rows"])
	not _at_least(found, wanted)
	reason := _told(
		found,
		sprintf("the test has %v rows, needs %v", [found, wanted]),
		sprintf("nothing says how many rows the test has: keelway run %s", [_model]),
	)
}

# On the same rows the version must not be worse than the champion that is live now. A version that was let in
# here before is a rollback and needs no new comparison; without a champion there is nothing to compare with.
# reads: champion.live; champion.compared == the live champion; versus_champion.verdict in better|equivalent|no difference shown; admissions.*.age_days; environment
# made by: keelway run MODEL, which compares with the champion of that moment
not_worse_than_champion := {reason |
	live := _word(["champion", "live"])
	live != ""
	not _admitted_here
	some reason in _champion_reasons(live)
}

_champion_reasons(live) := {reason |
	compared := _word(["champion", "compared"])
	compared != live
	reason := sprintf("the champion is %s, but the version was compared with %s", [_named(live), _named(compared)])
} | {reason |
	verdict := _word(["versus_champion", "verdict"])
	not _not_worse(verdict)
	reason := _worded(
		verdict,
		sprintf("compared with the champion it is: %s", [verdict]),
		sprintf("it was not compared with the champion: keelway run %s", [_model]),
	)
} | {reason |
	live == "missing"
	reason := "the evidence does not say which version is the champion"
}

_not_worse(verdict) if verdict in {"better", "equivalent", "no difference shown", "no difference"}

_named("") := "nothing"

_named(name) := name if name != ""

_admitted_here if {
	environment := _word(["environment"])
	is_number(figure(["admissions", environment, "age_days"]))
}

# On the same rows the version may lose at most this much against the live champion, by the end of the interval that
# speaks against it. It asks where a version was let in before as well; without a champion there is nothing to lose.
# reads: champion.live; champion.compared == the live champion; versus_champion.worst_loss <= {margin}
# made by: keelway run MODEL, which compares with the champion of that moment
loses_at_most(margin) := {reason |
	live := _word(["champion", "live"])
	live != ""
	some reason in _loss_reasons(live, margin)
}

_loss_reasons(live, margin) := {reason |
	compared := _word(["champion", "compared"])
	compared != live
	reason := sprintf("the champion is %s, but the version was compared with %s", [_named(live), _named(compared)])
} | {reason |
	live == "missing"
	reason := "the evidence does not say which version is the champion"
} | {reason |
	loss := figure(["versus_champion", "worst_loss"])
	not _at_most(loss, margin)
	reason := _told(
		loss,
		sprintf("against the champion it may lose %v with confidence, allowed is %v", [_up(loss), margin]),
		sprintf("nothing says how much it loses against the champion: keelway run %s", [_model]),
	)
}

# The version must not be worse than the trivial rule (one feature's value alone).
# reads: versus_trivial.verdict in better|equivalent|no difference shown
# made by: Model(trivial_rule=...), then keelway run MODEL
not_worse_than_trivial := {reason |
	verdict := _word(["versus_trivial", "verdict"])
	not _not_worse(verdict)
	reason := _worded(
		verdict,
		sprintf("compared with the trivial rule it is: %s", [verdict]),
		sprintf("it was not compared with a trivial rule: declare one, then keelway run %s", [_model]),
	)
}

# The version must be better than the trivial rule.
# reads: versus_trivial.verdict == better
# made by: Model(trivial_rule=...), then keelway run MODEL
beats_trivial := {reason |
	verdict := _word(["versus_trivial", "verdict"])
	verdict != "better"
	reason := _worded(
		verdict,
		sprintf("it has to beat the trivial rule, and compared with it is: %s", [verdict]),
		sprintf("it was not compared with a trivial rule: declare one, then keelway run %s", [_model]),
	)
}

# On no value of these columns the first metric may be shown to be worse than on all other rows.
# reads: slices.{columns}.judged >= 1; slices.{columns}.worse <= 0; slices.{columns}.worst
# made by: Model(evaluation=Evaluation(slices=...)), then keelway run MODEL
no_slice_worse(columns) := _no_names(columns, "no_slice_worse") | {reason |
	some column in columns
	judged := figure(["slices", column, "judged"])
	not _at_least(judged, 1)
	reason := sprintf("no slice by %s was judged: declare Evaluation(slices=...), then keelway run %s", [column, _model])
} | {reason |
	some column in columns
	worse := figure(["slices", column, "worse"])
	not _at_most(worse, 0)
	reason := _told(
		worse,
		sprintf("by %s it is worse on %v slices, the worst is %s", [column, worse, _word(["slices", column, "worst"])]),
		sprintf("nothing says on how many slices by %s it is worse", [column]),
	)
}
