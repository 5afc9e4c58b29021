"""What a server tells a model's process first, and what comes back for a batch of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keelway.core import Digest
from keelway.features import FeatureColumn
from keelway.project import Task

NOT_FINITE = "an answer that is not finite"
"""What a worker tells instead of a NaN or an infinite number."""


@dataclass(frozen=True, slots=True)
class WorkerModel:
    """What a process is told first: the model it is to answer for.

    Attributes:
        pipeline: The artifact that holds the fitted pipeline, or the list of an ensemble's members.
        artifacts: The bytes of that artifact and of those that it names.
        folders: Put on the import path, for a project with classes of its own.
        module: The project's module, which trusts those classes; empty imports nothing.
        memory_mb: The most memory that it may take; 0 for no limit.
    """

    pipeline: Digest
    artifacts: dict[Digest, bytes]
    features: tuple[FeatureColumn, ...]
    task: Task
    classes: tuple[str, ...]
    folders: tuple[str, ...] = ()
    module: str = ""
    memory_mb: int = 0


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """What comes back for a batch of rows: an answer for each, or why there is none."""

    answers: list[Any]
    error: str = ""
