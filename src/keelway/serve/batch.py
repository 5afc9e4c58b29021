"""Scores many rows at once, through the same versions, arms and log as single requests."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from keelway.core import time_text
from keelway.errors import StorageError
from keelway.serve.answer import answer_rows
from keelway.serve.ports import PredictionLog
from keelway.serve.router import LoadedDeployment
from keelway.serve.schema import Row

CHUNK_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """What a batch scored.

    Attributes:
        by_version: Rows by the version that answered them.
        mean_probability: Over all rows; 0 without any.
    """

    model: str
    environment: str
    as_of: datetime
    rows: int
    by_version: dict[str, int]
    mean_probability: float


def score(
    rows: Iterable[Row], loaded: LoadedDeployment, *, as_of: datetime, log: PredictionLog, now: datetime
) -> ScoreReport:
    """Score rows in chunks of 1,000 and log every answer.

    Raises:
        ServingError: A version gave something that is no probability.
        StorageError: The log cannot be written; what was scored before is logged.
    """
    by_version: dict[str, int] = {}
    probabilities: list[float] = []
    at = time_text(now)
    for chunk in _chunks(rows):
        for answer in answer_rows(chunk, loaded, log=log, at=at):
            if not answer.logged:
                raise StorageError(
                    "The prediction log cannot be written",
                    expected="every prediction logged",
                    found=f"{len(probabilities)} rows logged before",
                    fix="Make room on the disk and score again.",
                )
            by_version[answer.version.version] = by_version.get(answer.version.version, 0) + 1
            probabilities.append(float(answer.probability))
    mean = math.fsum(probabilities) / len(probabilities) if probabilities else 0.0
    deployment = loaded.deployment
    return ScoreReport(deployment.model, deployment.environment, as_of, len(probabilities), by_version, mean)


def _chunks(rows: Iterable[Row]) -> Iterable[list[Row]]:
    chunk: list[Row] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
