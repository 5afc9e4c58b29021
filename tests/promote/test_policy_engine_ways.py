"""The ways round rego-cpp's faults and its slowness: compiled policies, batches, shortened evidence, tests in Rego."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.promote.policy_worlds import EXAMPLES, SAMPLE, gate_of

from keelway.core import PolicySet, canonical_json, digest_bytes
from keelway.engines.rego import RegoEngine
from keelway.engines.rego.needed import needed_by
from keelway.engines.rego.unit_tests import NO_DATA, SPLIT
from keelway.errors import EngineError
from keelway.promote.policies import changed

GATE = gate_of(*(EXAMPLES[name] for name in ("auc_floor", "parity", "signed", "quarantined_at_most", "no_freeze")))
ENGINE = RegoEngine()
HEAD = 'package keelway.gate\nrules contains "a"\n'


def one_file(text: str) -> PolicySet:
    return PolicySet("gate", {"gate.rego": HEAD + text})


FIGURES = st.one_of(st.floats(0, 1, allow_nan=False), st.none(), st.text(max_size=5), st.booleans(), st.integers(0, 9))
DOCUMENTS = st.builds(
    lambda low, share, verified, frozen, name: changed(
        SAMPLE,
        put={
            "metrics.roc_auc.low": low,
            "snapshots.orders.quarantined_share": share,
            "signature.verified": verified,
            "freeze.active": frozen,
            "author": name,
        },
    ),
    FIGURES, FIGURES, FIGURES, FIGURES, st.text(max_size=20),
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(documents=st.lists(DOCUMENTS, min_size=1, max_size=6))
def test_a_batch_says_the_same_as_single_judgements(documents: list[dict[str, Any]]) -> None:
    data = [canonical_json(document) for document in documents]
    alone = [ENGINE.judge(GATE, document) for document in documents]
    assert RegoEngine().judge_many(GATE, data, workers=1) == alone
    assert [verdict.evidence_digest for verdict in alone] == [digest_bytes(text) for text in data]


def test_processes_say_the_same_in_the_same_order() -> None:
    documents = [changed(SAMPLE, put={"metrics.roc_auc.low": number / 40}) for number in range(40)]
    data = [canonical_json(document) for document in documents]
    found = RegoEngine().judge_many(GATE, data, workers=2)
    assert found == [ENGINE.judge(GATE, document) for document in documents]
    assert [verdict.allowed for verdict in found] == [number / 40 >= 0.75 for number in range(40)]


def test_a_broken_policy_refuses_every_document_of_a_batch() -> None:
    data = [canonical_json(SAMPLE), b"{", b"[]", b'{"a":[null]}']
    for policy in (one_file("deny if {"), PolicySet("empty", {})):
        verdicts = RegoEngine().judge_many(policy, data, workers=1)
        assert not any(verdict.allowed for verdict in verdicts)
        assert all(verdict.reasons for verdict in verdicts)


def test_threads_judge_at_once() -> None:
    engine = RegoEngine()
    documents = [changed(SAMPLE, put={"metrics.roc_auc.low": number / 20}) for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda document: engine.judge(GATE, document).allowed, documents))
    assert found == [number / 20 >= 0.75 for number in range(20)]


def test_what_is_judged_is_what_was_stored() -> None:
    text = 'deny contains sprintf("%v", [input.age]) if true'
    assert RegoEngine().judge(one_file(text), {"age": 1.0}).reasons == ("1",)
    assert RegoEngine().judge_bytes(one_file(text), canonical_json({"age": 1.0})).reasons == ("1",)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("deny contains input.a.b", {"a": {"b": None}}),
        ('deny contains "x" if object.get(input, ["a", "b"], 0) == 1', {"a": {"b": None}}),
        ('deny contains "x" if object.get(input, "a", 0) == 1', {"a": None}),
        ('import input.a as m\ndeny contains "x" if m.b == 1', {"a": None}),
        ('deny contains "x" if { some name, _ in input; name == "a" }', None),
        ('deny contains "x" if { some key in ["a"]; input[key] == 1 }', None),
        ('path := ["a"]\ndeny contains "x" if object.get(input, path, 0) == 1', None),
        ('import data.keelway.lib\ndeny contains "x" if lib.figure(["a"]) == 1', None),
        ("import data.keelway.lib as own\ndeny contains r if some r in own.auc_floor(0.7)", {"metrics": None}),
    ],
)  # fmt: skip
def test_what_a_policy_can_read_is_told_from_its_text_or_all_is_kept(text: str, tree: dict[str, Any] | None) -> None:
    from keelway.promote import library_files

    files = {"gate.rego": HEAD + text}
    found = needed_by(PolicySet("gate", files | library_files(files))).tree
    if tree is None or found is None:
        assert found is tree
    else:
        assert {key: found[key] for key in tree if tree[key] is not None or found[key] is None} == {
            key: below for key, below in tree.items() if below is not None or found[key] is None
        }
        assert set(tree) <= set(found) <= {*tree, "version"}


@pytest.mark.parametrize(
    "text",
    ['deny contains "x" if f(1) with input as {}\nf(x) := x', "deny contains x if {\n x := 1\n  with input.a as 2\n}"],
)
def test_the_word_with_is_refused_because_it_would_end_the_process(text: str) -> None:
    (reason, *_) = RegoEngine().judge(one_file(text), {}).reasons
    assert "says `with`" in reason
    assert RegoEngine().faults(one_file(text))


UNIT_TESTS = """package keelway.gate_test

