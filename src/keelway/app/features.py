"""Features as people work with them: the SQL of a feature set for an engine, and a first proposal from a contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.app.wire import Workspace
from keelway.errors import UsageError

if TYPE_CHECKING:
    from keelway.features import FeatureSql
    from keelway.project import FeatureSet, Label


@dataclass(frozen=True, slots=True)
class ProposedFeatures:
    """A proposed feature set, as Python code."""

    dataset: str
    code: str


class FeatureRoom:
    """Use cases on feature definitions; none of them reads a row."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

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
