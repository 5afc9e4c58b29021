"""Which clauses of a gate its tests exercise: one that nobody has seen refuse may be broken, or may refuse too much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keelway.core import Evidence, PolicySet
from keelway.promote.policies.clauses import gate_text
from keelway.promote.policies.explain import clause_reasons
from keelway.promote.policies.ports import PolicyLab


@dataclass(frozen=True, slots=True)
class ClauseCoverage:
    """How often a clause was seen to refuse, and to let pass.

    Attributes:
        refused: In so many of the documents that tests judge it gave a reason.
        passed: In so many it gave none.
    """

    rule: str
    clause: str
    place: str
    refused: int
    passed: int

    @property
    def covered(self) -> bool:
        """Whether it was seen both ways."""
        return self.refused > 0 and self.passed > 0


@dataclass(frozen=True, slots=True)
class PolicyCoverage:
    """The coverage of a gate, clause by clause.

    Attributes:
        documents: How many documents of its tests count.
    """

    clauses: tuple[ClauseCoverage, ...]
    documents: int

    @property
    def share(self) -> float:
        """The share of clauses seen both ways; 0 for a gate without clauses."""
        return sum(clause.covered for clause in self.clauses) / len(self.clauses) if self.clauses else 0.0

    @property
    def rules(self) -> dict[str, bool]:
        """Every rule that has clauses, and whether all of these are covered."""
        names = dict.fromkeys(clause.rule for clause in self.clauses if clause.rule)
        return {name: all(each.covered for each in self.clauses if each.rule == name) for name in names}


def coverage(policy: PolicySet, documents: Sequence[Evidence], *, lab: PolicyLab) -> PolicyCoverage:
    """Return what documents that tests judge exercise of a gate.

    A document that every clause refuses, such as an empty one, says nothing about a single clause and does not count.
    """
    gate = gate_text(policy)
    said = [clause_reasons(policy, gate, evidence, lab=lab) for evidence in documents]
    if len(gate.clauses) > 1:
        said = [reasons for reasons in said if len(reasons) < len(gate.clauses)]
    clauses = []
    for clause in gate.clauses:
        refused = sum(clause.number in reasons for reasons in said)
        clauses.append(ClauseCoverage(clause.rule, clause.told, clause.place, refused, len(said) - refused))
    return PolicyCoverage(tuple(clauses), len(said))
