"""Explains a verdict: which clause refuses, what it read, what it wanted, and what would have to change."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keelway.core import Evidence, PolicySet, Verdict
from keelway.errors import EngineError
from keelway.promote.policies.clauses import Clause, GateText, gate_text, with_clause_sets
from keelway.promote.policies.paths import MISSING, places_at, value_at
from keelway.promote.policies.ports import PolicyLab
from keelway.promote.policies.ready import EvidenceRead

_ORDERED = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True, slots=True)
class PlaceFound:
    """A place of the evidence that a clause read.

    Attributes:
        value: What stands there; None where nothing does or null.
        wanted: What the rule wants of it, such as `>= 0.75`; empty where it is only read.
        meets: Whether it does; None where that cannot be told from this place alone.
    """

    path: str
    value: Any
    wanted: str
    meets: bool | None

    @property
    def change(self) -> str:
        """What would have to change, or empty."""
        if self.meets is not False:
            return ""
        wanted = "has to be there" if self.wanted == "exists" else f"has to be {self.wanted}"
        return f"{self.path} is {'not recorded' if self.value is None else _short(self.value)}, {wanted}"


@dataclass(frozen=True, slots=True)
class ExplainedClause:
    """What one clause of a gate said.

    Attributes:
        clause: The clause in a few words.
        place: File and line.
        reasons: Why it refuses; empty where it does not.
        found: What it read.
        made_by: How what it asks for gets into the evidence, for ready rules.
    """

    rule: str
    clause: str
    place: str
    reasons: tuple[str, ...]
    found: tuple[PlaceFound, ...]
    made_by: tuple[str, ...]

    @property
    def changes(self) -> tuple[str, ...]:
        """What would have to change for it not to refuse, as far as that can be told."""
        return tuple(place.change for place in self.found if place.change) if self.reasons else ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict, clause by clause.

    Attributes:
        unplaced: Reasons that no clause gave: what is refused before or after the clauses are asked.
    """

    verdict: Verdict
    clauses: tuple[ExplainedClause, ...]
    unplaced: tuple[str, ...]


def explain(policy: PolicySet, evidence: Evidence, *, lab: PolicyLab, standing: Sequence[str] = ()) -> Explanation:
    """Return what a policy says of evidence, clause by clause.

    Args:
        standing: Why the gate refuses whatever its policy asks; see `standing_reasons`.
    """
    verdict = lab.judge(policy, evidence)
    if standing:
        verdict = replace(verdict, allowed=False, reasons=tuple(dict.fromkeys((*standing, *verdict.reasons))))
    gate = gate_text(policy)
    said = clause_reasons(policy, gate, evidence, lab=lab)
    clauses = tuple(_explained(clause, gate, said.get(clause.number, ()), evidence) for clause in gate.clauses)
    placed = {reason for clause in clauses for reason in clause.reasons}
    return Explanation(verdict, clauses, tuple(reason for reason in verdict.reasons if reason not in placed))


def clause_reasons(
    policy: PolicySet, gate: GateText, evidence: Evidence, *, lab: PolicyLab
) -> dict[int, tuple[str, ...]]:
    """Return the reasons of each clause that gives any, by its number; nothing for a policy that cannot be asked."""
    if not gate.clauses or lab.faults(policy):
        return {}
    sets = [clause.set_name for clause in gate.clauses]
    try:
        found = lab.texts(with_clause_sets(policy, gate.clauses), evidence, sets=sets)
    except EngineError:  # the verdict says so
        return {}
    return {clause.number: reasons for clause in gate.clauses if (reasons := found.get(clause.set_name, ()))}


def _explained(clause: Clause, gate: GateText, reasons: tuple[str, ...], evidence: Evidence) -> ExplainedClause:
    made = dict.fromkeys(gate.ready[call.name].made_by for call in clause.calls if call.name in gate.ready)
    found = tuple(place for read in clause.reads for place in _found(read, evidence))
    return ExplainedClause(clause.rule, clause.told, clause.place, reasons, found, tuple(text for text in made if text))


def _found(read: EvidenceRead, evidence: Evidence) -> Iterator[PlaceFound]:
    for path in places_at(evidence, read.path):
        value = value_at(evidence, path)
        plain = None if value is MISSING else value
        yield PlaceFound(path, plain, f"{read.operator} {read.limit}".strip(), _meets(plain, read, evidence))


def _meets(value: Any, read: EvidenceRead, evidence: Evidence) -> bool | None:
    """Return whether a value is what a rule wants; None where the words of the rule do not tell."""
    if not read.operator:
        return None
    if value is None or read.operator == "exists":
        return value is not None
    if read.operator == "in":
        return str(value) in read.limit.split("|")
    limit = _limit(read.limit, evidence)
    if read.operator in _ORDERED:
        return _ordered(value, read.operator, limit)
    return None if limit is MISSING else bool((value == limit) == (read.operator == "=="))


def _ordered(value: Any, sign: str, limit: Any) -> bool | None:
    """Return whether a number stands on the right side of a limit; what is no number does not."""
    if not _is_number(value):
        return None if limit is MISSING else False
    return bool(_ORDERED[sign](value, limit)) if _is_number(limit) else None


def _limit(text: str, evidence: Evidence) -> Any:
    """Return the value that the words of a limit mean; MISSING where they mean none."""
    if " * " in text:
        factors = [_limit(part, evidence) for part in text.split(" * ")]
        return factors[0] * factors[1] if all(_is_number(factor) for factor in factors) else MISSING
    try:
        return json.loads(text)
    except ValueError:
        pass
    if "." in text:
        return value_at(evidence, text)
    return MISSING if " " in text else text


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
