"""What features ask of the world: a store from which the newest values of one entity are read in an instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from keelway.core import Digest
from keelway.features.records import FeatureColumn

OnlineValue = float | str | list[float] | None
"""One feature of one entity: null is a missing number, the empty text a missing category or text."""


@dataclass(frozen=True, slots=True)
class OnlineCut:
    """What an online store holds of a model: all its entities at one cut date.

    Attributes:
        model: What it is stored under; one cut a model.
        entity: The column that names the entity.
        as_of: The cut date, in UTC.
        definition: Digest of what the model declares about features and label.
        table: Digest of the feature table's record.
        data: Digest of the feature table's bytes.
        snapshots: Dataset to digest of the snapshot record the values were computed from.
        features: The features, in the order of each row's values.
        missing: Feature to the number of entities that have no value.
        rows: How many entities there are.
        written_at: When it was written, in UTC.
    """

    model: str
    entity: str
    as_of: datetime
    definition: Digest
    table: Digest
    data: Digest
    snapshots: dict[str, Digest]
    features: tuple[FeatureColumn, ...]
    missing: dict[str, int]
    rows: int
    written_at: datetime

    def replaces(self, held: OnlineCut) -> bool:
        """Return whether this cut takes the place of another: it is newer, or the same cut date with other bytes."""
        if self.as_of == held.as_of and (self.data, self.definition) == (held.data, held.definition):
            return False
        return (self.as_of, self.written_at, self.table) > (held.as_of, held.written_at, held.table)


@dataclass(frozen=True, slots=True)
class OnlineRow:
    """The features of one entity as an online store holds them."""

    entity: str
    as_of: datetime
    definition: Digest
    values: dict[str, OnlineValue]


class OnlineStore(Protocol):
    """The newest features of every entity, by model.

    Promises: a cut is written as a whole or not at all, and a reader sees all of one cut, never parts of two, also
    while another process writes. Safe to use from several threads and processes. A full disk raises `StorageError` and
    leaves the cut that was there.
    """

    def write(self, cut: OnlineCut, rows: Iterable[tuple[str, Sequence[OnlineValue]]]) -> bool:
        """Put a cut in the place of the model's older one, and return whether it was.

        An older cut, and one that is there already with the same bytes, changes nothing. `rows` is then not read.

        Args:
            cut: What is written.
            rows: Entity and values in the order of `cut.features`; each entity once.

        Raises:
            FeatureError: There are more or fewer rows or values than the cut says, or an entity comes twice.
        """
        ...

    def cut(self, model: str) -> OnlineCut | None:
        """Return what is held of a model, or None."""
        ...

    def read(self, model: str, entities: Sequence[str]) -> Mapping[str, OnlineRow]:
        """Return the rows of those entities that have one, all of the same cut; empty for an unknown model."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...
