"""What people do with policies: clauses are found, checked, explained, tested by tables, and their coverage counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.promote.policy_worlds import EXAMPLES, REPOSITORY, SAMPLE, gate_of

from keelway.core import PolicySet
from keelway.engines.rego import RegoEngine
from keelway.errors import SettingsError, UsageError
from keelway.promote import load_policy
from keelway.promote.policies import (
    changed,
    check_policy,
    coverage,
    explain,
    gate_text,
    known_place,
    places_at,
    read_cases,
    read_unit_tests,
    run_tests,
    with_clause_sets,
)
from keelway.promote.policies.brackets import CLOSING, bracket_fault
from keelway.promote.policies.ready import outside_texts, without_comments

ENGINE = RegoEngine()
OWN = """package keelway.gate

# A comment that says: deny contains "nothing"
import data.keelway.lib

rules contains "size"

deny contains "trained on fewer than 1000 rows" if input.training.rows < 1000

deny contains reason if {
	input.training.rows > 10000000
	reason := "trained on too many rows"
}

rules contains "floor"

deny contains reason if some reason in lib.auc_floor(0.75)
"""


def own(text: str = OWN) -> PolicySet:
    from keelway.promote import library_files

    files = {"gate.rego": text}
    return PolicySet("gate", files | library_files(files))


def texts(text: str) -> list[tuple[str, str]]:
    return [(finding.level, finding.text) for finding in check_policy(own(text), lab=ENGINE)]


def test_clauses_are_found_with_their_rule_line_and_reads() -> None:
    clauses = gate_text(own()).clauses
    assert [(each.rule, each.line) for each in clauses] == [("size", 8), ("size", 10), ("floor", 17)]
    assert [[read.path for read in each.reads] for each in clauses] == [
        ["training.rows"],
        ["training.rows"],
        ["metrics.roc_auc.low"],
    ]
    assert [str(call) for call in clauses[2].calls] == ["auc_floor(0.75)"]
    assert clauses[0].told.startswith('deny contains "trained on fewer')


def test_the_sets_of_clauses_change_no_verdict() -> None:
    policy = own()
    extended = with_clause_sets(policy, gate_text(policy).clauses)
    for rows in (5, 5000, 10**8):
        evidence = changed(SAMPLE, put={"training.rows": rows})
        assert ENGINE.judge(extended, evidence).reasons == ENGINE.judge(policy, evidence).reasons


def test_an_explanation_says_which_clause_read_what_and_what_would_have_to_change() -> None:
    evidence = changed(SAMPLE, put={"metrics.roc_auc.low": 0.7, "training.rows": 20})
    told = explain(own(), evidence, lab=ENGINE)
    assert not told.verdict.allowed
    assert told.unplaced == ()
    few, many, floor = told.clauses
    assert few.reasons == ("trained on fewer than 1000 rows",)
    assert [(place.path, place.value) for place in few.found] == [("training.rows", 20)]
    assert many.reasons == ()
    assert many.changes == ()
    assert floor.changes == ("metrics.roc_auc.low is 0.7, has to be >= 0.75",)
    assert floor.place == "gate.rego:17"
    assert floor.made_by == ("keelway run MODEL",)


CHANGES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    (
        "quarantined_at_most",
        {"snapshots.orders.quarantined_share": 0.5},
        ("snapshots.orders.quarantined_share is 0.5, has to be <= 0.05",),
    ),
    ("drilled_within_days", {"drills.rollback": None}, (
        "drills.rollback.passed is not recorded, has to be == true",
        "drills.rollback.age_days is not recorded, has to be <= 90",
    )),
    ("parity", {"parity.max_difference": 0.5}, ("parity.max_difference is 0.5, has to be <= parity.tolerance",)),
    ("size_at_most_mb", {"size.onnx_bytes": 1_000_001}, ("size.onnx_bytes is 1000001, has to be <= 1000000 * 1",)),
    ("admitted_in", {"admissions": {}}, ("admissions.staging.age_days is not recorded, has to be there",)),
    ("four_fifths", {"fairness.sex.four_fifths": "fails"}, ('fairness.sex.four_fifths is "fails", has to be == passes',)),
    ("reproducible", {"reproduction.alike": "different"}, (
        'reproduction.alike is "different", has to be in bit-equal|metric-equal',
    )),
    ("latency_at_most_ms", {"latency": {"p99_ms": "fast"}}, ('latency.p99_ms is "fast", has to be <= 5',)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "put", "changes"), CHANGES, ids=[rule for rule, _, _ in CHANGES])
def test_what_would_have_to_change_is_told_for_ready_rules(
    rule: str, put: dict[str, Any], changes: tuple[str, ...]
) -> None:
    (clause,) = explain(gate_of(EXAMPLES[rule]), changed(SAMPLE, put=put), lab=ENGINE).clauses
    assert clause.reasons
    assert clause.changes == changes


def test_what_is_refused_before_the_clauses_is_told_as_such() -> None:
    told = explain(own(), changed(SAMPLE, remove=("training",)), lab=ENGINE)
    assert told.unplaced == ("gate.rego asks for input.training.rows, which the evidence does not hold",)
    assert explain(PolicySet("none"), SAMPLE, lab=ENGINE).clauses == ()
    assert explain(own("package keelway.gate\ndeny if {"), SAMPLE, lab=ENGINE).unplaced


def test_what_the_gate_refuses_whatever_its_policy_asks_is_told_before_the_clauses() -> None:
    told = explain(own(), SAMPLE, lab=ENGINE, standing=("churn:1 was retired",))
    assert (told.verdict.allowed, told.verdict.reasons, told.unplaced) == (
        False,
        ("churn:1 was retired",),
        told.verdict.reasons,
    )
    assert not any(clause.reasons for clause in told.clauses)
    assert explain(own(), SAMPLE, lab=ENGINE).verdict.allowed


UNCLOSED = {
    "a clause": (
        'package keelway.gate\n\ndeny contains "x" if {\n  input.a\n\nrules contains "y"\n',
        3,
        "{ is never closed",
    ),
    "a call": (
        'package keelway.gate\ndeny contains "x" if {\n  count(input.a > 1\n}\n',
        3,
        "( is closed by } in line 4",
    ),
    "closed twice": (
        'package keelway.gate\ndeny contains "x" if {\n  input.a\n}}\n',
        4,
        "} closes what nothing opened",
    ),
    "in a comment and a text": (
        'package keelway.gate\n# (((\nrules contains ")"\ndeny contains "{" if [\n',
        4,
        "[ is never closed",
    ),
}


@pytest.mark.parametrize(("text", "line", "fault"), UNCLOSED.values(), ids=UNCLOSED.keys())
def test_a_bracket_without_a_partner_is_found_by_its_line(text: str, line: int, fault: str) -> None:
    first, *others = check_policy(own(text), lab=ENGINE)
    assert (first.level, first.place, first.text) == ("error", f"gate.rego:{line}", fault)
    assert others, "what the compiler says stays"


@given(st.text('()[]{}"`# \n', max_size=40))
def test_brackets_without_a_fault_are_as_many_on_both_sides(text: str) -> None:
    fault = bracket_fault(text)
    plain = [character for _, character, _ in outside_texts(without_comments(text))]
    if fault is None:
        assert all(plain.count(opening) == plain.count(closing) for opening, closing in CLOSING.items())
    else:
        assert 1 <= fault[0] <= text.count("\n") + 1


def test_a_policy_with_nothing_wrong_has_no_findings() -> None:
    assert texts(OWN) == []
    assert check_policy(gate_of(*EXAMPLES.values()), lab=ENGINE) == ()


FINDINGS = {
    "an unknown field": (
        'deny contains "x" if input.trainings.rows < 3',
        "reads trainings.rows, but no evidence holds trainings; did you mean training?",
    ),
    "an unknown field below": (
        'deny contains "x" if input.training.row < 3',
        "reads training.row, but no evidence holds training.row; did you mean rows?",
    ),
    "too few arguments": (
        "deny contains r if some r in lib.metric_floor(0.7)",
        "asks metric_floor(0.7), but the rule is metric_floor(metric, floor)",
    ),
    "never refuses": (
        'deny contains "x" if { input.training.rows < 3; input.training.rows > 4 }',
        "never refuses: no value tried at training.rows gives a reason",
    ),
    "never at all": ('deny contains "x" if 1 == 2', "never refuses: no value tried at nothing gives a reason"),
}


@pytest.mark.parametrize(("clause", "text"), FINDINGS.values(), ids=FINDINGS)
def test_a_fault_in_a_clause_is_found(clause: str, text: str) -> None:
    found = texts(f'package keelway.gate\nimport data.keelway.lib\nrules contains "a"\n{clause}\n')
    assert text in [told for _, told in found]


def test_rules_and_clauses_that_do_not_belong_together_are_found() -> None:
    found = texts(
        'package keelway.gate\ndeny contains "x" if input.training.rows < 3\nrules contains "a"\nrules contains "a"\n'
        'rules contains "b"\ndeny contains "y" if input.training.rows < 3\n'
    )
    told = [text for _, text in found]
    assert "gives reasons under no rule: write `rules contains` above it" in told
    assert "names the rule 'a', to which no reason belongs" in told
    assert "names the rule 'a' once more" in told
    assert {level for level, _ in found} == {"warning"}


def test_a_policy_that_does_not_compile_or_is_empty_is_an_error() -> None:
    assert {level for level, _ in texts("package keelway.gate\ndeny if {")} == {"error"}
    (finding,) = check_policy(PolicySet("none"), lab=ENGINE)
    assert finding.level == "error"
    assert "no rules" in finding.text


CASES = """
set: {environment: prod}
cases:
  - name: good
    verdict: admitted
  - name: weak
    set: {metrics.roc_auc.low: 0.5}
    verdict: refused
    reasons: ["roc_auc is at least 0.5 with confidence, needs 0.75"]
  - name: small
    set: {training.rows: 3}
    verdict: refused
    because: ["fewer than 1000"]
  - name: another document
    evidence: {metrics: {}, training: {rows: 5000}}
    verdict: refused
    because: ["no interval"]
  - name: wrong verdict
    verdict: refused
  - name: wrong verdict the other way
    set: {training.rows: 3}
    verdict: admitted
  - name: wrong reasons
    set: {training.rows: 3}
    verdict: refused
    reasons: ["another"]
  - name: wrong part
    set: {training.rows: 3}
    verdict: refused
    because: ["nothing like it"]
