"""The promises of a policy engine as tests; an engine inherits them with one fixture and its own small policies."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import pytest

from keelway.core import Evidence, PolicyEngine, PolicySet, digest_of

GOOD: Evidence = {"metrics": {"roc_auc": {"value": 0.81, "low": 0.78, "high": 0.84}}, "version": {"name": "churn:3"}}


def with_low(low: Any) -> Evidence:
    """Return evidence whose AUC has that lower bound."""
    return {**GOOD, "metrics": {"roc_auc": {"value": 0.81, "low": low, "high": 0.84}}}


class PolicyEngineConformance(ABC):
    """What every `PolicyEngine` keeps. Texts are in the engine's own language."""

    @pytest.fixture
    @abstractmethod
    def engine(self) -> PolicyEngine:
        """Return the engine under test."""

    @property
    @abstractmethod
    def floor(self) -> str:
        """A policy with one rule that refuses, with a reason, when `metrics.roc_auc.low` is under 0.75."""

    @property
    @abstractmethod
    def broken(self) -> dict[str, str]:
        """Policies that do not compile, raise, or answer with another shape: name of the fault to text."""

    def judged(self, engine: PolicyEngine, text: str, evidence: Evidence) -> tuple[bool, tuple[str, ...]]:
        """Return whether one policy text allows, and its reasons; the verdict's promises are checked."""
        policy = PolicySet("gate", {"gate": text})
        verdict = engine.judge(policy, evidence)
        assert verdict.policy_digest == digest_of(policy)
        assert verdict.allowed == (not verdict.reasons)
        assert verdict.rules or not verdict.allowed
        return verdict.allowed, verdict.reasons

    def test_good_evidence_is_let_in_and_bad_evidence_gets_a_reason(self, engine: PolicyEngine) -> None:
        assert self.judged(engine, self.floor, GOOD) == (True, ())
        allowed, reasons = self.judged(engine, self.floor, with_low(0.7))
        assert not allowed
        assert reasons

    def test_the_floor_itself_is_enough_and_a_hair_less_is_not(self, engine: PolicyEngine) -> None:
        assert self.judged(engine, self.floor, with_low(0.75))[0]
        assert not self.judged(engine, self.floor, with_low(0.75 - 1e-9))[0]

    def test_a_verdict_names_its_evidence(self, engine: PolicyEngine) -> None:
        assert engine.judge(PolicySet("gate", {"gate": self.floor}), GOOD).evidence_digest == digest_of(GOOD)

    def test_the_same_question_gets_the_same_answer(self, engine: PolicyEngine) -> None:
        policy = PolicySet("gate", {"gate": self.floor})
        assert engine.judge(policy, with_low(0.7)) == engine.judge(policy, with_low(0.7))

    @pytest.mark.parametrize("files", [{}, {"gate": ""}, {"gate": " \n"}], ids=["no files", "empty file", "blank file"])
    def test_an_empty_gate_never_passes(self, engine: PolicyEngine, files: dict[str, str]) -> None:
        verdict = engine.judge(PolicySet("empty", files), GOOD)
        assert not verdict.allowed
        assert verdict.reasons

    @pytest.mark.parametrize("low", [math.nan, math.inf, -math.inf, None, "0.9", True, [], {}], ids=repr)
    def test_what_is_no_finite_number_never_passes(self, engine: PolicyEngine, low: object) -> None:
        allowed, reasons = self.judged(engine, self.floor, with_low(low))
        assert not allowed
        assert reasons

    def test_nan_anywhere_in_the_evidence_refuses(self, engine: PolicyEngine) -> None:
        allowed, reasons = self.judged(engine, self.floor, {**GOOD, "elsewhere": [1.0, {"deep": math.nan}]})
        assert not allowed
        assert "nan" in " ".join(reasons)

    @pytest.mark.parametrize(
        "evidence", [{}, {"metrics": {}}, {"metrics": {"roc_auc": {}}}, {"metrics": None}], ids=repr
    )
    def test_missing_evidence_never_passes(self, engine: PolicyEngine, evidence: Evidence) -> None:
        allowed, reasons = self.judged(engine, self.floor, evidence)
        assert not allowed
        assert reasons

    def test_evidence_that_is_no_json_never_passes(self, engine: PolicyEngine) -> None:
        assert not self.judged(engine, self.floor, {**GOOD, "set": object()})[0]

    def test_a_broken_policy_refuses_and_says_so(self, engine: PolicyEngine) -> None:
        for fault, text in self.broken.items():
            allowed, reasons = self.judged(engine, text, GOOD)
            assert not allowed, fault
            assert reasons, fault
