"""Features of a model: in the online store, and put to the test (parity, poison, leakage)."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.app.features import FeatureRoom, chosen_model, training_cuts
from keelway.app.profiles import TableProfile, table_profile
from keelway.app.scoring_table import checked_paths, newest_snapshots
from keelway.app.wire import Workspace
from keelway.core import Digest

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.features import (
        FeatureTable,
        LeakageReport,
        Materialised,
        OnlineRow,
        OnlineStatus,
        OnlineStore,
        ParityReport,
        PoisonReport,
        RowFold,
    )
    from keelway.project import Model
    from keelway.snapshot import Snapshot


class OnlineRoom:
    """Use cases on features that are served, and on whether they can be believed."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def close(self) -> None:
        """Release the online store."""
        if "store" in self.__dict__:
            self.store.close()

    @functools.cached_property
    def store(self) -> OnlineStore:
        """The online store of the project."""
        from keelway.app.stores import online_store

        at = self._at
        return online_store(at.settings.engines, root=at.root, project=at.settings.project.name)

    def materialise(self, model: str | None = None, *, as_of: datetime | None = None) -> Materialised:
        """Let the online store hold every entity's features at a moment (now when None).

        Raises:
            ConflictError: The store holds a newer cut.
        """
        from keelway.features import materialise
        from keelway.privacy import WORK

        at, declared = self._at, self._model(model)
        return materialise(
            declared,
            newest_snapshots(declared, at=at),
            as_of=as_of or at.now(),
            store=self.store,
            paths_of=self._paths,
            artifacts=at.artifacts,
            state=at.state,
            now=at.now(),
            work=at.root / WORK,
            progress=at.progress,
        )

    def get(self, model: str, entities: Sequence[str]) -> list[OnlineRow]:
        """Return the features of some entities as they are served."""
        from keelway.features import online_features

        return online_features(self._model(model), entities, store=self.store)

    def status(self, model: str | None = None) -> OnlineStatus:
        """Return how fresh the online store is, and how often values are missing or 0."""
        from keelway.features import online_status

        at, declared = self._at, self._model(model)
        snapshots = newest_snapshots(declared, at=at)
        return online_status(declared, store=self.store, state=at.state, now=at.now(), snapshots=snapshots)

    def profile(self, model: str | None = None, *, purpose: str = "", as_ofs: Sequence[datetime] = ()) -> TableProfile:
        """Return the profile of the newest feature table, or of some of its cut dates.

        Args:
            purpose: `training` or `scoring`; empty takes whichever table is newest.
        """
        return table_profile(self._model(model).name, purpose=purpose, as_ofs=as_ofs, state=self._at.state)

    def parity(self, model: str | None = None, *, entities: int, seed: int = 0) -> ParityReport:
        """Compare what is served with what is trained on, and with each entity computed alone."""
        from keelway.features import parity

        at = self._at
        return parity(
            self._model(model),
            self.store,
            snapshots=self._snapshots_named,
            paths_of=self._paths,
            artifacts=at.artifacts,
            state=at.state,
            entities=entities,
            seed=seed,
            progress=at.progress,
        )

    def poison(self, model: str | None = None, *, as_of: datetime | None = None) -> PoisonReport:
        """Change everything that becomes known after a cut date, and require the same features.

        Args:
            as_of: The cut date; None takes the newest that is trained on, or now where there are no cuts.
        """
        from keelway.features import poison

        declared = self._model(model)
        snapshots = newest_snapshots(declared, at=self._at)
        moment = as_of or max(training_cuts(declared, snapshots, now=self._at.now())[0])
        with tempfile.TemporaryDirectory(prefix="keelway-poison-") as folder:
            return poison(
                declared,
                snapshots,
                as_of=moment,
                paths_of=self._paths,
                work=Path(folder),
                progress=self._at.progress,
            )

    def leakage(self, model: str | None = None, *, accept: Sequence[str] = ()) -> LeakageReport:
        """Look for columns and rows that know what they must not in what a model is trained on."""
        from keelway.features import leakage, rows_of

        at, declared = self._at, self._model(model)
        table = FeatureRoom(at).build(declared.name)
        rows, folds = split_rows(declared, table, rows_of(table, at.artifacts))
        groups = row_groups(declared, rows)
        return leakage(
            rows,
            table.features,
            task=declared.task,
            groups=groups,
            folds=folds,
            accept=accept,
            progress=at.progress,
        )

    def _snapshots_named(self, digests: Mapping[str, Digest]) -> dict[str, Snapshot]:
        from keelway.snapshot import Snapshot

        with self._at.state.snapshot() as tx:
            return {name: tx.by_digest(Snapshot, digest) for name, digest in digests.items()}

    def _paths(self, snapshot: Snapshot) -> list[Path]:
        return checked_paths(snapshot, at=self._at)

    def _model(self, name: str | None) -> Model:
        return chosen_model(name, at=self._at)


def split_rows(model: Model, table: FeatureTable, rows: pa.Table) -> tuple[pa.Table, list[RowFold]]:
    """Return the rows that train and then those that test, with the folds of the former and the test as one more."""
    import numpy as np
    import pyarrow as pa

    from keelway.train import Fold, folds, held_out_rows, training_rows

    train, test = training_rows(rows, model, table), held_out_rows(rows, model, table)
    last = Fold(np.arange(train.num_rows), np.arange(train.num_rows, train.num_rows + test.num_rows), "the test rows")
    return pa.concat_tables([train, test]), [*folds(train, model, table), last]


def row_groups(model: Model, rows: pa.Table) -> list[Any] | None:
    """Return what must not be cut in two by folds: the declared group; over time, entities may come again."""
    from keelway.project import RandomSplit

    if isinstance(model.split, RandomSplit):
        values: list[Any] = rows[model.split.group or "entity"].to_pylist()
        return values
    return None
