# Ready rules. Each answers with the set of reasons why it refuses; the empty set means yes. Each refuses when the
# figures it needs are missing or are no numbers, which policies that compare directly would not.
package keelway.lib

# figure(path) is the number at a path of the evidence; the text "missing" where there is none.
figure(path) := value if {
	value := object.get(input, path, "missing")
	is_number(value)
} else := "missing"

# The lower end of a metric's confidence interval has to reach a floor.
metric_floor(metric, floor) := {reason |
	low := figure(["metrics", metric, "low"])
	not _at_least(low, floor)
	reason := sprintf("%s is at least %v with confidence, needs %v", [metric, _down(low), floor])
}

auc_floor(floor) := metric_floor("roc_auc", floor)

# The upper end of a metric's interval has to stay under a ceiling (for losses).
metric_ceiling(metric, ceiling) := {reason |
	high := figure(["metrics", metric, "high"])
	not _at_most(high, ceiling)
	reason := sprintf("%s is at most %v with confidence, allowed is %v", [metric, _up(high), ceiling])
}

# On the same rows the version must not be worse than the champion that is live now. A version that was let in
# here before is a rollback and needs no new comparison; without a champion there is nothing to compare with.
not_worse_than_champion := {reason |
	live := object.get(input, ["champion", "live"], "unknown")
	live != ""
	not _admitted_here
	some reason in _champion_reasons(live)
}

_champion_reasons(live) := {reason |
	compared := object.get(input, ["champion", "compared"], "nothing")
	compared != live
	reason := sprintf("the champion is %s, but the version was compared with %s", [_named(live), _named(compared)])
} | {reason |
	verdict := object.get(input, ["versus_champion", "verdict"], "missing")
	not verdict in {"better", "equivalent", "no difference shown", "no difference"}
	reason := sprintf("compared with the champion it is: %s", [verdict])
}

_named("") := "nothing"

_named(name) := name if name != ""

_admitted_here if {
	count(object.get(input, ["admissions", input.environment], {})) > 0
}

# The version must not be worse than the trivial rule (one feature's value alone).
not_worse_than_trivial := {reason |
	verdict := object.get(input, ["versus_trivial", "verdict"], "missing")
	not verdict in {"better", "equivalent", "no difference shown", "no difference"}
	reason := sprintf("compared with the trivial rule it is: %s", [verdict])
}

# The version must be better than the trivial rule.
beats_trivial := {reason |
	verdict := object.get(input, ["versus_trivial", "verdict"], "missing")
	verdict != "better"
	reason := sprintf("it has to beat the trivial rule, and compared with it is: %s", [verdict])
}

# The exported model has to answer like the trained one, nulls and unseen values included.
parity := {reason |
	difference := figure(["parity", "max_difference"])
	tolerance := figure(["parity", "tolerance"])
	not _at_most(difference, tolerance)
	reason := sprintf("the ONNX model differs by %v, allowed is %v", [difference, tolerance])
} | {reason |
	some kind in ["nulls_tested", "unseen_tested"]
	object.get(input, ["parity", kind], false) != true
	reason := sprintf("parity was checked without %s", [kind])
} | {reason |
	rows := figure(["parity", "rows"])
	not _at_least(rows, 1)
	reason := "parity was checked on no rows"
}

# Of every dataset at most this share of the recent rows may have been quarantined.
quarantined_at_most(share) := _without_snapshots | {reason |
	some name in object.keys(_snapshots)
	found := figure(["snapshots", name, "quarantined_share"])
	not _at_most(found, share)
	reason := sprintf("%s: %v of the rows are quarantined, allowed is %v", [name, _up(found), share])
}

# Every snapshot has to hold data that became known at most this many days before now.
fresh_within_days(days) := _without_snapshots | {reason |
	some name in object.keys(_snapshots)
	age := figure(["snapshots", name, "age_days"])
	not _at_most(age, days)
	reason := sprintf("%s: the newest data is %v days old, allowed is %v", [name, _up(age), days])
}

_snapshots := object.get(input, "snapshots", {})

_without_snapshots := {reason |
	count(_snapshots) == 0
	reason := "the evidence names no snapshots"
}

# Every label of training has to have matured before the test's features: no window may overlap.
no_overlap := overlap_at_most_days(0)

# Label windows of training may reach at most this many days into the test's window.
overlap_at_most_days(days) := {reason |
	overlap := figure(["training", "overlap_days"])
	not _at_most(overlap, days)
	reason := sprintf("training labels overlap the test by %v days, allowed is %v", [_up(overlap), days])
}

# The evaluation needs at least so many rows of the positive class.
positives_at_least(wanted) := {reason |
	found := figure(["evaluation", "positives"])
	not _at_least(found, wanted)
	reason := sprintf("the test has %v positive rows, needs %v", [found, wanted])
}

# Decisions may not fall on one group of people much more often than on another: by each of these columns the
# four-fifths rule has to pass. Groups too small to be judged refuse as well.
four_fifths(columns) := {reason |
	count(columns) == 0
	reason := "the four-fifths rule names no column"
} | {reason |
	some column in columns
	verdict := object.get(input, ["fairness", column, "four_fifths"], "is not measured")
	verdict != "passes"
	ratio := figure(["fairness", column, "parity_ratio", "value"])
	reason := sprintf("the four-fifths rule by %s %s: the ratio of shares selected is %v", [column, verdict, _down(ratio)])
}

# The training has to have run code that a commit holds: files that differed from it, or no commit at all, refuse.
committed := {reason |
	object.get(input, ["code", "commit"], "") == ""
	reason := "the training names no commit"
} | {reason |
	object.get(input, ["code", "commit"], "") != ""
	object.get(input, ["code", "dirty"], "unknown") != false
	reason := sprintf("the training ran files that differ from commit %s", [substring(input.code.commit, 0, 12)])
}

# Model bytes and signed statement have to verify.
signed := {reason |
	object.get(input, ["signature", "verified"], false) != true
	reason := sprintf("the signature does not verify: %s", [object.get(input, ["signature", "reason"], "not checked")])
}

# The version must have been let into another environment before.
admitted_in(environment) := {reason |
	count(object.get(input, ["admissions", environment], {})) == 0
	reason := sprintf("it was never admitted to %s", [environment])
}

_at_least(value, floor) if {
	is_number(value)
	is_number(floor)
	value >= floor
}

_at_most(value, ceiling) if {
	is_number(value)
	is_number(ceiling)
	value <= ceiling
}

# In sentences figures have four decimals, rounded to the side that refuses; what is no number stays as it is.
_down(value) := floor((value * 10000) + 0.000001) / 10000 if is_number(value)

_down(value) := value if not is_number(value)

_up(value) := ceil((value * 10000) - 0.000001) / 10000 if is_number(value)

_up(value) := value if not is_number(value)
