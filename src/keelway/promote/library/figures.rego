# What the ready rules share: reading a figure so that a missing one refuses, comparing, and telling it.
package keelway.lib

# figure(path) is the number at a path of the evidence; the text "missing" where there is none.
figure(path) := value if {
	value := object.get(input, path, "missing")
	is_number(value)
} else := "missing"

# _word(path) is the text at a path of the evidence; the text "missing" where there is none.
_word(path) := value if {
	value := object.get(input, path, "missing")
	is_string(value)
} else := "missing"

# _children(path) is the object at a path of the evidence; an empty one where there is none.
_children(path) := value if {
	value := object.get(input, path, {})
	is_object(value)
} else := {}

_model := _word(["version", "model"])

_version := _word(["version", "name"])

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

_above(value, floor) if {
	is_number(value)
	is_number(floor)
	value > floor
}

# The first sentence where there is a figure, the second where there is none.
_told(value, sentence, _) := sentence if is_number(value)

_told(value, _, missing) := missing if not is_number(value)

_worded("missing", _, missing) := missing

_worded(word, sentence, _) := sentence if word != "missing"

# A list of names that a rule is asked with must not be empty, or it would ask for nothing.
_no_names(names, rule) := {reason |
	not _some_names(names)
	reason := sprintf("%s is asked for no names: give it a list with at least one", [rule])
}

_some_names(names) if {
	is_array(names)
	count(names) > 0
}

# In sentences figures have four decimals, rounded to the side that refuses; what is no number stays as it is.
_down(value) := floor((value * 10000) + 0.000001) / 10000 if is_number(value)

_down(value) := value if not is_number(value)

_up(value) := ceil((value * 10000) - 0.000001) / 10000 if is_number(value)

_up(value) := value if not is_number(value)
