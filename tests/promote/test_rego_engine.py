"""The Rego engine keeps the promises of every policy engine, and closes Rego's own holes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import PolicyEngine, PolicySet
from keelway.engines.rego import RegoEngine
from keelway.testing.policy import GOOD, PolicyEngineConformance, with_low

HEAD = 'package keelway.gate\nrules contains "auc"\n'


class TestRego(PolicyEngineConformance):
    @pytest.fixture
    def engine(self) -> PolicyEngine:
        return RegoEngine()

    @property
    def floor(self) -> str:
        return (
            HEAD
            + """
deny contains reason if {
    low := object.get(input, ["metrics", "roc_auc", "low"], "missing")
    not enough(low)
    reason := sprintf("roc_auc is at least %v, needs 0.75", [low])
}
enough(low) if { is_number(low); low >= 0.75 }
"""
        )

    @property
    def broken(self) -> dict[str, str]:
        return {
            "does not compile": HEAD + "deny if {",
            "unknown function": HEAD + "deny contains x if x := nothing_like_it(1)",
            "recursion": HEAD + "deny contains x if { some x in deny }",
            "divides by zero": HEAD + 'deny contains "x" if 1 / input.metrics.roc_auc.zero == 1',
            "conflict": HEAD + 'deny contains "x" if f(1) == 3\nf(x) := 1\nf(x) := 2',
            "another package": 'package elsewhere\nrules contains "auc"\ndeny contains "x" if false',
            "no rules": 'package keelway.gate\ndeny contains "x" if false',
            "empty rules": 'package keelway.gate\nrules := set()\ndeny contains "x" if false',
            "no deny": HEAD + "allow := true",
            "reasons that are numbers": HEAD + "deny contains 5",
            "reasons that are empty": HEAD + 'deny contains ""',
            "deny is a boolean": HEAD + "deny := false",
            "rules are numbers": 'package keelway.gate\nrules contains 1\ndeny contains "x" if false',
            "the clock": HEAD + 'deny contains "late" if time.now_ns() < 0',
            "chance": HEAD + 'deny contains "bad luck" if rand.intn("x", 10) == 100',
        }


def judged(text: str, evidence: dict[str, object] = GOOD) -> tuple[bool, tuple[str, ...]]:
    verdict = RegoEngine().judge(PolicySet("gate", {"gate.rego": text}), evidence)
    return verdict.allowed, verdict.reasons


@pytest.mark.parametrize("low", [None, "missing"], ids=["null", "missing"])
def test_a_reason_that_prints_the_missing_figure_does_not_fall_silent(low: str | None) -> None:
    text = (
        HEAD
        + 'deny contains m if { not input.metrics.roc_auc.low >= 0.75; m := sprintf("%v", [input.metrics.roc_auc.low]) }'
    )
    evidence = with_low(None) if low is None else {"metrics": {"roc_auc": {}}}
    assert judged(text, evidence) == (
        False,
        ("gate.rego asks for input.metrics.roc_auc.low, which the evidence does not hold",),
    )


def test_the_plain_way_to_write_a_floor_refuses_what_is_missing() -> None:
    text = HEAD + 'deny contains "low" if input.metrics.roc_auc.low < 0.75'
    assert judged(text) == (True, ())
    assert not judged(text, {"metrics": {"roc_auc": {}}})[0]


def test_numbers_keep_every_digit() -> None:
    text = HEAD + 'deny contains "apart" if input.difference > 0.00000001'
    assert judged(text, {"difference": 1e-9})[0]
    assert not judged(text, {"difference": 1e-7})[0]


def test_where_rules_have_to_pass_one_that_is_silent_did_not() -> None:
    text = (
        'package keelway.gate\nrules contains "a"\nrules contains "b"\npassed contains "a"\ndeny contains "x" if false'
    )
    assert judged(text) == (False, ("the rule b did not pass",))
    assert judged(text + '\npassed contains "b"') == (True, ())


def test_text_with_quotes_and_line_breaks_travels_unharmed() -> None:
    text = HEAD + "deny contains input.note"
    nasty = 'a "quote", a \\ and a\nbreak, ☃, {"x": 1}'
    assert judged(text, {"note": nasty}) == (False, (nasty,))


def test_every_reason_is_told_at_once() -> None:
    text = HEAD + 'deny contains "second"\ndeny contains "first"'
    assert judged(text) == (False, ("first", "second"))


def test_words_in_comments_and_texts_are_not_taken_for_questions() -> None:
    text = HEAD + '# input.no.such.thing and time.now_ns()\ndeny contains "see input.nowhere" if false'
    assert judged(text) == (True, ())


SPEAKING = """
needs(name, floor) := sprintf("%s is %v, needs %v, says %s", [name, input.low, floor, "nobody"])
deny contains needs("roc_auc", 0.8)
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SPEAKING, "roc_auc is 0.5, needs 0.8, says nobody"),
        ('told(x) := sprintf("%s", [x])\ndeny contains told("a \\"b\\" c")', 'a "b" c'),
        ('told(x) := sprintf("the \\"%s\\" floor", [x])\ndeny contains told("auc")', 'the "auc" floor'),
        ('told(x) := sprintf("%s", [x])\ndeny contains told(`a "b" \\ c`)', 'a "b" \\ c'),
        ('told(x) := concat(" ", [x, json.marshal(0.25)])\ndeny contains told("roc_auc")', "roc_auc 0.25"),
        ('told(x) := sprintf("%v", [x])\ndeny contains told(["a", 1])', '["a", 1]'),
        ('told(x) := sprintf("%s", [x])\ndeny contains told(input.note)', 'say "é ☃"\n\\'),
        ("deny contains upper(input.plain)", "AUC"),
    ],
    ids=["constants", "true quotes", "quotes around", "raw text", "concat", "array", "from evidence", "upper"],
)
def test_a_reason_built_by_a_function_is_told_as_it_was_meant(text: str, reason: str) -> None:
    assert judged(HEAD + text, {"low": 0.5, "note": 'say "é ☃"\n\\', "plain": "auc"}) == (False, (reason,))


