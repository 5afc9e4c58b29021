"""From checked rows to answers: route, score, log. No web framework, no waiting.

    answers = answer_rows(rows, loaded, log=log, at="1998-01-02T00:00:00Z")

An answer that is no probability is never given: the whole request is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keelway.core import sortable_id
from keelway.errors import ServingError
from keelway.serve.line import number_text
from keelway.serve.ports import PredictionLog
from keelway.serve.router import LoadedDeployment, LoadedVersion
from keelway.serve.schema import Row


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it goes back.

    Attributes:
        probability: The number as text, as the log holds it.
        logged: Whether the prediction log took it.
    """

    entity: str
    prediction_id: str
    probability: str
    version: LoadedVersion
    logged: bool


def answer_rows(rows: Sequence[Row], loaded: LoadedDeployment, *, log: PredictionLog, at: str) -> list[Answer]:
    """Answer rows of one request, in their order; each version scores its rows in one call.

    Raises:
        ServingError: A version gave something that is no probability; nothing is logged.
    """
    if len(loaded.versions) == 1:
        versions = [loaded.stable] * len(rows)
    else:
        versions = [loaded.version_for(row[0]) for row in rows]
    texts = _probabilities(rows, versions)
    ids = [sortable_id() for _ in rows]
    lines = [
        version.writer.line(
            prediction_id=ids[i], entity=row[0], as_of=row[1], values=row[2], probability=texts[i], at=at
        )
        for i, (row, version) in enumerate(zip(rows, versions, strict=True))
    ]
    logged = log.append("".join(lines).encode())
    return [Answer(row[0], ids[i], texts[i], versions[i], logged) for i, row in enumerate(rows)]


def _probabilities(rows: Sequence[Row], versions: Sequence[LoadedVersion]) -> list[str]:
    """Return the probability of each row by its version, as text; nothing is logged before all of them are known."""
    places: dict[str, list[int]] = {}
    for place, version in enumerate(versions):
        places.setdefault(version.version, []).append(place)
    texts = [""] * len(rows)
    for mine in places.values():
        version = versions[mine[0]]
        names = version.schema.names
        columns = dict(zip(names, zip(*[rows[place][2] for place in mine], strict=True), strict=True))
        for place, probability in zip(mine, version.scorer.probabilities(columns), strict=True):
            if not 0.0 <= probability <= 1.0:
                raise ServingError(
                    f"{version.version} gave something that is no probability",
                    expected="a number in [0, 1]",
                    found=str(probability),
                    fix="Roll back: keelway rollback MODEL.",
                )
            texts[place] = number_text(probability)
    return texts
