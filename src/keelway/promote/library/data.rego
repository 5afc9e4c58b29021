# Ready rules on the data behind a version, and on what comes in since.
package keelway.lib

# Of every dataset at most this share of the recent rows may have been quarantined.
# reads: snapshots.*.quarantined_share <= {share}
# made by: keelway ingest
quarantined_at_most(share) := _without_snapshots | {reason |
	some name in object.keys(_snapshots)
	found := figure(["snapshots", name, "quarantined_share"])
	not _at_most(found, share)
	reason := _told(
		found,
		sprintf("%s: %v of the rows are quarantined, allowed is %v", [name, _up(found), share]),
		sprintf("%s: nothing says which share of its rows is quarantined: keelway ingest", [name]),
	)
}

# Every snapshot has to hold data that became known at most this many days before now.
# reads: snapshots.*.age_days <= {days}
# made by: keelway ingest
fresh_within_days(days) := _without_snapshots | {reason |
	some name in object.keys(_snapshots)
	age := figure(["snapshots", name, "age_days"])
	not _at_most(age, days)
	reason := _told(
		age,
		sprintf("%s: the newest data is %v days old, allowed is %v", [name, _up(age), days]),
		sprintf("%s: nothing says how old the newest data is: keelway ingest", [name]),
	)
}

# Every dataset's contract has to be active, and to be the one that its newest batch was checked by.
# reads: snapshots.*.contract_status == active; snapshots.*.contract_current == true
# made by: status in the contract's file, then keelway ingest and keelway run MODEL
contracts_in_force := _without_snapshots | {reason |
	some name in object.keys(_snapshots)
	status := _word(["snapshots", name, "contract_status"])
	status != "active"
	reason := _worded(
		status,
		sprintf("%s: the contract's status is %s, needs active", [name, status]),
		sprintf("%s: the contract's file has no status, needs active", [name]),
	)
} | {reason |
	some name in object.keys(_snapshots)
	object.get(input, ["snapshots", name, "contract_current"], false) != true
	reason := sprintf("%s: newer data has another contract: keelway run %s", [name, _model])
}

_snapshots := _children(["snapshots"])

_without_snapshots := {reason |
	count(_snapshots) == 0
	reason := "the evidence names no snapshots"
}

# What came in since the training has to look like it, by the model's own monitor; too few rows to judge refuse.
# reads: drift.verdict == stable; drift.columns
# made by: keelway monitor MODEL --env ENVIRONMENT
no_drift := {reason |
	verdict := _word(["drift", "verdict"])
	verdict != "stable"
	reason := _worded(
		verdict,
		sprintf("since the training the inputs are: %s %v", [verdict, object.get(input, ["drift", "columns"], [])]),
		sprintf("drift since the training was not measured: keelway monitor %s", [_model]),
	)
}

# Since the training no feature may have moved further than this (population stability index).
# reads: drift.worst_psi <= {ceiling}
# made by: keelway monitor MODEL --env ENVIRONMENT
drift_at_most(ceiling) := {reason |
	psi := figure(["drift", "worst_psi"])
	not _at_most(psi, ceiling)
	reason := _told(
		psi,
		sprintf("since the training a feature moved by a PSI of %v, allowed is %v", [_up(psi), ceiling]),
		sprintf("drift since the training was not measured: keelway monitor %s", [_model]),
	)
}

# Drift has to have been measured at most this many days ago.
# reads: drift.age_days <= {days}
# made by: keelway monitor MODEL --env ENVIRONMENT
drift_watched_within_days(days) := {reason |
	age := figure(["drift", "age_days"])
	not _at_most(age, days)
	reason := _told(
		age,
		sprintf("drift was measured %v days ago, allowed is %v", [_up(age), days]),
		sprintf("drift since the training was not measured: keelway monitor %s", [_model]),
	)
}

# Where outcomes of its own answers are known, the version has to have kept its quality, by the model's own monitor.
# reads: quality.verdict == kept
# made by: keelway outcomes MODEL, then keelway monitor MODEL --env ENVIRONMENT
quality_kept := {reason |
	verdict := _word(["quality", "verdict"])
	verdict != "kept"
	reason := _worded(
		verdict,
		sprintf("the quality of its answers is: %s", [verdict]),
		sprintf("the quality of its answers was not measured: keelway monitor %s", [_model]),
	)
}