"""


def folder_of(tmp_path: Path, cases: str = CASES) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/gate.yaml").write_text(cases)
    (tmp_path / "gate_test.rego").write_text(
        "package t\nimport data.keelway.gate\ntest_many if count(gate.deny) == 1 with input as "
        '{"training": {"rows": 20000000}, "metrics": {"roc_auc": {"low": 0.8}}}\n'
    )
    return tmp_path


def test_cases_say_what_a_policy_has_to_say_and_what_went_wrong(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    outcomes = run_tests(own(), cases=read_cases(folder), unit_tests=read_unit_tests(folder), lab=ENGINE)
    problems = {each.name: each.problem for each in outcomes}
    assert [name for name, problem in problems.items() if not problem] == [
        "good",
        "weak",
        "small",
        "another document",
        "test_many",
    ]
    assert problems["wrong verdict"] == "is admitted, expected refused"
    assert problems["wrong verdict the other way"].startswith("is refused, expected admitted: trained on fewer")
    assert problems["wrong reasons"] == "expected: another; not expected: trained on fewer than 1000 rows"
    assert problems["wrong part"] == "no reason says 'nothing like it': trained on fewer than 1000 rows"


def test_coverage_counts_how_often_each_clause_was_seen_both_ways(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    outcomes = run_tests(own(), cases=read_cases(folder), unit_tests=read_unit_tests(folder), lab=ENGINE)
    told = coverage(own(), [each.evidence for each in outcomes if each.evidence is not None], lab=ENGINE)
    assert [(each.refused, each.passed) for each in told.clauses] == [(4, 5), (1, 8), (2, 7)]
    assert told.share == 1
    assert told.rules == {"size": True, "floor": True}
    alone = coverage(own(), [SAMPLE], lab=ENGINE)
    assert alone.share == 0
    assert alone.rules == {"size": False, "floor": False}
    assert coverage(PolicySet("none"), [SAMPLE], lab=ENGINE).share == 0


def test_evidence_of_cases_may_lie_in_a_file_beside_them(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "evidence: ../base.json\ncases: [{name: a, verdict: refused, set: {x.y: 1}}]\n")
    (tmp_path / "base.json").write_text('{"training": {"rows": 1}}')
    (case,) = read_cases(folder)
    assert case.evidence == {"training": {"rows": 1}, "x": {"y": 1}}


@pytest.mark.parametrize(
    "cases",
    [
        "cases: 3",
        "cases: [{name: a}]",
        "cases: [{name: a, verdict: maybe}]",
        "cases: [{name: a, verdict: refused, remove: [no.such.place]}]",
        "cases: [{name: a, verdict: refused, set: {author.name: x}}]",
        "cases: [{name: a, verdict: refused, colour: red}]",
        "evidence: nowhere.json\ncases: [{name: a, verdict: refused}]",
        "evidence: gate.yaml\ncases: [[",
    ],
)
def test_a_table_that_is_none_is_told_with_its_file(tmp_path: Path, cases: str) -> None:
    with pytest.raises(SettingsError, match=r"tests/gate\.yaml"):
        read_cases(folder_of(tmp_path, cases))


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize("place", ["examples/churn", "src/keelway/template/plain"])
def test_the_tests_of_the_policies_we_hand_out_pass_and_cover_every_clause(place: str, environment: str) -> None:
    policy, folder = load_policy(f"policies/{environment}", root=REPOSITORY / place), REPOSITORY / place / "policies"
    folder /= environment
    outcomes = run_tests(policy, cases=read_cases(folder), unit_tests=read_unit_tests(folder), lab=ENGINE)
    assert [(each.name, each.problem) for each in outcomes if each.problem] == []
    told = coverage(policy, [each.evidence for each in outcomes if each.evidence is not None], lab=ENGINE)
    assert [each.place for each in told.clauses if not each.covered] == []
    assert check_policy(policy, lab=ENGINE) == ()


@pytest.mark.parametrize(
    ("path", "unknown"),
    [
        ("metrics.roc_auc.low", ""),
        ("metrics.anything.lower", "metrics.anything.lower"),
        ("snapshots.*.age_days", ""),
        ("drills.rollback.passed", ""),
        ("versus_champion.difference.low", ""),
        ("nothing", "nothing"),
        ("version.name.first", "version.name.first"),
    ],
)
def test_places_of_evidence_are_known_from_the_schema(path: str, unknown: str) -> None:
    assert known_place(path) == unknown


def test_evidence_is_changed_at_places_and_never_under_a_value() -> None:
    assert changed({"a": {"b": 1}}, put={"a.c.d": 2}, remove=("a.b",)) == {"a": {"c": {"d": 2}}}
    with pytest.raises(UsageError):
        changed({"a": 1}, put={"a.b": 2})
    with pytest.raises(UsageError):
        changed({"a": 1}, remove=("a.b",))
    assert list(places_at({"a": {}}, "a.*.b")) == ["a.*.b"]
