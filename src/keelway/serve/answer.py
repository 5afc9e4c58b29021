"""From checked rows to answers: route, score, log. No web framework, no waiting.

    answers = answer_rows(rows, loaded, log=log, at="1998-01-02T00:00:00Z")

A number that is not finite, or a probability outside [0, 1], is never given: the whole request is refused.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import msgspec

from keelway.core import sortable_ids
from keelway.errors import ServingError, UnavailableError, UndefinedAnswerError
from keelway.serve.journal_entries import entries_of
from keelway.serve.line import RequestMark, number_texts
from keelway.serve.loaded import LoadedDeployment, LoadedVersion
from keelway.serve.ports import PredictionLog
from keelway.serve.wire.columns import Row

OnFailure = Callable[[LoadedVersion, bool], None]
"""Told of a version that could not answer, and whether it was because its answer was no number."""


class Answer(msgspec.Struct, frozen=True):
    """One answer as it goes back; no dataclass, which would take ten times as long to make.

    Attributes:
        value: What was answered as text, as the log holds it: a number, or a list with one for each class.
        version: Who answered; a backup where the version that should have could not.
        logged: Whether the prediction log took it.
    """

    entity: str
    prediction_id: str
    value: str
    version: LoadedVersion
    logged: bool


def answer_rows(
    rows: Sequence[Row],
    loaded: LoadedDeployment,
    *,
    log: PredictionLog,
    at: str,
    marks: Sequence[RequestMark] = (),
    on_failure: OnFailure = lambda _version, _undefined: None,
) -> list[Answer]:
    """Answer rows in their order; each version scores its rows in one call.

    Where a version cannot answer, its backups are asked in their order, and the answer names the one that did.

    Args:
        at: When they are answered, as the log writes times.
        marks: The request of each row; none where no request asked.
        on_failure: Told of each version that could not answer, whether or not a backup did.

    Raises:
        ServingError: A version and its backups gave nothing that is an answer; nothing is logged.
        UnavailableError: The log takes nothing now, and refuses what it cannot take.
    """
    if len(loaded.versions) == 1:
        texts, versions = _scored(rows, loaded.stable, on_failure)
    else:
        texts, versions = _scored_apart(rows, [loaded.version_for(row[0]) for row in rows], on_failure)
    ids = sortable_ids(len(rows))
    entries = entries_of([version.writer for version in versions], ids, rows, texts, at=at, marks=marks)
    logged = log.append(entries, count=len(rows))
    if not logged and log.refuses:
        raise UnavailableError(
            "Predictions cannot be logged now, and what is not logged is not answered",
            expected="a log that takes lines",
            found="one that does not",
            fix="Make room on the disk; `serving.unlogged` declares this.",
        )
    return list(map(Answer, [row[0] for row in rows], ids, texts, versions, repeat(logged)))


def _scored_apart(
    rows: Sequence[Row], versions: list[LoadedVersion], on_failure: OnFailure
) -> tuple[list[str], list[LoadedVersion]]:
    """Return the answer to each row by its own version, and who gave it; nothing is logged before all are known."""
    places: dict[str, list[int]] = {}
    for place, version in enumerate(versions):
        places.setdefault(version.arm, []).append(place)
    texts, answered = [""] * len(rows), list(versions)
    for mine in places.values():
        found = _scored([rows[place] for place in mine], versions[mine[0]], on_failure)
        for place, text, version in zip(mine, *found, strict=True):
            texts[place], answered[place] = text, version
    return texts, answered


def _scored(
    rows: Sequence[Row], version: LoadedVersion, on_failure: OnFailure
) -> tuple[list[str], list[LoadedVersion]]:
    """Return the answers of a version, or of the first of its backups that has any, and who gave them."""
    values = [row[2] for row in rows]
    try:
        texts = answer_texts(version, values)
    except ServingError as error:
        on_failure(version, isinstance(error, UndefinedAnswerError))
        for backup in version.backups:
            with contextlib.suppress(ServingError):
                return answer_texts(backup, values), [backup] * len(rows)
        raise
    return texts, [version] * len(rows)


def answer_texts(version: LoadedVersion, values: Sequence[Sequence[Any]]) -> list[str]:
    """Return the answers of one version as text: a number, or a list of numbers where there are several classes."""
    answers = version.scorer.predictions(values)
    task = version.scorer.task
    if len(answers) != len(values):
        raise ServingError(
            f"{version.version} gave another number of answers",
            expected=str(len(values)),
            found=str(len(answers)),
            fix="Roll back: keelway rollback MODEL.",
        )
    if task == "multiclass":
        return [f"[{','.join(_texts(answer, version, are_shares=True))}]" for answer in answers]
    return _texts(answers, version, are_shares=task == "binary")


def _texts(numbers: Sequence[float], version: LoadedVersion, *, are_shares: bool) -> list[str]:
    """Return numbers as the log writes them, unless one is no probability where that is wanted, or not finite."""
    right = [0.0 <= each <= 1.0 for each in numbers] if are_shares else list(map(math.isfinite, numbers))
    if not all(right):
        raise UndefinedAnswerError(
            f"{version.version} gave something that is no {'probability' if are_shares else 'answer'}",
            expected="a number in [0, 1]" if are_shares else "a finite number",
            found=str(numbers[right.index(False)]),
            fix="Roll back: keelway rollback MODEL.",
        )
    return number_texts(numbers)
