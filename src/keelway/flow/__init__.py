"""The lifecycle as data: steps and plans, and a runner that repeats nothing it has finished."""

from keelway.flow.bring_in import bring_in
from keelway.flow.context import Context
from keelway.flow.define import StepDefinition, check_plan, definition_of, step
from keelway.flow.execute import execute_step
from keelway.flow.history import open_runs, run_view
from keelway.flow.plan import Plan, Step
from keelway.flow.records import CachedStep, Nothing, RunView, StepEvent, StepEventKind
from keelway.flow.runner import close_run, find_run, open_run, run_plan
from keelway.flow.standard import train_plan

__all__ = [
    "CachedStep",
    "Context",
    "Nothing",
    "Plan",
    "RunView",
    "Step",
    "StepDefinition",
    "StepEvent",
    "StepEventKind",
    "bring_in",
    "check_plan",
    "close_run",
    "definition_of",
    "execute_step",
    "find_run",
    "open_run",
    "open_runs",
    "run_plan",
    "run_view",
    "step",
    "train_plan",
]
