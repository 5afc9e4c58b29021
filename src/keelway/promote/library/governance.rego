# Ready rules on how an environment is run and who answers for a version: drills, budgets, freezes, risk, order.
package keelway.lib

# The version must have been let into another environment before.
# reads: admissions.{environment}.age_days exists
# made by: keelway promote VERSION --to ENVIRONMENT
admitted_in(environment) := {reason |
	not is_number(figure(["admissions", environment, "age_days"]))
	reason := sprintf("it was never admitted to %s", [environment])
}

# The version must have been in another environment for at least this many days.
# reads: admissions.{environment}.age_days >= {days}
# made by: keelway promote VERSION --to ENVIRONMENT, and time
admitted_days_ago(environment, days) := {reason |
	age := figure(["admissions", environment, "age_days"])
	not _at_least(age, days)
	reason := _told(
		age,
		sprintf("it was admitted to %s %v days ago, needs %v", [environment, _down(age), days]),
		sprintf("it was never admitted to %s", [environment]),
	)
}

# In another environment the last rollout of the version that ended has to have shown it to be good, and to have finished.
# reads: rollouts.{environment}.outcome == success; rollouts.{environment}.state == finished
# made by: keelway rollout MODEL --env ENVIRONMENT
rollout_succeeded(environment) := {reason |
	outcome := _word(["rollouts", environment, "outcome"])
	outcome != "success"
	reason := _worded(
		outcome,
		sprintf("its rollout in %s came out as: %s", [environment, outcome]),
		sprintf("no rollout of it in %s was judged and has ended: keelway rollout %s --env %s", [environment, _model, environment]),
	)
} | {reason |
	state := _word(["rollouts", environment, "state"])
	state != "finished"
	reason := _worded(
		state,
		sprintf("its rollout in %s ended as: %s", [environment, state]),
		sprintf("nothing says how its rollout in %s ended", [environment]),
	)
}

# A drill of this kind (such as rollback or restore) has to have gone well at most this many days ago.
# reads: drills.{kind}.passed == true; drills.{kind}.age_days <= {days}
# made by: keelway drill record MODEL
drilled_within_days(kind, days) := {reason |
	object.get(input, ["drills", kind, "passed"], false) != true
	reason := sprintf("no drill of %s is recorded that went well: keelway drill record %s", [kind, _model])
} | {reason |
	age := figure(["drills", kind, "age_days"])
	not _at_most(age, days)
	reason := _told(
		age,
		sprintf("the last drill of %s was %v days ago, allowed is %v", [kind, _up(age), days]),
		sprintf("nothing says when %s was drilled", [kind]),
	)
}

# Of the error budget of the model's requests in the environment at least this share has to be left.
# reads: error_budget.left >= {share}
# made by: keelway serve, with environments.NAME.objective in keelway.toml
error_budget_at_least(share) := {reason |
	left := figure(["error_budget", "left"])
	not _at_least(left, share)
	reason := _told(
		left,
		sprintf("of the error budget %v is left, needs %v", [_down(left), share]),
		"no error budget is known: it needs an objective and requests that were served",
	)
}

# No change freeze may be on.
# reads: freeze.active == false; freeze.reason
# made by: environments.NAME.freeze in keelway.toml
no_freeze := {reason |
	object.get(input, ["freeze", "active"], "unknown") != false
	reason := sprintf("changes are frozen: %v", [object.get(input, ["freeze", "reason"], "the evidence does not say whether")])
}

# No incident of the model may be open.
# reads: incidents.open <= 0; incidents.worst
# made by: keelway incidents list, keelway incidents close
no_open_incidents := {reason |
	open := figure(["incidents", "open"])
	not _at_most(open, 0)
	reason := _told(
		open,
		sprintf("%v incidents are open, the worst is: %v", [open, object.get(input, ["incidents", "worst"], "unknown")]),
		"the evidence does not say whether incidents are open",
	)
}

# The model's risk has to be assessed, for what is declared now, and not due for review.
# reads: risk.tier in minimal|limited|high; risk.expired == false; risk.stale == false
# made by: keelway risk assess MODEL
risk_assessed := {reason |
	not _tier
	reason := sprintf("the risk of the model was not assessed: keelway risk assess %s", [_model])
} | {reason |
	_tier == _order.unacceptable
	reason := "the risk of the model is unacceptable"
} | {reason |
	_tier
	object.get(input, ["risk", "expired"], true) != false
	reason := sprintf("the risk assessment is due for review: keelway risk assess %s", [_model])
} | {reason |
	_tier
	object.get(input, ["risk", "stale"], true) != false
	reason := sprintf("the risk assessment is of another declaration: keelway risk assess %s", [_model])
}

# The model's risk tier may be at most this one (minimal, limited or high).
# reads: risk.tier <= {tier}
# made by: keelway risk assess MODEL
risk_at_most(tier) := {reason |
	not _tier
	reason := sprintf("the risk of the model was not assessed: keelway risk assess %s", [_model])
} | {reason |
	_tier
	not _tier_within(tier)
	reason := sprintf("the risk tier is %s, allowed is %v", [_word(["risk", "tier"]), tier])
}

# These reasons count from this risk tier on (minimal, limited or high); where the tier is unknown they count too:
# from_tier("high", four_fifths(["sex"])).
# reads: risk.tier; {reasons}
# made by: keelway risk assess MODEL
from_tier(tier, reasons) := {reason |
	not _below(tier)
	some reason in reasons
} | {reason |
	not _tier
	reason := sprintf("the risk of the model was not assessed: keelway risk assess %s", [_model])
} | {reason |
	not _order[tier]
	reason := sprintf("%v is no risk tier: minimal, limited or high", [tier])
}

_tier := _order[_word(["risk", "tier"])]

_tier_within(tier) if _tier <= _order[tier]

_below(tier) if _tier < _order[tier]

_order := {"minimal": 1, "limited": 2, "high": 3, "unacceptable": 4}

# Every item of the environment's checklist has to be answered.
# reads: checklist.required exists; checklist.missing == []
# made by: keelway checklist VERSION --to ENVIRONMENT
checklist_answered := {reason |
	not is_array(object.get(input, ["checklist", "missing"], "missing"))
	reason := "the evidence holds no checklist"
} | {reason |
	some item in object.get(input, ["checklist", "missing"], [])
	reason := sprintf("the checklist lacks: %v", [item])
} | {reason |
	not is_array(object.get(input, ["checklist", "required"], "missing"))
	reason := "the evidence does not say what is on the checklist"
}

# The version must not be deprecated or retired.
# reads: lifecycle.state == active
# made by: keelway models deprecate, keelway models retire
in_service := {reason |
	state := _word(["lifecycle", "state"])
	state != "active"
	reason := sprintf("the version is not active: its state is %s", [state])
}
