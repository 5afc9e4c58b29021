"""The Great Expectations engine: a contract as an expectation suite, and a second opinion on a version by it."""

from keelway.engines.great_expectations.opinion import RuleOpinion, SecondOpinion, second_opinion
from keelway.engines.great_expectations.suite import PlannedExpectation, SuitePlan, UnaskedRule, plan_of, suite_of

__all__ = [
    "PlannedExpectation",
    "RuleOpinion",
    "SecondOpinion",
    "SuitePlan",
    "UnaskedRule",
    "plan_of",
    "second_opinion",
    "suite_of",
]
