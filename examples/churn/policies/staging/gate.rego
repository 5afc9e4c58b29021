# What a version of churn needs to be tried in staging.
package keelway.gate

import data.keelway.lib

rules contains "auc floor"

deny contains reason if some reason in lib.auc_floor(0.65)

rules contains "not worse than recency alone"

deny contains reason if some reason in lib.not_worse_than_trivial

rules contains "parity"

deny contains reason if some reason in lib.parity

rules contains "little quarantined"

deny contains reason if some reason in lib.quarantined_at_most(0.05)
