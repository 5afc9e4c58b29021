"""Compiled scorers: a fitted pipeline as plain data, and what answers rows by it."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
    from keelway.register.plan.compile import compile_plan
    from keelway.register.plan.explain import ExplanationMethod, MarginScale, PlanExplainer, RowExplanation
    from keelway.register.plan.packed import plan_bytes, read_plan
    from keelway.register.plan.records import ScoringPlan
    from keelway.register.plan.scorer import PlanScorer
    from keelway.register.plan.shapley_linear import with_means

__all__ = [
    "ExplanationMethod",
    "MarginScale",
    "PlanExplainer",
    "PlanScorer",
    "RowExplanation",
    "ScoringPlan",
    "compile_plan",
    "plan_bytes",
    "read_plan",
    "with_means",
]

open_door(__name__)
