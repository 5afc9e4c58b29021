"""The records of registration: a model version, and how well its exported forms agree with the trained one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keelway.core import Digest, PrincipalId, VersionName
from keelway.features import FeatureColumn
from keelway.project import Task


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the answers of an exported form are from the trained model's.

    Attributes:
        rows: How many rows were compared.
        max_difference: The largest difference of two probabilities; of two numbers, in units of their size.
        tolerance: What is allowed.
        nulls_tested: Whether every feature was tried without a value.
        unseen_tested: Whether every categorical feature was tried with a value never seen; true where there is none.
    """

    rows: int
    max_difference: float
    tolerance: float
    nulls_tested: bool
    unseen_tested: bool


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A numbered, signed model that an environment can be pointed at.

    Attributes:
        name: `MODEL:NUMBER`.
        semver: Major for other features, minor for another definition, patch for other data.
        onnx: The exported model's bytes; the pipeline's where the model is served as Python.
        pipeline: The trained pipeline's bytes.
        features: The columns it reads.
        entity: The column that names the entity.
        parity: How well the two forms agree.
        trained: The `TrainedModel` record.
        scorecard: The `Scorecard` record.
        feature_table: The `FeatureTable` record.
        profile: The `Profile` record of the training rows.
        run_id: The run that registered it.
        author: Who ran it.
        statement: The signed in-toto statement about `onnx` and `plan` (a DSSE envelope).
        registry_link: Where the tracker shows it, or empty.
        task: What is predicted.
        classes: The names of a multiclass label in the order of the probabilities; empty otherwise.
        plan: The compiled plan's bytes; None where the model cannot be compiled.
        plan_parity: How well the plan agrees with the trained model; None without a plan.
        no_plan: Why there is no plan; empty where there is one.
    """

    name: VersionName
    model: str
    number: int
    semver: str
    onnx: Digest
    pipeline: Digest
    features: tuple[FeatureColumn, ...]
    entity: str
    parity: Parity
    trained: Digest
    scorecard: Digest
    feature_table: Digest
    profile: Digest
    run_id: str
    author: PrincipalId
    created_at: datetime
    statement: Digest
    registry_link: str
    task: Task = "binary"
    classes: tuple[str, ...] = ()
    plan: Digest | None = None
    plan_parity: Parity | None = None
    no_plan: str = ""

    @property
    def served_form(self) -> Literal["plan", "onnx", "python"]:
        """Which of its forms answers requests: a model that is served as Python has no other form than its pipeline."""
        if self.plan is not None:
            return "plan"
        return "python" if self.onnx == self.pipeline else "onnx"

    @property
    def served(self) -> Digest:
        """The bytes of the form that answers requests."""
        return self.onnx if self.plan is None else self.plan
