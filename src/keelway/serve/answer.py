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
        return _answer(list(rows), loaded.stable, log, at)
    shares: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        shares.setdefault(loaded.version_for(row[0]).version, []).append(place)
    answers: list[Answer | None] = [None] * len(rows)
    for name, places in shares.items():
        version = next(each for each in loaded.versions.values() if each.version == name)
        for place, answer in zip(places, _answer([rows[p] for p in places], version, log, at), strict=True):
            answers[place] = answer
    return [answer for answer in answers if answer is not None]


def _answer(rows: list[Row], version: LoadedVersion, log: PredictionLog, at: str) -> list[Answer]:
    names = version.schema.names
    columns = dict(zip(names, zip(*[row[2] for row in rows], strict=True), strict=True))
    probabilities = version.scorer.probabilities(columns)
    for probability in probabilities:
        if not 0.0 <= probability <= 1.0:
            raise ServingError(
                f"{version.version} gave something that is no probability",
                expected="a number in [0, 1]",
                found=str(probability),
                fix="Roll back: keelway rollback MODEL.",
            )
    ids = [sortable_id() for _ in rows]
    texts = [number_text(probability) for probability in probabilities]
    lines = [
        version.writer.line(
            prediction_id=ids[i], entity=row[0], as_of=row[1], values=row[2], probability=texts[i], at=at
        )
        for i, row in enumerate(rows)
    ]
    logged = log.append("".join(lines).encode())
    return [Answer(row[0], ids[i], texts[i], version, logged) for i, row in enumerate(rows)]
