# Ready rules on the model itself: its exported form, speed, size, card, signature, and how it was made.
package keelway.lib

# The exported model has to answer like the trained one, nulls and unseen values included.
# reads: parity.max_difference <= parity.tolerance; parity.tolerance; parity.nulls_tested == true; parity.unseen_tested == true; parity.rows >= 1
# made by: keelway run MODEL
parity := {reason |
	difference := figure(["parity", "max_difference"])
	tolerance := figure(["parity", "tolerance"])
	not _at_most(difference, tolerance)
	reason := _told(
		difference,
		sprintf("the ONNX model differs by %v, allowed is %v", [difference, tolerance]),
		sprintf("nothing says how far the ONNX model differs: keelway run %s", [_model]),
	)
} | {reason |
	some kind in ["nulls_tested", "unseen_tested"]
	object.get(input, ["parity", kind], false) != true
	reason := sprintf("parity was checked without %s", [kind])
} | {reason |
	rows := figure(["parity", "rows"])
	not _at_least(rows, 1)
	reason := "parity was checked on no rows"
}

# One answer of the exported model may take at most this many milliseconds at the 99th percentile.
# reads: latency.p99_ms <= {milliseconds}
# made by: keelway policy measure VERSION --latency
latency_at_most_ms(milliseconds) := {reason |
	found := figure(["latency", "p99_ms"])
	not _at_most(found, milliseconds)
	reason := _told(
		found,
		sprintf("one answer takes %v ms at the 99th percentile, allowed are %v", [_up(found), milliseconds]),
		sprintf("the latency was not measured: keelway policy measure %s --latency", [_version]),
	)
}

# The exported model may have at most this many megabytes (of 1,000,000 bytes).
# reads: size.onnx_bytes <= 1000000 * {megabytes}
# made by: keelway run MODEL
size_at_most_mb(megabytes) := {reason |
	found := figure(["size", "onnx_bytes"])
	not _within_megabytes(found, megabytes)
	reason := _told(
		found,
		sprintf("the model has %v bytes, allowed are %v MB", [found, megabytes]),
		sprintf("the model's bytes are not in the artifact store: keelway run %s", [_model]),
	)
}

_within_megabytes(bytes, megabytes) if {
	is_number(bytes)
	is_number(megabytes)
	bytes <= megabytes * 1000000
}

# Every question that the model card has to answer needs an answer.
# reads: card.gaps <= 0; card.missing
# made by: keelway card VERSION shows the gaps; Model(card=Card(...)) answers them
card_complete := {reason |
	gaps := figure(["card", "gaps"])
	not _at_most(gaps, 0)
	reason := _told(
		gaps,
		sprintf("the model card has %v gaps: %v", [gaps, object.get(input, ["card", "missing"], [])]),
		sprintf("the model card cannot be made: keelway card %s", [_version]),
	)
}

# Model bytes and signed statement have to verify.
# reads: signature.verified == true; signature.reason
# made by: keelway run MODEL
signed := {reason |
	object.get(input, ["signature", "verified"], false) != true
	reason := sprintf("the signature does not verify: %v", [object.get(input, ["signature", "reason"], "not checked")])
}

# The exported model has to be signed as OpenSSF model-signing has it, so that whoever gets it can check it.
# reads: signature.model_signing.verified == true; signature.model_signing.reason
# made by: keelway models export VERSION
model_signed := {reason |
	object.get(input, ["signature", "model_signing", "verified"], false) != true
	reason := sprintf("the exported model is not signed (%v): keelway models export %s", [
		object.get(input, ["signature", "model_signing", "reason"], "it was never exported"),
		_version,
	])
}

# The training has to have been done again, and to have come out the same: same bytes, or same figures.
# reads: reproduction.alike in bit-equal|metric-equal
# made by: keelway policy measure VERSION --reproduce
reproducible := {reason |
	alike := _word(["reproduction", "alike"])
	not alike in {"bit-equal", "metric-equal"}
	reason := _worded(
		alike,
		sprintf("trained again it came out: %s", [alike]),
		sprintf("nobody trained it again: keelway policy measure %s --reproduce", [_version]),
	)
}

# The training has to have been done again, and to have come out with the very same bytes.
# reads: reproduction.alike == bit-equal
# made by: keelway policy measure VERSION --reproduce
bit_equal := {reason |
	alike := _word(["reproduction", "alike"])
	alike != "bit-equal"
	reason := _worded(
		alike,
		sprintf("trained again it came out: %s, needs bit-equal", [alike]),
		sprintf("nobody trained it again: keelway policy measure %s --reproduce", [_version]),
	)
}

# There has to be a bill of materials of the version, with at least one component.
# reads: bom.present == true; bom.components >= 1
# made by: keelway run MODEL
bom_listed := {reason |
	object.get(input, ["bom", "present"], false) != true
	reason := sprintf("there is no bill of materials of %s", [_version])
} | {reason |
	components := figure(["bom", "components"])
	not _at_least(components, 1)
	reason := "the bill of materials names no component"
}

# The training has to have run code that a commit holds: files that differed from it, or no commit at all, refuse.
# reads: code.commit != ""; code.dirty == false
# made by: git commit, then keelway run MODEL
committed := {reason |
	_commit == ""
	reason := "the training names no commit"
} | {reason |
	_commit != ""
	object.get(input, ["code", "dirty"], "unknown") != false
	reason := sprintf("the training ran files that differ from commit %s", [substring(_commit, 0, 12)])
}

_commit := value if {
	value := object.get(input, ["code", "commit"], "")
	is_string(value)
} else := ""
