"""TrackedRun: what a script, a notebook or a fit told of itself, and everything needed to do it again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from keelway.core import CodeState, Digest, PrincipalId, RunId, Scalar

TrackedKind = Literal["script", "autolog", "trial", "notebook", "plan"]
TrackedStatus = Literal["succeeded", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run was executed on.

    Attributes:
        system: The operating system and its release.
        processor: The machine's architecture.
        cpus: Logical processors this process may use.
        memory_bytes: Physical memory; 0 where it cannot be told.
        python: Python's version.
        libraries: Versions of those libraries that decide how a model comes out.
    """

    system: str
    processor: str
    cpus: int
    memory_bytes: int
    python: str
    libraries: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunOpening:
    """What is known when a run opens; the first line of its journal.

    Attributes:
        experiment: What the tracker lists it under: the project's name.
        parent: The run that was open around it, or empty.
        script: The file that was executed and its arguments, or empty in a notebook.
        requirements: Every installed package, as `name==version`.
    """

    run_id: RunId
    name: str
    kind: TrackedKind
    experiment: str
    model: str
    estimator: str
    parent: str
    principal: PrincipalId
    seed: int
    started_at: datetime
    code: CodeState
    machine: Machine
    script: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A run that ended, one way or another.

    Attributes:
        metrics: The last value of each figure that is a finite number.
        not_finite: Figure to `nan`, `inf` or `-inf`, where the last value is none.
        tags: Texts to find it by.
        dataset: Digest of what it learned from, or empty.
        signature_json: Inputs and outputs, as the user gave them or as the fit showed them; empty where unknown.
        input_example_json: A few rows of input, as MLflow lays them out; empty where there are none.
        artifacts: Name to digest of what it left.
        warnings: What was warned of meanwhile, each once.
        error: What ended it, where it failed.
        points: How many values of figures the journal holds.
        journal: The artifact that holds every value in order.
    """

    run_id: RunId
    name: str
    kind: TrackedKind
    experiment: str
    model: str
    estimator: str
    status: TrackedStatus
    parent: str
    principal: PrincipalId
    seed: int
    started_at: datetime
    ended_at: datetime
    code: CodeState
    machine: Machine
    script: tuple[str, ...]
    requirements: tuple[str, ...]
    parameters: dict[str, Scalar]
    metrics: dict[str, float]
    not_finite: dict[str, str]
    tags: dict[str, str]
    dataset: str
    signature_json: str
    input_example_json: str
    artifacts: dict[str, Digest]
    warnings: tuple[str, ...]
    error: str
    points: int
    journal: Digest


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One value of a figure.

    Attributes:
        value: Any number, also NaN or infinite.
        step: Where in the course of the run it belongs.
        at: When it was logged.
    """

    name: str
    value: float
    step: int
    at: datetime
