# What a version needs to answer real requests. The approval by somebody who is not the author, and the
# service principal, are asked for in keelway.toml: they are about who, this is about what.
package keelway.gate

import data.keelway.lib

rules contains "staging first"

deny contains reason if some reason in lib.admitted_in("staging")

rules contains "auc floor"

deny contains reason if some reason in lib.auc_floor(0.65)

rules contains "not worse than the trivial rule"

deny contains reason if some reason in lib.not_worse_than_trivial

rules contains "not worse than the champion"

deny contains reason if some reason in lib.not_worse_than_champion

rules contains "parity"

deny contains reason if some reason in lib.parity

rules contains "enough positives"

deny contains reason if some reason in lib.positives_at_least(100)

rules contains "little quarantined"

deny contains reason if some reason in lib.quarantined_at_most(0.05)

rules contains "risk assessed"

deny contains reason if some reason in lib.risk_assessed

rules contains "risk bearable"

deny contains reason if some reason in lib.risk_at_most("limited")

rules contains "signed"

deny contains reason if some reason in lib.signed
