"""Every ready rule says what it reads, refuses what is missing there, and sees all it needs of a shortened document.

No hole in a figure that a rule needs (null, NaN, text, a list, nothing at all) ever turns its refusal into a yes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.promote.policy_worlds import EXAMPLES, REPOSITORY, SAMPLE, gate_of, holes_at

from keelway.core import Evidence
from keelway.engines.rego import RegoEngine
from keelway.engines.rego.compiled import CompiledPolicy, without_nulls
from keelway.engines.rego.needed import needed_by
from keelway.promote import policy
from keelway.promote.policies import (
    MISSING,
    EvidenceRead,
    changed,
    evidence_schema,
    gate_text,
    known_place,
    places_at,
    ready_rules,
    sample_evidence,
    value_at,
)
from keelway.testing.crash import stride

LIBRARY = {
    f"library/{file.name}": file.read_text() for file in (Path(policy.__file__).parent / "library").glob("*.rego")
}
ENGINE = RegoEngine()
SPOILED: dict[str, Any] = {">=": -1e9, "<=": 1e9, "in": "no such word", "!=": ""}
"""What refuses at a place that a rule compares so."""
RIGHT = {"code.commit = 'text'", "checklist.required = []", "checklist.required = ['text']"}
"""Holes that are none."""


def reads_of_rule(name: str) -> list[EvidenceRead]:
    (clause,) = gate_text(gate_of(EXAMPLES[name])).clauses
    return [read for read in clause.reads if read.path != "environment"]


def places(name: str) -> Iterator[tuple[EvidenceRead, str]]:
    for read in reads_of_rule(name):
        for path in places_at(SAMPLE, read.path):
            yield read, path


def spoiled(name: str) -> Iterator[tuple[str, Evidence]]:
    """Yield documents that a rule refuses, each for one figure, with that figure's place."""
    for read, path in places(name):
        if not read.operator:
            continue
        held = value_at(SAMPLE, path)
        wrong = SPOILED.get(read.operator, (not held) if isinstance(held, bool) else "another")
        if read.operator == "exists":
            yield path, changed(SAMPLE, remove=(path,))
        else:
            yield path, changed(SAMPLE, put={path: wrong})


def test_the_library_and_its_examples_are_the_same_rules() -> None:
    assert set(ready_rules(LIBRARY)) == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_rule_lets_the_sample_in_and_says_in_sentences_what_it_asks_for(name: str) -> None:
    rule = ready_rules(LIBRARY)[name]
    assert ENGINE.judge(gate_of(EXAMPLES[name]), SAMPLE).reasons == ()
    assert rule.says.endswith((".", ")."))
    assert rule.made_by
    assert rule.reads
    assert [read.path for read in reads_of_rule(name) if known_place(read.path)] == []
    table = (REPOSITORY / "docs/policies.md").read_text()
    assert f"`{rule.name}" in table


def holes(name: str, evidence: Evidence) -> list[tuple[str, Evidence]]:
    """Return evidence with holes where a rule needs figures, without those that are right there."""
    right = {f"{path} = {value_at(SAMPLE, path)!r}" for _, path in places(name)} | RIGHT
    needed = [path for read, path in places(name) if read.operator]
    return [(told, made) for path in needed for told, made in holes_at(evidence, path) if told not in right]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_rule_refuses_what_is_wrong_and_every_hole(name: str) -> None:
    gate = gate_of(EXAMPLES[name])
    assert list(spoiled(name)) or name == "from_tier"
    for path, refused in spoiled(name):
        assert ENGINE.judge(gate, refused).reasons, f"{path} = {value_at(refused, path)!r}"
    for told, evidence in holes(name, SAMPLE)[:: stride()]:
        assert not ENGINE.judge(gate, evidence).allowed, told


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_hole_turns_a_refusal_into_a_yes(name: str) -> None:
    gate = gate_of(EXAMPLES[name])
    tried = [(path, told, made) for path, refused in spoiled(name) for told, made in holes(name, refused)]
    for path, told, evidence in tried[:: stride() ** 2]:
        assert not ENGINE.judge(gate, evidence).allowed, f"{path} spoiled, {told}"


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_rule_says_the_same_when_it_is_shown_only_what_it_reads(name: str) -> None:
    gate = gate_of(EXAMPLES[name])
    compiled, needed = CompiledPolicy(gate.name, gate.files, ("deny",)), needed_by(gate)
    tried = [evidence for _, path in places(name) for _, evidence in holes_at(SAMPLE, path)]
    tried += [evidence for _, evidence in spoiled(name)]
    for evidence in tried[:: stride()]:
        try:
            whole, part = (
                json.dumps(without_nulls(each), allow_nan=False) for each in (evidence, needed.part(evidence))
            )
        except ValueError:
            continue
        assert compiled.ask(part) == compiled.ask(whole)
        assert len(part) < len(whole)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_reason_for_a_missing_figure_names_no_missing(name: str) -> None:
    """People are told what to do, not that something is `missing`; the four-fifths rule shows its ratio so."""
    gate = gate_of(EXAMPLES[name])
    for read, path in places(name):
        if not read.operator or name in {"four_fifths", "not_worse_than_champion", "loses_at_most", "in_service"}:
            continue
        for reason in ENGINE.judge(gate, changed(SAMPLE, put={path: None})).reasons:
            assert "missing" not in reason


def test_what_is_wrong_in_a_list_of_names_refuses() -> None:
    for call in ("no_slice_worse([])", 'parity_difference_at_most("sex", 1)', "odds_difference_at_most(null, 1)"):
        assert not ENGINE.judge(gate_of(call), SAMPLE).allowed


@pytest.mark.parametrize(
    ("tier", "held", "asked"),
    [
        ("high", "limited", False),
        ("high", "high", True),
        ("high", "unacceptable", True),
        ("minimal", "minimal", True),
        ("high", None, True),
        ("hihg", "minimal", True),
    ],
)
def test_from_a_tier_on_reasons_count(tier: str, held: str | None, asked: bool) -> None:
    gate = gate_of(f'from_tier("{tier}", lib.auc_floor(2))')
    reasons = ENGINE.judge(gate, changed(SAMPLE, put={"risk.tier": held})).reasons
    assert any("roc_auc" in reason for reason in reasons) == asked
    assert bool(reasons) == asked


def test_null_in_a_list_refuses_whatever_the_policy_reads() -> None:
    evidence = changed(SAMPLE, put={"checklist.missing": [None]})
    for call in ("checklist_answered", "signed"):
        assert ENGINE.judge(gate_of(call), evidence).reasons == ("evidence.checklist.missing[0] is null in a list",)


def test_the_sample_is_evidence_by_the_schema() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(evidence_schema())
    assert list(Draft202012Validator(evidence_schema()).iter_errors(sample_evidence())) == []
    wrong = changed(SAMPLE, put={"metrics.roc_auc.low": "0.8"}, remove=("signature",))
    assert len(list(Draft202012Validator(evidence_schema()).iter_errors(wrong))) == 2


def test_a_place_that_is_not_there_is_told_from_null() -> None:
    assert value_at({"a": {"b": None}}, "a.b") is None
    assert value_at({"a": {"b": None}}, "a.c") is MISSING
