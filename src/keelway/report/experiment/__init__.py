"""Experiment reports: what a rollout showed, in words that a product owner reads; and the plan before it begins."""

from keelway.report.experiment.lines import experiment_lines
from keelway.report.experiment.page import experiment_page
from keelway.report.experiment.planning import Assumption, PlannedExperiment, PlanWish, planned_experiment
from keelway.report.experiment.planning_words import EFFECT_HEADS, assumption_rows, effect_rows, plan_sentences
from keelway.report.experiment.records import (
    ArmStory,
    DecisionLine,
    ExperimentRecords,
    ExperimentReport,
    FigurePoint,
    FigureStory,
    LookLine,
    ShareStep,
    TurnLine,
)
from keelway.report.experiment.tell import experiment_report

__all__ = [
    "EFFECT_HEADS",
    "ArmStory",
    "Assumption",
    "DecisionLine",
    "ExperimentRecords",
    "ExperimentReport",
    "FigurePoint",
    "FigureStory",
    "LookLine",
    "PlanWish",
    "PlannedExperiment",
    "ShareStep",
    "TurnLine",
    "assumption_rows",
    "effect_rows",
    "experiment_lines",
    "experiment_page",
    "experiment_report",
    "plan_sentences",
    "planned_experiment",
]
