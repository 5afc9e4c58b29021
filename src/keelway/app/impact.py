"""What a changed contract reaches: changed column -> feature sets and labels -> models -> versions -> deployments.

Feature functions are built twice on tables without data, once with the columns of the old contract and once with
those of the new: a function that builds no more breaks, whatever the table of changes says. What it reads decides
which changes reach it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from keelway.contract import ChangeKind, ChangeLevel, Contract, ContractChange, changes_between
from keelway.core import VersionName
from keelway.errors import FeatureError

if TYPE_CHECKING:
    from keelway.features import FeatureReads
    from keelway.project import FeatureSet, Label, Model


class Effect(StrEnum):
    """What a change does to somebody who reads the data, mildest first."""

    NOTHING = "nothing"
    WATCH = "watch drift"
    SHIFT = "values shift"
    BREAK = "breaks at build"

    @property
    def rank(self) -> int:
        """0 for the mildest effect."""
        return list(Effect).index(self)


SHAPES = frozenset(
    {ChangeKind.COLUMN_REMOVED, ChangeKind.COLUMN_RENAMED, ChangeKind.TYPE_CHANGED, ChangeKind.TYPE_WIDENED}
)
"""Changes after which a function may not build any more."""
ROWS = frozenset(
    {
        ChangeKind.REQUIRED_COLUMN_ADDED,
        ChangeKind.RULE_ADDED,
        ChangeKind.RULE_TIGHTENED,
        ChangeKind.RULE_LOOSENED,
        ChangeKind.RULE_REMOVED,
        ChangeKind.RULE_REWRITTEN,
        ChangeKind.UNIQUENESS_DROPPED,
        ChangeKind.VALUE_ADDED,
        ChangeKind.VALUE_REMOVED,
        ChangeKind.SEVERITY_RAISED,
        ChangeKind.SEVERITY_LOWERED,
    }
)
"""Changes after which other rows are kept, so that they reach also those who do not read the column."""
_OF_LEVEL = {
    ChangeLevel.ADDITIVE: Effect.NOTHING,
    ChangeLevel.WIDENING: Effect.WATCH,
    ChangeLevel.BREAKING: Effect.SHIFT,
}
OUTLOOK = {
    Effect.NOTHING: "nothing happens",
    Effect.WATCH: "may be asked about values it never saw: watch its drift",
    Effect.SHIFT: "is asked about values it was not trained on: a retrain is due",
    Effect.BREAK: "answers requests that bring their features; scoring, monitoring and retraining fail until the "
    "function is mended",
}
AT_REST = "nothing happens: it is not live, and the snapshots it was trained on stay as they are"


@dataclass(frozen=True, slots=True)
class ImpactedReader:
    """A feature set or label that a change reaches.

    Attributes:
        features: Those made of the changed column; all where other rows are kept.
        models: The models that use it.
        why: What the function said when it did not build, or empty.
    """

    name: str
    is_label: bool
    features: tuple[str, ...]
    models: tuple[str, ...]
    effect: Effect
    why: str = ""


@dataclass(frozen=True, slots=True)
class ImpactedChange:
    """One change, and who reads what it changes."""

    change: ContractChange
    readers: tuple[ImpactedReader, ...]


@dataclass(frozen=True, slots=True)
class LiveShare:
    """The traffic of a version in an environment, in percent."""

    environment: str
    percent: int


@dataclass(frozen=True, slots=True)
class ImpactedVersion:
    """A model version, where it is live, and what will happen to it."""

    version: VersionName
    live: tuple[LiveShare, ...]
    outlook: str


@dataclass(frozen=True, slots=True)
class ImpactedModel:
    """A model that reads the dataset, and the strongest effect on it."""

    model: str
    effect: Effect
    versions: tuple[ImpactedVersion, ...]


@dataclass(frozen=True, slots=True)
class ImpactReport:
    """Everything that a changed contract reaches; `level` is None where nothing changed."""

    dataset: str
    old_version: str
    new_version: str
    level: ChangeLevel | None
    changes: tuple[ImpactedChange, ...]
    models: tuple[ImpactedModel, ...]


@dataclass(frozen=True, slots=True)
class _ContractReader:
    """A feature set or label with what it reads before and after; `failure` says why it does not build after."""

    name: str
    is_label: bool
    models: tuple[str, ...]
    before: FeatureReads | None
    after: FeatureReads | None
    failure: str


def impact_of(
    old: Contract,
    new: Contract,
    *,
    models: Sequence[Model],
    contracts: Mapping[str, Contract],
    versions: Mapping[str, Sequence[VersionName]],
    live: Mapping[VersionName, Sequence[LiveShare]],
    now: datetime,
) -> ImpactReport:
    """Return what a new contract reaches.

    Args:
        models: Those of the project.
        contracts: The contracts of the other datasets, by name.
        versions: Model to its versions, newest first.
        live: Version to where it gets traffic.
        now: The moment that the functions are told for `as_of`; no value depends on it.
    """
    diff = changes_between(old, new)
    reading = [model for model in models if old.dataset in {each.name for each in model.datasets}]
    readers = _readers(reading, old, new, contracts, now)
    changes = tuple(ImpactedChange(change, _reached_by(change, readers, old.dataset)) for change in diff.changes)
    impacted = tuple(_model(model.name, changes, versions.get(model.name, ()), live) for model in reading)
    return ImpactReport(old.dataset, old.version, new.version, diff.level, changes, impacted)


def _readers(
    models: Sequence[Model], old: Contract, new: Contract, contracts: Mapping[str, Contract], now: datetime
) -> list[_ContractReader]:
    """Return every feature set and label that reads the dataset, once."""
    used: dict[str, tuple[FeatureSet | Label, list[str]]] = {}
    for model in models:
        declared: list[FeatureSet | Label] = [*model.features, model.label]
        for each in declared:
            if old.dataset in _sources(each):
                used.setdefault(each.name, (each, []))[1].append(model.name)
    return [_reader(each, tuple(names), old, new, contracts, now) for each, names in used.values()]


def _sources(each: FeatureSet | Label) -> tuple[str, ...]:
    from keelway.project import FeatureSet

    return tuple(source.name for source in each.sources) if isinstance(each, FeatureSet) else (each.source.name,)


def _reader(
    each: FeatureSet | Label,
    models: tuple[str, ...],
    old: Contract,
    new: Contract,
    contracts: Mapping[str, Contract],
    now: datetime,
) -> _ContractReader:
    from keelway.project import FeatureSet

    before, _ = _built(each, {**contracts, old.dataset: old}, now)
    after, failure = _built(each, {**contracts, new.dataset: new}, now)
    if before is not None and after is not None and before.columns != after.columns:
        names = {column.name: column.kind for column in before.columns}
        other = [column.name for column in after.columns if names.get(column.name) != column.kind]
        failure = f"{', '.join(other) or 'a feature'} is no longer of the same kind"
    return _ContractReader(each.name, not isinstance(each, FeatureSet), models, before, after, failure)


def _built(
    each: FeatureSet | Label, contracts: Mapping[str, Contract], now: datetime
) -> tuple[FeatureReads | None, str]:
    """Return what a function reads of datasets under these contracts, or why it cannot be built on them."""
    from keelway.features import features_read, label_reads
    from keelway.project import FeatureSet

    schemas = {name: {column.name: column.kind for column in contracts[name].columns} for name in _sources(each)}
    try:
        if isinstance(each, FeatureSet):
            return features_read(each, schemas, as_of=now), ""
        return label_reads(each, schemas, as_of=now), ""
    except FeatureError as error:
        return None, error.found or error.what


def _reached_by(change: ContractChange, readers: Sequence[_ContractReader], dataset: str) -> tuple[ImpactedReader, ...]:
    reached = (_reached(reader, change, dataset) for reader in readers)
    return tuple(each for each in reached if each is not None)


def _reached(reader: _ContractReader, change: ContractChange, dataset: str) -> ImpactedReader | None:
    """Return what a change does to a reader, or None where it does not reach it."""
    if reader.before is None:
        return ImpactedReader(reader.name, reader.is_label, (), reader.models, Effect.BREAK, "it does not build now")
    everything = tuple(reader.before.reads)
    made = tuple(
        feature
        for feature in everything
        if not change.column or {(dataset, name) for name in change.column.split(", ")} & reader.before.reads[feature]
    )
    effect = _OF_LEVEL[change.level] if made else Effect.NOTHING
    why = ""
    if made and reader.failure and change.what in SHAPES:
        effect, why = Effect.BREAK, reader.failure
    elif not made and change.what in ROWS:
        made, effect, why = everything, Effect.WATCH, "other rows are kept"
    if effect is Effect.NOTHING:
        return None
    return ImpactedReader(reader.name, reader.is_label, made, reader.models, effect, why)


def _model(
    model: str,
    changes: Sequence[ImpactedChange],
    versions: Sequence[VersionName],
    live: Mapping[VersionName, Sequence[LiveShare]],
) -> ImpactedModel:
    effects = [reader.effect for each in changes for reader in each.readers if model in reader.models]
    effect = max(effects, key=lambda each: each.rank, default=Effect.NOTHING)
    found = []
    for version in versions:
        shares = tuple(live.get(version, ()))
        found.append(ImpactedVersion(version, shares, OUTLOOK[effect] if shares else AT_REST))
    return ImpactedModel(model, effect, tuple(found))