def test_a_reason_that_nobody_can_read_refuses_and_says_what_to_do() -> None:
    allowed, reasons = judged(HEAD + "deny contains upper(input.note)", {"note": "two\nlines"})
    assert not allowed
    assert reasons == ("the policy gate answers what nobody can read (JSONDecodeError): build reasons simpler",)


FLOORS = {
    "denies what is under": 'deny contains "low" if input.metrics.roc_auc.low < 0.8',
    "denies what is not above": 'deny contains "low" if not input.metrics.roc_auc.low >= 0.8',
    "asks for a number": (
        'low := object.get(input, ["metrics", "roc_auc", "low"], 0)\n'
        'deny contains "low" if not enough\nenough if { is_number(low); low >= 0.8 }'
    ),
}


@pytest.mark.parametrize("text", FLOORS.values(), ids=FLOORS)
def test_a_floor_holds_to_the_last_digit_and_against_null(text: str) -> None:
    assert judged(HEAD + text, with_low(0.8))[0]
    for low in (0.7999999, 0.79999999999, None):
        assert not judged(HEAD + text, with_low(low))[0]
    assert not judged(HEAD + text, {"metrics": {"roc_auc": {}}})[0]
    assert not judged(HEAD + text, {})[0]


def test_text_beyond_ascii_compares() -> None:
    assert judged(HEAD + 'deny contains "x" if input.note != "é ☃"', {"note": "é ☃"}) == (True, ())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('import input.metrics\ndeny contains "x" if metrics.auc.low < 0.7', "asks for input.metrics.auc.low"),
        ('import input.metrics as m\ndeny contains "x" if m.auc < 0.7', "asks for input.metrics.auc"),
        ("deny contains x if some x in data.keelway.lib.signed", "asks for data.keelway.lib.signed"),
        ("import data.own.rules\ndeny contains x if some x in rules.typo", "asks for data.own.rules.typo"),
        ('import data.own.rules as r\ndeny contains x if some x in r["typo"]', "computes a name in data.own.rules"),
        ('deny contains "x" if input.metrics.roc_auc.low < my_floor', "names my_floor, which nothing defines"),
        ('deny contains "x" if {\n  some i\n  typo in [1, 2]\n  i == typo\n}', "names typo, which nothing defines"),
        ('deny contains "x" if thing.low < 1', "names thing, which nothing defines"),
    ],
    ids=[
        "import",
        "import as",
        "no library",
        "misspelt rule",
        "computed rule",
        "misspelt name",
        "misspelt after some",
        "misspelt document",
    ],
)
def test_a_name_that_leads_nowhere_is_not_passed_over(text: str, told: str) -> None:
    policy = PolicySet(
        "gate",
        {
            "gate.rego": f'package keelway.gate\n{text}\nrules contains "x"\n',
            "own.rego": "package own.rules\n\ntrue_one := set()\n",
        },
    )
    verdict = RegoEngine().judge(policy, GOOD)
    assert not verdict.allowed
    assert told in " ".join(verdict.reasons)


def test_names_that_are_bound_are_let_through() -> None:
    text = """package keelway.gate
import rego.v1
import data.own.rules as own
default floor := 0.7
rules contains "a"
deny contains text if some text in own.true_one
deny contains "b" if { some name, one in input.metrics; not fine(one, floor); startswith(name, "r") }
deny contains "c" if { [first, second] := [1, 2]; first > second }
deny contains "d" if { every one in input.metrics { one.low < floor } }
deny contains "e" if { some i; [1, 2][i] == 3 }
deny contains "g" if { some [left, right] in [[1, 2]]; left > right }
deny contains "f" if count({key: true | some key, _ in input.metrics}) == 0
fine(one, least) if one.low >= least
"""
    files = {"gate.rego": text, "own.rego": "package own.rules\n\ntrue_one := set()\n"}
    assert RegoEngine().judge(PolicySet("gate", files), GOOD).reasons == ()


@pytest.mark.parametrize("call", ["time.now_ns()", 'rand.intn("x", 9)', 'http.send({"url": "x"})', "opa.runtime()"])
def test_a_call_whose_answer_changes_is_refused_even_in_a_rule_that_is_not_asked(call: str) -> None:
    allowed, reasons = judged(HEAD + f'deny contains "x" if false\nother := {call}')
    assert not allowed
    assert "whose answer changes" in reasons[0]


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(note=TEXTS, constant=TEXTS)
def test_any_text_comes_back_as_it_was_from_evidence_and_from_the_policy(note: str, constant: str) -> None:
    told = f'told(x, y) := sprintf("%s: %s", [x, y])\ndeny contains told({json.dumps(constant)}, input.note)'
    assert judged(HEAD + told, {"note": note}) == (False, (f"{constant}: {note}",))
