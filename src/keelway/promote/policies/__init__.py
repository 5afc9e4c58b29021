"""What people do with policies besides judging: look them through, test, explain and replay them."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
    from keelway.promote.policies.cases import (
        CaseOutcome,
        PolicyCase,
        read_cases,
        read_unit_tests,
        run_tests,
    )
    from keelway.promote.policies.check import PolicyFinding, check_policy
    from keelway.promote.policies.clauses import Clause, GateText, gate_text, with_clause_sets
    from keelway.promote.policies.coverage import ClauseCoverage, PolicyCoverage, coverage
    from keelway.promote.policies.explain import ExplainedClause, Explanation, PlaceFound, clause_reasons, explain
    from keelway.promote.policies.paths import (
        MISSING,
        changed,
        evidence_schema,
        known_place,
        neighbours,
        places_at,
        sample_evidence,
        value_at,
    )
    from keelway.promote.policies.ports import PolicyLab, UnitTestOutcome
    from keelway.promote.policies.ready import (
        LIBRARY_PREFIX,
        TOLD_PLACES,
        EvidenceRead,
        ReadyRule,
        RuleCall,
        calls_in,
        library_aliases,
        outside_texts,
        reads_of,
        ready_rules,
        statements_in,
        without_comments,
    )
    from keelway.promote.policies.replay import (
        PastDecision,
        Replay,
        ReplayedDecision,
        past_decisions,
        replay,
    )

__all__ = [
    "LIBRARY_PREFIX",
    "MISSING",
    "TOLD_PLACES",
    "CaseOutcome",
    "Clause",
    "ClauseCoverage",
    "EvidenceRead",
    "ExplainedClause",
    "Explanation",
    "GateText",
    "PastDecision",
    "PlaceFound",
    "PolicyCase",
    "PolicyCoverage",
    "PolicyFinding",
    "PolicyLab",
    "ReadyRule",
    "Replay",
    "ReplayedDecision",
    "RuleCall",
    "UnitTestOutcome",
    "calls_in",
    "changed",
    "check_policy",
    "clause_reasons",
    "coverage",
    "evidence_schema",
    "explain",
    "gate_text",
    "known_place",
    "library_aliases",
    "neighbours",
    "outside_texts",
    "past_decisions",
    "places_at",
    "read_cases",
    "read_unit_tests",
    "reads_of",
    "ready_rules",
    "replay",
    "run_tests",
    "sample_evidence",
    "statements_in",
    "value_at",
    "with_clause_sets",
    "without_comments",
]

open_door(__name__)
