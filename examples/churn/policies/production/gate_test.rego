# Tests in Rego, in the form of Open Policy Agent: keelway policy test. The cases in tests/gate.yaml judge as the gate
# does, silence included; these ask for single rules.
package keelway.gate_test

import data.keelway.gate

test_every_rule_has_a_name if count(gate.rules) == 10

test_a_low_floor_is_named if {
	reasons := gate.deny with input as {"metrics": {"roc_auc": {"low": 0.5}}}
	some reason in reasons
	contains(reason, "is at least 0.5 with confidence, needs 0.7")
}

test_nothing_known_is_no_yes if {
	reasons := gate.deny with input as {}
	count(reasons) >= 10
}
