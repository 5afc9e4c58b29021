# What a version needs to be tried in staging.
package keelway.gate

import data.keelway.lib

rules contains "auc floor"

deny contains reason if some reason in lib.auc_floor(0.60)

rules contains "not worse than the trivial rule"

deny contains reason if some reason in lib.not_worse_than_trivial

rules contains "parity"

deny contains reason if some reason in lib.parity

rules contains "little quarantined"

deny contains reason if some reason in lib.quarantined_at_most(0.05)