import data.keelway.gate

good := {"metrics": {"roc_auc": {"low": 0.8}}, "small": 1e-7, "note": "a \\"word\\", a \\\\ and\\n☃"}

test_refused if {
	weak := object.union(good, {"metrics": {"roc_auc": {"low": 0.5}}})  # a comment; with input as nothing
	reasons := gate.deny with input as weak
	some reason in reasons
	contains(reason, "at least 0.5 with confidence")
}

test_digits if input.small < 0.0000002 with input as good

test_note if input.note == "a \\"word\\", a \\\\ and\\n☃" with input as good

test_place if {
	count(gate.deny) > 0
		with input as good
		with input.metrics.roc_auc.low as 0.1
}

test_one_line if { x := gate.deny with input as {}; count(x) > 3 }

test_without_a_document { 1 == 1 }

test_fails if count(gate.deny) == 0 with input as {}

test_two if { count(gate.deny) > 0 with input as {}; count(gate.rules) == 5 with input as good }

test_data if count(gate.deny) > 0 with data.x as 3

test_unknown if nothing_like_it(3) with input as {}

todo_test_later if false
"""


def test_tests_in_rego_run_without_the_word_that_ends_the_process() -> None:
    found = {each.name: each for each in RegoEngine().unit_tests(GATE, {"gate_test.rego": UNIT_TESTS})}
    problems = {name: each.problem for name, each in found.items() if each.problem}
    assert problems.pop("test_fails") == "it does not hold"
    assert problems.pop("test_two") == SPLIT
    assert problems.pop("test_data") == NO_DATA
    assert "cannot be evaluated" in problems.pop("test_unknown")
    assert problems == {}
    assert "todo_test_later" not in found
    assert found["test_refused"].line == 7
    given = found["test_place"].evidence
    assert given is not None
    assert given["metrics"] == {"roc_auc": {"low": 0.1}}
    assert found["test_digits"].evidence == {**json.loads(json.dumps(given)), "metrics": {"roc_auc": {"low": 0.8}}}
    assert found["test_without_a_document"].evidence is None


@pytest.mark.parametrize("text", ["", "test_x if true", "package keelway.gate_test\nhelper := 1\n"])
def test_a_file_without_a_test_is_a_failure(text: str) -> None:
    (outcome,) = RegoEngine().unit_tests(GATE, {"a_test.rego": text})
    assert outcome.problem


def test_a_test_beside_a_policy_that_does_not_compile_fails_and_says_so() -> None:
    (outcome,) = RegoEngine().unit_tests(one_file("deny if {"), {"a_test.rego": "package t\ntest_x if 1 == 1\n"})
    assert "cannot be evaluated" in outcome.problem


def test_sets_of_a_policy_that_cannot_be_asked_are_an_error() -> None:
    with pytest.raises(EngineError):
        RegoEngine().texts(one_file("deny if {"), {}, sets=["deny"])
    assert RegoEngine().texts(one_file('deny contains "x"'), {}, sets=["deny", "nothing"]) == {"deny": ("x",)}
