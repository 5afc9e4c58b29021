"""A gate that is asked piece by piece says of every document what it says when it is asked whole."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.promote.policy_worlds import EXAMPLES, SAMPLE, gate_of, holes_at

from keelway.core import Evidence, PolicySet, Verdict, canonical_json, digest_of
from keelway.engines.rego import RegoEngine
from keelway.engines.rego.many import CHUNK, UnitAnswers
from keelway.engines.rego.needed import Needed, needed_by, needed_together
from keelway.engines.rego.units import GateUnits
from keelway.promote import calls_in, library_files, load_policy, reads_of, ready_rules
from keelway.promote.policies import changed, places_at
from keelway.testing.crash import stride

HEAD = 'package keelway.gate\nrules contains "a"\n'
TWO = 'deny contains "one" if input.a == 1\n\ndeny contains "two" if input.b == 2\n'


def gate(text: str, **more: str) -> PolicySet:
    files = {"gate.rego": HEAD + text} | {f"{name}.rego": other for name, other in more.items()}
    return PolicySet("gate", files | library_files(files))


def pieces(policy: PolicySet) -> GateUnits:
    return GateUnits(policy, ("rules", "deny"))


def alone(policy: PolicySet, documents: list[Evidence]) -> list[Verdict]:
    engine = RegoEngine()
    return [engine.judge(policy, document) for document in documents]


def together(policy: PolicySet, documents: list[Evidence], *, workers: int = 1) -> list[Verdict]:
    return RegoEngine().judge_many(policy, [canonical_json(document) for document in documents], workers=workers)


def spoiled_documents() -> list[Evidence]:
    """Return evidence with a hole in every place that any ready rule reads, some with two."""
    gate = gate_of(*EXAMPLES.values())
    rules = ready_rules(gate.files)
    reads = [
        path
        for call in calls_in(" ".join(f"lib.{text}" for text in EXAMPLES.values()), aliases=("lib",))
        if call.name in rules
        for read in reads_of(rules[call.name], call)
        for path in places_at(SAMPLE, read.path)
    ]
    made = [made for path in dict.fromkeys(reads) for _, made in holes_at(SAMPLE, path)]
    fit = [document for document in made if _is_plain(document)]
    draw = random.Random(3)
    return [SAMPLE, *fit, *({**draw.choice(fit), "metrics": draw.choice(fit).get("metrics")} for _ in range(60))]


def _is_plain(document: Evidence) -> bool:
    try:
        canonical_json(document)
    except Exception:
        return False
    return True


def test_every_ready_rule_says_the_same_in_pieces_of_every_hole() -> None:
    policy = gate_of(*EXAMPLES.values())
    documents = spoiled_documents()[:: stride() * 3 - 2]
    assert len(pieces(policy).units) == len(EXAMPLES) + 1
    assert together(policy, documents, workers=2) == alone(policy, documents)


FIGURES = st.one_of(st.floats(0.6, 0.9), st.sampled_from([0.75, 0, None, True, "high", -0.0, 1e-7]))


@settings(max_examples=5, deadline=None)
@given(
    lows=st.lists(FIGURES, min_size=60, max_size=80),
    shares=st.lists(FIGURES, min_size=1, max_size=7),
    reasons=st.lists(st.text(max_size=8), min_size=1, max_size=5),
)
def test_documents_that_are_alike_in_parts_say_the_same_as_alone(
    lows: list[Any], shares: list[Any], reasons: list[str]
) -> None:
    policy = gate_of(
        *(EXAMPLES[name] for name in ("auc_floor", "signed", "quarantined_at_most", "parity", "bom_listed"))
    )
    documents = [
        changed(SAMPLE, put={
            "metrics.roc_auc.low": low,
            "snapshots.orders.quarantined_share": shares[number % len(shares)],
            "signature": {"verified": number % 3 != 0, "reason": reasons[number % len(reasons)]},
        })
        for number, low in enumerate(lows)
    ]  # fmt: skip
    engine = RegoEngine()
    data = [canonical_json(document) for document in documents]
    found = engine.judge_many(policy, data, workers=2)
    assert found == alone(policy, documents)
    assert engine.judge_many(policy, data, workers=1) == found


def test_more_documents_than_go_to_a_process_at_once() -> None:
    documents = [changed(SAMPLE, put={"metrics.roc_auc.low": number / 1000}) for number in range(CHUNK * 2 + 7)]
    found = together(gate_of("auc_floor(0.2)", "signed"), documents, workers=2)
    assert [verdict.allowed for verdict in found] == [number >= 200 for number in range(len(documents))]


def test_an_edited_gate_is_asked_only_for_the_clause_that_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [changed(SAMPLE, put={"metrics.roc_auc.low": number / 100}) for number in range(60)]
    data = [canonical_json(document) for document in documents]
    before, after = gate_of("auc_floor(0.3)", "signed", "no_freeze"), gate_of("auc_floor(0.4)", "signed", "no_freeze")
    engine = RegoEngine()
    engine.judge_many(before, data, workers=1)
    sent: list[str] = []

    def noted(self: Any, program: Any, texts: Any) -> Any:
        sent.extend(text.decode() for text in texts)
        return asked(self, program, texts)

    from keelway.engines.rego.processes import AnsweringProcesses

    asked = AnsweringProcesses.ask
    monkeypatch.setattr(AnsweringProcesses, "ask", noted)
    found = engine.judge_many(after, data, workers=1)
    assert [verdict.allowed for verdict in found] == [number >= 40 for number in range(60)]
    assert len(sent) == 60
    assert not any("signature" in text or "freeze" in text for text in sent)


@pytest.mark.parametrize("place", ["examples/churn", "src/keelway/template/plain"])
def test_the_gates_we_hand_out_are_taken_to_pieces(place: str) -> None:
    from pathlib import Path

    policy = load_policy("policies/production", root=Path(__file__).parents[2] / place)
    clauses = policy.files["gate.rego"].count("\ndeny contains")
    assert len(pieces(policy).units) == clauses + 1


HELPERS = """
deny contains reason if { some reason in found }
deny contains "late" if late
found contains sprintf("%v is too low", [input.low]) if input.low < least
least := 3
late if { input.age > limits.days }
limits := {"days": 7}
unrelated := input.other
"""


def test_a_piece_holds_what_it_rests_on_and_reads_no_more() -> None:
    units = pieces(gate(HELPERS))
    rules, low, late = units.units
    assert (rules.needed.tree, low.needed.tree) == ({}, {"low": None})
    assert late.needed.tree == {"age": None}
    text = units.program([late]).files["gate.rego"]
    assert "limits" in text
    assert "least" not in text
    documents = [{"low": low, "age": age, "other": 0} for low in range(6) for age in range(5, 15)]
    assert together(gate(HELPERS), documents) == alone(gate(HELPERS), documents)


def test_helpers_of_other_files_and_packages_come_along() -> None:
    other = "package keelway.own\nlow(value) if value < least\nleast := input.least\n"
    policy = gate("import data.keelway.own\n" + TWO + 'deny contains "low" if own.low(input.c)\n', own=other)
    policy = PolicySet("gate", {**policy.files, "gate.rego": policy.files["gate.rego"].replace(HEAD, "", 1)})
    policy.files["gate.rego"] = (
        policy.files["gate.rego"].replace("import", "package keelway.gate\nimport", 1) + HEAD.split("\n")[1] + "\n"
    )
    assert len(pieces(policy).units) == 4
    documents = [{"a": n % 2, "b": n % 3, "c": n, "least": n % 7} for n in range(60)]
    assert together(policy, documents) == alone(policy, documents)


@pytest.mark.parametrize(
    "text",
    [
        TWO + "deny := set()",
        TWO + 'passed contains "a" if count(deny) == 0',
        TWO + 'also if data.keelway.gate.deny["one"]',
        TWO + "  deny contains `three` if input.c == 3",
        TWO + "deny contains `a\nb := 1` if input.a == 2",
        TWO + "names := [name | some name, _ in data.keelway.gate]",
        TWO + "all := data",
        TWO + "table[x] := 1 if some x in [1]",
        TWO + "deny contains reason if {\nsome reason in input.list\n}",
        'deny contains "one" if input.a == 1',
        "deny := {`x` | input.a == 1}",
        "deny if input.a == 1\ndeny if input.b == 1",
    ],
)
def test_a_gate_that_cannot_be_taken_to_pieces_with_certainty_stays_whole(text: str) -> None:
    policy = gate(text)
    assert pieces(policy).units == ()
    documents = [{"a": n % 2, "b": n % 3, "c": n % 4, "list": ["x"]} for n in range(12)]
    assert together(policy, documents) == alone(policy, documents)


@pytest.mark.parametrize(
    "text",
    [
        TWO + "deny contains 5 if input.a == 2",
        TWO + 'deny contains "" if input.a == 2',
        TWO + "deny contains sprintf(`%v`, [5 % input.b])".replace("`", '"'),
        TWO + 'deny contains "quoted \\"word\\"" if input.a == 2\ndeny contains "two" if input.a == 2',
        TWO + "rules contains 5 if input.a == 2",
        TWO + 'deny contains f(input.a)\nf(x) := "1" if x == 1\nf(x) := "2" if x < 2',
    ],
)
def test_what_is_no_plain_answer_refuses_as_it_does_alone(text: str) -> None:
    policy = gate(text)
    assert pieces(policy).units
    documents = [{"a": n % 3, "b": n % 4} for n in range(24)]
    assert together(policy, documents) == alone(policy, documents)


def test_documents_that_no_rule_sees_refuse_in_their_place() -> None:
    policy = gate_of("auc_floor(0.3)", "signed")
    data = [canonical_json(SAMPLE), b"{", b"[]", b'{"a":[null]}', canonical_json(SAMPLE)]
    assert [v.allowed for v in RegoEngine().judge_many(policy, data, workers=1)] == [True, False, False, False, True]


def test_pieces_that_say_the_same_have_the_same_key_in_other_gates() -> None:
    first, second = pieces(gate(TWO)), pieces(gate(TWO.replace("input.a == 1", "input.a == 9")))
    assert [one.key == other.key for one, other in zip(first.units, second.units, strict=True)] == [True, False, True]
    moved = pieces(gate('deny contains "zero" if input.z == 0\n' + TWO))
    assert {unit.key for unit in first.units} < {unit.key for unit in moved.units}


TREES = st.recursive(
    st.none(), lambda below: st.dictionaries(st.sampled_from(["a", "b", "*"]), below, max_size=3), max_leaves=8
)


@given(trees=st.lists(TREES, min_size=1, max_size=3))
def test_what_several_need_holds_what_each_needs(trees: list[Any]) -> None:
    document = {"a": {"a": 1, "b": {"a": 2, "c": 3}}, "b": [1], "c": {"b": {"b": 4}}}
    whole = needed_together(Needed(tree) for tree in trees)
    shown = whole.part(document)
    for tree in trees:
        assert Needed(tree).part(shown) == Needed(tree).part(document)


def test_a_rule_that_names_the_version_needs_its_name_and_others_do_not() -> None:
    assert needed_by(gate_of("signed")).tree == {"signature": {"verified": None, "reason": None}}
    assert needed_by(gate_of("auc_floor(0.7)")).tree == {
        "metrics": {"roc_auc": {"low": None}},
        "version": {"model": None},
    }
    assert "name" in (needed_by(gate_of("latency_at_most_ms(5)")).tree or {})["version"]


def test_answers_of_so_many_pieces_are_kept() -> None:
    from keelway.engines.rego import many

    kept, unit = UnitAnswers(), pieces(gate(TWO)).units[0]
    kept.of(unit)["x"] = 1
    assert kept.of(unit) == {"x": 1}
    for number in range(many.KEPT_UNITS):
        kept.of(pieces(gate(TWO.replace("one", f"n{number}"))).units[1])
    assert kept.of(unit) == {}
    assert digest_of(gate(TWO)) != digest_of(gate(HELPERS))
