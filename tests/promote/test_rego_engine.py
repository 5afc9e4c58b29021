"""The Rego engine keeps the promises of every policy engine, and closes Rego's own holes."""

from __future__ import annotations

import pytest

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
