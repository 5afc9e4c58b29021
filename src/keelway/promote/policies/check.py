"""Looks a policy through before anybody is refused by it: what is wrong in its text, and what can never fire."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from keelway.core import Evidence, PolicySet
from keelway.errors import EngineError
from keelway.promote.policies.brackets import bracket_fault
from keelway.promote.policies.clauses import Clause, GateText, gate_text, with_clause_sets
from keelway.promote.policies.paths import changed, known_place, neighbours, places_at, sample_evidence
from keelway.promote.policies.ports import PolicyLab

_TRIED: tuple[Any, ...] = (-1e12, 1e12, None, True, False, "", "no such word", ["something"], {})
"""What is put where a clause reads, to see whether anything makes it refuse."""


@dataclass(frozen=True, slots=True)
class PolicyFinding:
    """Something in a policy's text.

    Attributes:
        level: `error` for what refuses every version or asks for what no evidence holds; else `warning`.
        place: File and line, or the policy's name.
    """

    level: Literal["error", "warning"]
    place: str
    text: str


def check_policy(policy: PolicySet, *, lab: PolicyLab) -> tuple[PolicyFinding, ...]:
    """Return what is wrong with a policy, errors first; nothing for one that can be used."""
    faults = lab.faults(policy)
    if faults:
        places = _unclosed(policy)
        return (*places, *(PolicyFinding("error", policy.name, fault) for fault in faults))
    gate = gate_text(policy)
    found = [*_unknown(gate), *_wrong_calls(gate), *_unanswered(gate), *_silent(policy, gate, lab)]
    return tuple(sorted(found, key=lambda each: (each.level, each.place, each.text)))


def _unclosed(policy: PolicySet) -> tuple[PolicyFinding, ...]:
    """Return where brackets have no partner: the compiler says of most that something is wrong, and not where."""
    found = ((name, bracket_fault(text)) for name, text in sorted(policy.files.items()))
    return tuple(PolicyFinding("error", f"{name}:{fault[0]}", fault[1]) for name, fault in found if fault)


def _unknown(gate: GateText) -> Iterator[PolicyFinding]:
    """Yield places that clauses read and no evidence holds."""
    for clause in gate.clauses:
        for read in clause.reads:
            unknown = known_place(read.path)
            if unknown:
                near = difflib.get_close_matches(unknown.rpartition(".")[2], neighbours(unknown), n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                yield PolicyFinding("error", clause.place, f"reads {read.path}, but no evidence holds {unknown}{hint}")


def _wrong_calls(gate: GateText) -> Iterator[PolicyFinding]:
    """Yield calls of ready rules with too few or too many arguments."""
    for clause in gate.clauses:
        for call in clause.calls:
            rule = gate.ready.get(call.name)
            if rule is not None and len(call.arguments) != len(rule.parameters):
                yield PolicyFinding("error", clause.place, f"asks {call}, but the rule is {rule.usage}")


def _unanswered(gate: GateText) -> Iterator[PolicyFinding]:
    """Yield rules without a clause, rules named twice, and clauses without a rule."""
    seen: set[str] = set()
    for rule, place in gate.rules:
        if rule in seen:
            yield PolicyFinding("warning", place, f"names the rule {rule!r} once more")
        seen.add(rule)
        if not any(clause.rule == rule for clause in gate.clauses):
            yield PolicyFinding("warning", place, f"names the rule {rule!r}, to which no reason belongs")
    for clause in gate.clauses:
        if not clause.rule:
            yield PolicyFinding("warning", clause.place, "gives reasons under no rule: write `rules contains` above it")


def _silent(policy: PolicySet, gate: GateText, lab: PolicyLab) -> Iterator[PolicyFinding]:
    """Yield clauses that nothing tried makes refuse."""
    waiting = list(gate.clauses)
    extended = with_clause_sets(policy, gate.clauses)
    sets = [clause.set_name for clause in gate.clauses]
    for evidence in _attempts(gate.clauses):
        if not waiting:
            return
        try:
            said = lab.texts(extended, evidence, sets=sets)
        except EngineError as error:
            yield PolicyFinding("error", policy.name, str(error))
            return
        waiting = [clause for clause in waiting if not said.get(clause.set_name)]
    for clause in waiting:
        tried = ", ".join(read.path for read in clause.reads) or "nothing"
        yield PolicyFinding("warning", clause.place, f"never refuses: no value tried at {tried} gives a reason")


def _attempts(clauses: tuple[Clause, ...]) -> Iterator[Evidence]:
    """Yield documents: an empty one, and the sample with other values at the places that clauses read."""
    yield {}
    sample = sample_evidence()
    paths = list(
        dict.fromkeys(path for each in clauses for read in each.reads for path in places_at(sample, read.path))
    )
    reachable = [path for path in paths if not any(other != path and path.startswith(f"{other}.") for other in paths)]
    for value in _TRIED:
        yield changed(sample, put=dict.fromkeys(reachable, value))
    for path in reachable:
        for value in _TRIED:
            yield changed(sample, put={path: value})
