"""The records of registration: a model version, and how well its exported form agrees with the trained one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from keelway.core import Digest, PrincipalId, VersionName
from keelway.features import FeatureColumn


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the exported model's answers are from the trained one's.

    Attributes:
        rows: How many rows were compared.
        max_difference: The largest difference of two probabilities; of two numbers, in units of their size.
        tolerance: What the model allows.
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
        onnx: The exported model's bytes.
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
        statement: The signed in-toto statement about `onnx` (a DSSE envelope).
        registry_link: Where the tracker shows it, or empty.
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
