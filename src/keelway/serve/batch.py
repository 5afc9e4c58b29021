"""Scores many rows at once, through the same versions, arms and log as single requests; as many as there are, in little memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from keelway.core import time_text
from keelway.errors import StorageError
from keelway.serve.answer import answer_rows
from keelway.serve.loaded import LoadedDeployment
from keelway.serve.ports import PredictionLog
from keelway.serve.wire.columns import Row

CHUNK_ROWS = 1_000
TOLD_EVERY = 100
"""Chunks between two lines of progress."""


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
    rows: Iterable[Row],
    loaded: LoadedDeployment,
    *,
    as_of: datetime,
    log: PredictionLog,
    now: datetime,
    progress: Callable[[str], None] = lambda _line: None,
) -> ScoreReport:
    """Score rows in chunks of 1,000 and log every answer; no more than one chunk is held at a time.

    Args:
        rows: May be a generator, and longer than memory.
        progress: Called with one line every 100,000 rows.

    Raises:
        ServingError: A version gave something that is no probability.
        StorageError: The log cannot be written; what was scored before is logged.
    """
    by_version: Counter[str] = Counter()
    count, total = 0, 0.0
    at = time_text(now)
    for number, chunk in enumerate(_chunks(rows), 1):
        answers = answer_rows(chunk, loaded, log=log, at=at)
        if not all(answer.logged for answer in answers):
            raise StorageError(
                "The prediction log cannot be written",
                expected="every prediction logged",
                found=f"{count} rows logged before",
                fix="Make room on the disk and score again.",
            )
        by_version.update(answer.version.version for answer in answers)
        total += math.fsum(float(answer.probability) for answer in answers)
        count += len(answers)
        if number % TOLD_EVERY == 0:
            progress(f"{count:,} rows scored")
    deployment = loaded.deployment
    mean = total / count if count else 0.0
    return ScoreReport(deployment.model, deployment.environment, as_of, count, dict(by_version), mean)


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    waiting = iter(rows)
    while chunk := list(islice(waiting, CHUNK_ROWS)):
        yield chunk
