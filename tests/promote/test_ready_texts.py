"""What ready rules and policies say of themselves is read from their text: calls, arguments, places, statements."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.promote.policy_worlds import EXAMPLES, SAMPLE, gate_of

from keelway.engines.rego import RegoEngine
from keelway.promote import library_texts
from keelway.promote.policies import (
    EvidenceRead,
    ReadyRule,
    RuleCall,
    calls_in,
    changed,
    gate_text,
    library_aliases,
    places_at,
    reads_of,
    ready_rules,
    statements_in,
    value_at,
    without_comments,
)

ENGINE = RegoEngine()


def calls(code: str) -> list[tuple[str, tuple[Any, ...]]]:
    return [(call.name, call.arguments) for call in calls_in(code, aliases=("lib",))]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("some r in lib.signed", [("signed", ())]),
        ('lib.metric_floor("a, (b", 0.75)', [("metric_floor", ("a, (b", 0.75))]),
        ('lib.four_fifths(["sex", "age"])', [("four_fifths", (["sex", "age"],))]),
        ("lib.auc_floor(floor)", [("auc_floor", (None,))]),
        ('lib.from_tier("high", lib.auc_floor(1))', [("from_tier", ("high", None)), ("auc_floor", (1,))]),
        ('lib.metric_floor("a \\" b", -1)', [("metric_floor", ('a " b', -1))]),
        ("lib.f()", [("f", ())]),
        ("other.lib.signed and library.signed", []),
        ("data.keelway.lib.signed", []),
    ],
)
def test_calls_are_read_with_their_arguments(code: str, found: list[Any]) -> None:
    assert calls(code) == found


def test_a_computed_argument_is_shown_as_such() -> None:
    assert str(RuleCall("metric_floor", ("auc", None))) == 'metric_floor("auc", ...)'
    assert str(RuleCall("signed", ())) == "signed"


@pytest.mark.parametrize(
    ("code", "aliases"),
    [
        ("import data.keelway.lib\n", ("data.keelway.lib", "lib")),
        ("import data.keelway.lib as ready\n", ("data.keelway.lib", "ready")),
        ("import data.keelway.liberty\n", ("data.keelway.lib",)),
    ],
)
def test_the_library_is_known_under_the_names_it_is_imported_by(code: str, aliases: tuple[str, ...]) -> None:
    assert library_aliases(code) == aliases


RULE = ReadyRule(
    "rule", ("columns", "most"), "Says.", (EvidenceRead("fairness.{columns}.high", "<=", "{most}"),), "keelway run"
)


@pytest.mark.parametrize(
    ("arguments", "places"),
    [
        ((["a", "b"], 0.1), [("fairness.a.high", "0.1"), ("fairness.b.high", "0.1")]),
        (("a", 2), [("fairness.a.high", "2")]),
        ((None, None), [("fairness.*.high", "a computed value")]),
        (([], 1), []),
        ((), [("fairness.*.high", "a computed value")]),
    ],
)
def test_places_are_those_of_the_arguments(arguments: tuple[Any, ...], places: list[tuple[str, str]]) -> None:
    found = reads_of(RULE, RuleCall("rule", arguments))
    assert [(read.path, read.limit) for read in found] == places
    assert RULE.usage == "rule(columns, most)"


def test_only_what_says_what_it_reads_is_a_ready_rule() -> None:
    text = "package keelway.lib\n\n# Asks.\n# reads: a.b\n# made by: x\none := 1\n\n# Only a helper.\ntwo := 2\n"
    assert list(ready_rules({"library/own.rego": text, "gate.rego": text.replace("one", "three")})) == ["one"]


def test_every_rule_of_the_library_that_is_no_helper_says_what_it_reads() -> None:
    import re

    texts = library_texts()
    named = {name for text in texts.values() for name in re.findall(r"^([a-z]\w*)[ (].*:=", text, re.MULTILINE)}
    assert named - {"figure"} == set(ready_rules(texts))


def test_comments_go_and_texts_stay_where_they_are() -> None:
    text = 'a := "# no comment" # a "comment"\nb := `#` # c\n'
    assert without_comments(text).split("\n") == ['a := "# no comment"' + " " * 14, "b := `#`" + " " * 4, ""]
    assert len(without_comments(text)) == len(text)


def test_statements_begin_where_a_line_begins_with_a_word() -> None:
    code = "package a\n\nx := 1 if {\n\ttrue\n} else := 2 if {\n\tfalse\n}\n\ny := 3\n"
    assert [line for line, _ in statements_in(code)] == [1, 3, 9]
    assert list(statements_in("")) == []


PLACES = sorted({
    path
    for call in EXAMPLES.values()
    for clause in gate_text(gate_of(call)).clauses
    for read in clause.reads
    if read.operator
    for path in places_at(SAMPLE, read.path)
} - {"code.commit", "checklist.required", "checklist.missing"})  # fmt: skip
ALL = gate_of(*EXAMPLES.values())
WORSE = st.one_of(st.floats(-1e9, 1e9), st.text(max_size=4), st.booleans(), st.none())


@settings(max_examples=60, deadline=None)
@given(worse=st.dictionaries(st.sampled_from(PLACES), WORSE, min_size=1, max_size=4), hole=st.sampled_from(PLACES))
def test_no_hole_lets_in_what_all_rules_together_refuse(worse: dict[str, Any], hole: str) -> None:
    spoiled = SAMPLE
    for path, value in worse.items():
        if value_at(spoiled, path) is not value_at({}, "nothing"):
            spoiled = changed(spoiled, put={path: value})
    verdict = ENGINE.judge(ALL, spoiled)
    assert verdict == ENGINE.judge(ALL, json.loads(json.dumps(spoiled)))
    holed = changed(spoiled, put={hole: None})
    assert not ENGINE.judge(ALL, holed).allowed
    assert not ENGINE.judge(ALL, changed(holed, remove=(hole,))).allowed
