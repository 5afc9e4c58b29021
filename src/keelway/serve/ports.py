"""What serving asks of the world: scorers, a way to load them, and journals that survive the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from keelway.core import Digest, VersionName
from keelway.features import FeatureColumn
from keelway.project import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from keelway.serve.log_columns import LogColumns


class Scorer(Protocol):
    """A model that is loaded and checked. Pure: same rows, same answers; may be called from several threads."""

    @property
    def features(self) -> Sequence[FeatureColumn]:
        """The columns it wants, in order."""
        ...

    @property
    def task(self) -> Task:
        """What it predicts."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of a multiclass label in the order of the probabilities; empty otherwise."""
        ...

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the answer to each row: the probability of the outcome, a number, or one probability a class.

        Args:
            rows: A value for each feature, in order: a number or None, a text or None, a list of numbers.

        Raises:
            ServingError: A row has another length, or a value the wrong type; or there is no answer to be had.
        """
        ...


@runtime_checkable
class ColumnScorer(Protocol):
    """A scorer that also takes many rows as columns."""

    def predictions_in(self, columns: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the answer to each row, to the last bit those of `predictions`.

        Args:
            columns: One for each feature, in order, at least one row: numbers as an array of float64 with NaN where they are
                missing, texts as a list of texts and None.

        Raises:
            ServingError: As `predictions`.
        """
        ...


LoadScorer = Callable[[VersionName, Digest], Scorer]
"""Loads the version with that record digest; raises IntegrityError where a byte is not as promised."""


class PredictionLog(Protocol):
    """Takes predictions as a journal keeps them (`journal_entries`)."""

    @property
    def refuses(self) -> bool:
        """Whether an answer that cannot be logged must be refused instead of given."""
        ...

    def append(self, entries: bytes, *, count: int | None = None) -> bool:
        """Write whole entries, each with its line feed; never blocks on sealing.

        Args:
            count: How many predictions they tell of; None where each is the line of one.

        Returns:
            Whether they will survive the death of this process. When not, none of them was kept, and the
            caller must say so.
        """
        ...


@dataclass(frozen=True, slots=True)
class AnswersKept:
    """Answers that are sealed already.

    Attributes:
        values: Shape (n,), or (n, k) for k classes.
    """

    version: str
    values: NDArray[np.float64]


class BatchLog(Protocol):
    """Takes the predictions of one batch in columns, each place of it once."""

    def kept(self, place: str) -> AnswersKept | None:
        """Return what was sealed at a place, also by a run that was killed; None where nothing was."""
        ...

    def keep(self, columns: LogColumns, *, place: str) -> None:
        """Seal predictions, unless some are sealed at that place; they can be found and proven when this returns.

        Raises:
            StorageError: They cannot be kept; none of them was.
        """
        ...


class Journal(Protocol):
    """One open append-only file of lines, owned by this process until it ends."""

    @property
    def journal_id(self) -> str:
        """Its name, unique for ever."""
        ...

    @property
    def lines(self) -> int:
        """How many lines were appended."""
        ...

    def append(self, lines: bytes) -> None:
        """Append whole lines: all or, with StorageError, none. They survive the death of the process."""
        ...

    def read(self) -> bytes:
        """Return all bytes."""
        ...

    def remove(self) -> None:
        """Delete the journal, after its lines were sealed elsewhere."""
        ...

    def close(self) -> None:
        """Let go of the journal without deleting it: another process may then seal it."""
        ...


class Journals(Protocol):
    """The place where journals are kept. Safe for several processes at once."""

    def create(self, model: str, environment: str) -> Journal:
        """Open a new journal. Raises StorageError where that cannot be."""
        ...

    def leftovers(self) -> AbstractContextManager[list[tuple[str, str, Journal]]]:
        """Hold some journals (model, environment, journal) that nobody writes to; nobody else holds them meanwhile.

        None are held only where none are left.
        """
        ...
