"""Answers of a model in another process are awaited, so that a request that waits costs an event loop next to nothing.

loaded = await with_answers(rows, loaded)    # then `answer_rows(rows, loaded, ...)` finds them there
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeGuard

from keelway.errors import ServingError
from keelway.features import FeatureColumn
from keelway.serve.loaded import LoadedDeployment
from keelway.serve.ports import Scorer
from keelway.serve.wire.columns import Row


class AwaitedScorer(Scorer, Protocol):
    """A scorer whose answers can be awaited."""

    async def awaited(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return what `predictions` does.

        Raises:
            ServingError: As `predictions`.
        """
        ...


class KnownScorer:
    """Gives what a scorer has said already to the rows of one request: its answers, or that there are none.

    Args:
        like: The scorer that said so.
    """

    def __init__(self, said: list[Any] | ServingError, *, like: Scorer) -> None:
        self.features: Sequence[FeatureColumn] = like.features
        self.task = like.task
        self.classes: tuple[str, ...] = like.classes
        self._said = said

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:  # noqa: ARG002  (it was asked for them before)
        """Return the answers.

        Raises:
            ServingError: That was what the scorer said.
        """
        if isinstance(self._said, ServingError):
            raise self._said
        return self._said


async def with_answers(rows: Sequence[Row], loaded: LoadedDeployment) -> LoadedDeployment:
    """Return a deployment that knows the answers to these rows; as it is where several versions answer, or none waits.

    Where the version gave none, its backups are still to be asked, and may wait.
    """
    version = loaded.stable
    scorer = version.scorer
    if len(loaded.versions) != 1 or not _is_awaited(scorer):
        return loaded
    try:
        said: list[Any] | ServingError = await scorer.awaited([row[2] for row in rows])
    except ServingError as error:
        said = error
    known = replace(version, scorer=KnownScorer(said, like=scorer))
    waits = isinstance(said, ServingError) and bool(version.backups)
    return replace(loaded, versions={version.version: known}, waits=waits)


def _is_awaited(scorer: object) -> TypeGuard[AwaitedScorer]:
    """Say whether answers can be awaited; asked for each request, where checking against the protocol is slow."""
    return hasattr(scorer, "awaited")
