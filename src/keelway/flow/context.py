"""What a step may use of the world: one frozen bundle of ports and facts, handed to every step function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import ArtifactStore, Clock, CodeState, PolicyEngine, PrincipalId, RunId, SystemClock

if TYPE_CHECKING:
    from keelway.contract import Checker
    from keelway.ingest import ObjectSource
    from keelway.ledger import SigningKey, StateStore
    from keelway.privacy import PersonalData
    from keelway.project import Project
    from keelway.snapshot import TableStore
    from keelway.train import Tracker
    from keelway.train.tuning import Studies


_NO_RUN = RunId("")


def _say_nothing(_line: str) -> None:
    """Drop a line of progress."""


@dataclass(frozen=True, slots=True)
class Context:
    """The ports and facts a step works with.

    Attributes:
        now: What the run takes for the present: every time that a step stores or compares with is this one.
        seed: For everything random.
        principal: Who acts.
        code: The code that executes; a step of a run that was opened with other code is refused.
        run_id: The run, set by the runner.
        parent: The run that a new run is opened in, or empty.
        root: The folder of the project.
        progress: Takes one line of progress for people.
        studies: Keeps what a search over parameters tried; None where nothing is searched.
        personal: Returns what datasets with personal data are brought in with; None where there is no such thing.
        wall: The clock on the wall, only for how long things took; `now` is the time to compute with.
    """

    project: Project
    state: StateStore
    artifacts: ArtifactStore
    tables: TableStore
    checker: Checker
    source: ObjectSource
    tracker: Tracker
    key: SigningKey
    policy_engine: PolicyEngine
    now: datetime
    seed: int
    principal: PrincipalId
    code: CodeState
    root: Path
    run_id: RunId = _NO_RUN
    parent: str = ""
    progress: Callable[[str], None] = _say_nothing
    studies: Studies | None = None
    personal: Callable[[], PersonalData] | None = None
    wall: Clock = field(default_factory=SystemClock)
