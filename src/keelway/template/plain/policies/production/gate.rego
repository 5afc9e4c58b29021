# What a version needs to answer real requests. The approval by somebody who is not the author, and the
# service principal, are asked for in keelway.toml: they are about who, this is about what.
package keelway.gate

import data.keelway.lib

rules := {
	"admitted_in_staging",
	"auc_floor",
	"not_worse_than_trivial",
	"not_worse_than_champion",
	"parity",
	"positives_at_least",
	"quarantined_at_most",
	"signed",
}

deny contains reason if some reason in lib.admitted_in("staging")

passed contains "admitted_in_staging" if count(lib.admitted_in("staging")) == 0

deny contains reason if some reason in lib.auc_floor(0.75)

passed contains "auc_floor" if count(lib.auc_floor(0.75)) == 0

deny contains reason if some reason in lib.not_worse_than_trivial

passed contains "not_worse_than_trivial" if count(lib.not_worse_than_trivial) == 0

deny contains reason if some reason in lib.not_worse_than_champion

passed contains "not_worse_than_champion" if count(lib.not_worse_than_champion) == 0

deny contains reason if some reason in lib.parity

passed contains "parity" if count(lib.parity) == 0

deny contains reason if some reason in lib.positives_at_least(200)

passed contains "positives_at_least" if count(lib.positives_at_least(200)) == 0

deny contains reason if some reason in lib.quarantined_at_most(0.05)

passed contains "quarantined_at_most" if count(lib.quarantined_at_most(0.05)) == 0

deny contains reason if some reason in lib.signed

passed contains "signed" if count(lib.signed) == 0
