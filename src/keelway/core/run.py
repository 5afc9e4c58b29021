"""Run: one execution, from input digests and parameters to output digests and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from keelway.core.digest import Digest
from keelway.core.ids import PrincipalId, RunId


class RunStatus(StrEnum):
    """How a run or a step ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


Scalar = str | int | float | bool | None
DIRTY = "+dirty"


@dataclass(frozen=True, slots=True)
class CodeState:
    """What was executed: the user's code and the packages under it."""

    project_digest: Digest
    """Digest over the project's source files."""
    environment_digest: Digest
    """Digest over the names and versions of the installed packages and the Python version."""
    commit: str = ""
    """The git commit, empty outside a repository; `+dirty` is appended when files differ from it."""
    diff_digest: str = ""
    """Digest of what differs from the commit, so that two changed trees differ; empty for a clean one."""
    lock_digest: str = ""
    """Digest of the file that pins the environment, empty where there is none."""

    @property
    def dirty(self) -> bool:
        """Whether files differed from the commit, so that the commit alone cannot tell what was executed."""
        return self.commit.endswith(DIRTY)


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The record that opens a run: everything needed to execute it again."""

    run_id: RunId
    plan: str
    plan_digest: Digest
    parameters: dict[str, Scalar]
    seed: int
    code: CodeState
    principal: PrincipalId
    started_at: datetime
    now: datetime
    """The moment the run takes for the present; differs from `started_at` only under a simulated clock."""
    parent: str = ""
    """The run that it was opened in, such as a notebook's, or empty."""


@dataclass(frozen=True, slots=True)
class StepFinished:
    """The record that closes one step of a run; a step that has one is never executed again."""

    run_id: RunId
    step: str
    cache_key: Digest
    status: RunStatus
    output: Digest
    """Digest of the record that the step returned."""
    output_kind: str
    cached_from: RunId | None
    started_at: datetime
    ended_at: datetime
    error: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """The record that closes a run.

    Attributes:
        opened: Digest of its `RunStarted`.
        steps: Step name to digest of its `StepFinished`.
        outputs: Step name to digest of the record it returned.
        metrics: Figures that were measured, by name.
    """

    run_id: RunId
    plan: str
    opened: Digest
    status: RunStatus
    steps: dict[str, Digest]
    outputs: dict[str, Digest]
    metrics: dict[str, float] = field(default_factory=dict)
    ended_at: datetime | None = None
