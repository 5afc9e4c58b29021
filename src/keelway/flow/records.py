"""The small records of a run: what a step left in the cache, that it left nothing, and what a watcher is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from keelway.core import Digest, Run, RunId, RunStarted, StepFinished
from keelway.flow.plan import Plan


@dataclass(frozen=True, slots=True)
class Nothing:
    """What a step returned that had nothing to return; the steps after it are handed None."""


@dataclass(frozen=True, slots=True)
class CachedStep:
    """The output that a step gives for one combination of code, parameters, inputs and seed.

    Attributes:
        key: Digest over everything the output depends on.
        output: Digest of the record that the step returned.
        output_kind: The name of the record's class.
        run_id: The run that executed the step.
        step: The name the step had in that run.
    """

    key: Digest
    output: Digest
    output_kind: str
    run_id: RunId
    step: str


class StepEventKind(StrEnum):
    """What happened to a step."""

    STARTED = "started"
    FINISHED = "finished"
    CACHED = "cached"
    FAILED = "failed"
    RETRYING = "retrying"


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One line of progress.

    Attributes:
        seconds: How long the step took so far; for `retrying`, how long it waits before it tries again.
        detail: The error of a failed or retried step.
    """

    run: RunId
    step: str
    kind: StepEventKind
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as it stands now.

    Attributes:
        steps: Step name to the record that closed it last (a success or a failure), in the plan's order;
            None where the step was not executed yet.
        run: The record that closed the run last, or None while it is open.
    """

    started: RunStarted
    plan: Plan
    steps: dict[str, StepFinished | None]
    run: Run | None
