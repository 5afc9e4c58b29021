"""A small world without a time: one table, a model over it, and the way from its rows to predictions.

>>> world = StaticWorld(folder, model, {"person": [...], "age": [...], "rich": [...]})   # doctest: +SKIP
>>> world.predicted(world.fit())                                                         # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.core import CodeState, digest_bytes
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.tracker import NoTracker
from keelway.engines.sql.state import SqlState
from keelway.features import FeatureTable, build_features, rows_of
from keelway.project import Ensemble, Estimator, Model
from keelway.testing.features import StaticTable
from keelway.train import Tracker, TrainedModel, fit, held_out_rows, predictions

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

CODE = CodeState(digest_bytes(b"project"), digest_bytes(b"environment"))


@dataclass
class StaticWorld:
    """Stores in a folder, one static table, and a model over it.

    Attributes:
        columns: The rows of the model's only dataset.
    """

    folder: Path
    model: Model
    columns: dict[str, Any]
    tracker: Tracker = field(default_factory=NoTracker)
    artifacts: LocalArtifacts = field(init=False)
    state: SqlState = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.artifacts = LocalArtifacts(self.folder / "artifacts")
        self.state = SqlState(f"sqlite:///{self.folder / 'state.db'}")

    def declare(self, **changes: Any) -> None:
        """Change what the model declares."""
        self.model = replace(self.model, **changes)

    def table(self, *, with_label: bool = True) -> FeatureTable:
        """Build the feature table of the present rows."""
        [dataset] = self.model.datasets
        book = StaticTable(self.folder / "tables", dataset.name, self.columns)
        present = book.known_at + timedelta(days=1)
        return build_features(
            self.model,
            {dataset.name: book.snapshot()},  # type: ignore[dict-item]  # as much of a snapshot as features need
            as_ofs=(present,),
            purpose="training" if with_label else "scoring",
            with_label=with_label,
            paths_of=book.paths_of,
            artifacts=self.artifacts,
            state=self.state,
            now=present,
        )

    def rows(self) -> pa.Table:
        """Return the rows of the feature table."""
        return rows_of(self.table(), self.artifacts)

    def fit(self, estimator: Estimator | Ensemble | None = None, *, seed: int = 7) -> TrainedModel:
        """Fit an estimator, the model's first unless another is named, on the present rows."""
        table = self.table()
        return fit(
            self.model,
            table,
            estimator=estimator or self.model.estimators[0],
            artifacts=self.artifacts,
            state=self.state,
            tracker=self.tracker,
            seed=seed,
            now=table.as_ofs[-1],
            code=CODE,
        )

    def held_out(self) -> pa.Table:
        """Return the rows that the model is tested on."""
        table = self.table()
        return held_out_rows(rows_of(table, self.artifacts), self.model, table)

    def predicted(self, trained: TrainedModel) -> NDArray[np.float64]:
        """Return the answers of a trained model to the rows it is tested on."""
        rows = self.held_out()
        return predictions(trained, {each.name: rows[each.name] for each in trained.features}, artifacts=self.artifacts)
