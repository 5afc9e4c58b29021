"""Compiled scorers: a fitted pipeline as plain data, and what answers rows by it."""

from keelway.register.plan.compile import compile_plan
from keelway.register.plan.packed import plan_bytes, read_plan
from keelway.register.plan.records import ScoringPlan
from keelway.register.plan.scorer import PlanScorer

__all__ = ["PlanScorer", "ScoringPlan", "compile_plan", "plan_bytes", "read_plan"]
