"""The lifecycle as data: steps and plans, and a runner that repeats nothing it has finished."""

from keelway.flow.bring_in import Loaded, Terms, bring_in, bring_in_batches, comparison, no_data, terms_of
from keelway.flow.context import Context
from keelway.flow.define import StepDefinition, check_plan, definition_of, step
from keelway.flow.execute import execute_step
from keelway.flow.history import open_runs, run_view
from keelway.flow.lineage import LineageTarget, lineage_events
from keelway.flow.plan import Plan, Step
from keelway.flow.records import CachedStep, Nothing, RunView, StepEvent, StepEventKind
from keelway.flow.runner import close_run, find_run, open_run, run_plan
from keelway.flow.standard import train_plan, tune_plan

__all__ = [
    "CachedStep",
    "Context",
    "LineageTarget",
    "Loaded",
    "Nothing",
    "Plan",
    "RunView",
    "Step",
    "StepDefinition",
    "StepEvent",
    "StepEventKind",
    "Terms",
    "bring_in",
    "bring_in_batches",
    "check_plan",
    "close_run",
    "comparison",
    "definition_of",
    "execute_step",
    "find_run",
    "lineage_events",
    "no_data",
    "open_run",
    "open_runs",
    "run_plan",
    "run_view",
    "step",
    "terms_of",
    "train_plan",
    "tune_plan",
]
