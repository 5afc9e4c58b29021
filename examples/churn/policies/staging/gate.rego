# What a version of churn needs to be tried in staging.
package keelway.gate

import data.keelway.lib

rules := {
	"auc_floor",
	"not_worse_than_trivial",
	"parity",
	"quarantined_at_most",
}

deny contains reason if some reason in lib.auc_floor(0.75)

passed contains "auc_floor" if count(lib.auc_floor(0.75)) == 0

deny contains reason if some reason in lib.not_worse_than_trivial

passed contains "not_worse_than_trivial" if count(lib.not_worse_than_trivial) == 0

deny contains reason if some reason in lib.parity

passed contains "parity" if count(lib.parity) == 0

deny contains reason if some reason in lib.quarantined_at_most(0.05)

passed contains "quarantined_at_most" if count(lib.quarantined_at_most(0.05)) == 0
