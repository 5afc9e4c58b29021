"""Features as people work with them: built to be looked at, as the SQL of an engine, and proposed from a contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.scoring_table import checked_paths, newest_snapshots
from keelway.app.wire import Workspace
from keelway.errors import StorageError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.features import FeatureSql, FeatureTable
    from keelway.project import FeatureSet, Label, Model
    from keelway.snapshot import Snapshot

JUST_AFTER = timedelta(microseconds=1)  # what became known at a cut date itself is not seen at it


@dataclass(frozen=True, slots=True)
class ProposedFeatures:
    """A proposed feature set, as Python code."""

    dataset: str
    code: str


class FeatureRoom:
    """Use cases on feature definitions."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def build(self, model: str | None = None, *, as_ofs: Sequence[datetime] = ()) -> FeatureTable:
        """Compute the rows that a model learns from, with labels, and train nothing.

        Args:
            model: The only one where none is named.
            as_ofs: Other cut dates; their rows have no label.

        Raises:
            FeatureError: A function broke its promise, or there are no rows.
        """
        from keelway.features import build_features
        from keelway.privacy import WORK

        at = self._at
        declared = chosen_model(model, at=at)
        snapshots = newest_snapshots(declared, at=at)
        cuts, known_until = training_cuts(declared, snapshots, now=at.now())
        return build_features(
            declared,
            snapshots,
            as_ofs=tuple(as_ofs) or cuts,
            purpose="scoring" if as_ofs else "training",
            with_label=not as_ofs,
            paths_of=lambda snapshot: checked_paths(snapshot, at=at),
            artifacts=at.artifacts,
            state=at.state,
            now=at.now() if as_ofs else known_until,
            work=at.root / WORK,
            progress=at.progress,
        )

    def rows(self, table: FeatureTable) -> pa.Table:
        """Return the rows of a feature table."""
        from keelway.features import rows_of

        return rows_of(table, self._at.artifacts)

    def write(self, table: FeatureTable, path: Path) -> Path:
        """Write the rows of a feature table as Parquet or CSV, by the name of the file.

        Raises:
            UsageError: The name ends in neither.
            StorageError: The file cannot be written.
        """
        import pyarrow.csv
        import pyarrow.parquet

        check_target(path)
        write = pyarrow.csv.write_csv if path.suffix == ".csv" else pyarrow.parquet.write_table
        if path.suffix == ".csv" and (arrays := [each.name for each in table.features if each.kind == "array"]):
            raise UsageError("A CSV file holds no arrays", expected="a .parquet file", found=", ".join(arrays))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(self.rows(table), path)
        except OSError as error:
            raise StorageError(f"{path} cannot be written", found=error.strerror or str(error)) from error
        return path

    def sql(
        self, name: str, *, engine: str, as_ofs: Sequence[datetime] = (), database: str = ""
    ) -> tuple[FeatureSql, ...]:
        """Return the SQL of a feature set, or of every feature set of a model.

        Of a model whose label has no horizon, the columns that the label is made of are hidden from the features.

        Args:
            engine: `duckdb`, `snowflake`, `databricks` or `spark`.
            as_ofs: The cut dates; the present where none is given.
            database: Where the tables stand, as `SCHEMA` or `CATALOG.SCHEMA`.

        Raises:
            UsageError: Nothing is called that, or there is no such engine.
            FeatureError: A function cannot be built on the contracts, or not written for the engine.
        """
        from keelway.features import feature_sql

        cuts = tuple(as_ofs) or (self._at.now(),)
        return tuple(
            feature_sql(
                features,
                self._schemas(features, label),
                engine=engine,
                as_ofs=cuts,
                label=label,
                database=database,
            )
            for features, label in self._named(name)
        )

    def propose(self, dataset: str, *, entity: str = "") -> ProposedFeatures:
        """Return a feature set over a dataset, proposed from its contract.

        Args:
            entity: The column that features are made for; the one that can only be meant where none is given.

        Raises:
            ProjectError: There is no such dataset.
            UsageError: The entity cannot be told.
        """
        from keelway.contract import load_contract
        from keelway.features import auto_features

        declared = self._at.project.dataset(dataset)
        contract = load_contract(self._at.root / declared.contract, dataset)
        return ProposedFeatures(dataset, auto_features(declared, contract, entity=entity or self._entity_of(dataset)))

    def _named(self, name: str) -> list[tuple[FeatureSet, Label | None]]:
        """Return the feature sets that a name means, each with the label they stand beside."""
        models = self._at.project.models
        for model in models:
            if model.name == name:
                return [(features, model.label) for features in model.features]
        sets = {features.name: features for model in models for features in model.features}
        if name not in sets:
            raise UsageError(
                f"No model and no feature set is called {name!r}",
                expected=", ".join([*(model.name for model in models), *sorted(sets)]),
                found=name,
            )
        return [(sets[name], None)]

    def _schemas(self, features: FeatureSet, label: Label | None) -> dict[str, dict[str, str]]:
        from keelway.contract import load_contract

        datasets = {source.name: source for source in features.sources}
        if label is not None:
            datasets[label.source.name] = label.source
        contracts = {name: load_contract(self._at.root / each.contract, name) for name, each in datasets.items()}
        return {name: {column.name: column.kind for column in each.columns} for name, each in contracts.items()}

    def _entity_of(self, dataset: str) -> str:
        """Return the entity that the project's feature sets over a dataset agree on, or nothing."""
        entities = {
            features.entity
            for model in self._at.project.models
            for features in model.features
            if dataset in {source.name for source in features.sources}
        }
        return entities.pop() if len(entities) == 1 else ""


def check_target(path: Path) -> None:
    """Refuse a file that rows cannot be written to, by its name.

    Raises:
        UsageError: The name ends in neither `.parquet` nor `.csv`.
    """
    if path.suffix not in (".parquet", ".csv"):
        raise UsageError("This is no kind of file for rows", expected=".parquet or .csv", found=str(path))


def chosen_model(name: str | None, *, at: Workspace) -> Model:
    """Return a declared model, the only one where none is named."""
    project = at.project
    if name is None and len(project.models) > 1:
        raise UsageError("Which model?", expected=", ".join(each.name for each in project.models))
    return project.model(name) if name else project.models[0]


def training_cuts(
    model: Model, snapshots: Mapping[str, Snapshot], *, now: datetime
) -> tuple[tuple[datetime, ...], datetime]:
    """Return the cut dates that a training at this moment learns from, and until when anything is known.

    Where no label has matured yet, the first cut date stands alone. A model without cut dates has one, just after its data.
    """
    held = [snapshots[dataset.name].watermark for dataset in model.datasets if dataset.name in snapshots]
    if model.cuts is None or model.label.horizon is None:
        present = max(held) + JUST_AFTER if held else now
        return (present,), present
    labels = snapshots.get(model.label.source.name)
    known_until = now if labels is None else min(now, labels.watermark)
    return model.cuts.until(known_until, horizon=model.label.horizon) or (model.cuts.first,), known_until
