"""The parity test: features are the same offline, online, and computed for one entity alone from only its own rows.

    report = parity(churn, store, snapshots=snapshots, ...)
    report.mismatches   # empty where all three agree, value by value

Offline and online values must be equal to the last bit. A sum over one entity's rows may be added up in another order than
a sum over all, so what is computed alone may be off by `TOLERANCE`; how many values were equal to the bit is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import ArtifactStore, Digest
from keelway.errors import ConflictError, FeatureError, MissingRecordError
from keelway.features.build import feature_sources, rows_in, rows_of, silent
from keelway.features.compute import opened
from keelway.features.names import ENTITY
from keelway.features.one_entity import OneEntity
from keelway.features.ports import OnlineCut, OnlineStore, OnlineValue
from keelway.features.records import FeatureColumn, FeatureTable
from keelway.features.same import TOLERANCE, same_value
from keelway.ledger.ports import StateStore
from keelway.project import Model

if TYPE_CHECKING:
    from keelway.snapshot import Snapshot

ENTITIES = 10_000
MOST_SHOWN = 20
BETWEEN_LINES = 500
ABSENT = "no row"


@dataclass(frozen=True, slots=True)
class ParityMismatch:
    """One value that is not the same everywhere."""

    entity: str
    feature: str
    offline: OnlineValue
    online: OnlineValue
    alone: OnlineValue


@dataclass(frozen=True, slots=True)
class ParityReport:
    """What the parity test found.

    Attributes:
        entities: How many entities were compared.
        values: How many values.
        bit_equal: How many of those were equal to the last bit in all three.
        differing: Feature to the number of entities whose values differ.
        mismatches: The first of them.
    """

    model: str
    as_of: datetime
    entities: int
    values: int
    bit_equal: int
    differing: dict[str, int]
    mismatches: tuple[ParityMismatch, ...]


def parity(
    model: Model,
    store: OnlineStore,
    *,
    snapshots: Callable[[Mapping[str, Digest]], Mapping[str, Snapshot]],
    paths_of: Callable[[Snapshot], list[Path]],
    artifacts: ArtifactStore,
    state: StateStore,
    entities: int = ENTITIES,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    progress: Callable[[str], None] = silent,
) -> ParityReport:
    """Compare the cut that an online store holds with its feature table, and with each entity computed alone.

    A feature that looks at other entities (a rank among them) cannot be computed alone, and is reported as differing.

    Args:
        snapshots: Returns the snapshots of these digests, by dataset.
        entities: How many to compare; all where there are fewer.
        seed: Decides which.
        progress: Called with one line whenever long work moves on.

    Raises:
        MissingRecordError: The store holds nothing of the model, or a snapshot is gone.
        ConflictError: The model is declared otherwise than when the store was filled.
    """
    if entities < 1:
        raise FeatureError("Nothing would be compared", expected="one entity or more", found=str(entities))
    cut = _held(model, store)
    with state.snapshot() as tx:
        table = tx.by_digest(FeatureTable, cut.table)
    chosen, offline = _sampled(table, artifacts, count=entities, seed=seed)
    online = {entity: row.values for entity, row in store.read(model.name, chosen).items()}
    report = ParityReport(model.name, cut.as_of, len(chosen), len(chosen) * len(cut.features), 0, {}, ())
    with opened(feature_sources(model), rows_in(snapshots(table.snapshots), paths_of), in_order=True) as tables:
        alone = OneEntity(model, tables, as_of=cut.as_of, features=cut.features)
        for number, (entity, own) in enumerate(alone.values(chosen)):
            if number % BETWEEN_LINES == 0:
                progress(f"{model.name}: {number} of {len(chosen)} entities compared")
            three = (offline[entity], online.get(entity), own)
            report = _told(report, entity, three, cut.features, tolerance=tolerance)
    return report


def _held(model: Model, store: OnlineStore) -> OnlineCut:
    cut, fix = store.cut(model.name), f"Run `keelway features materialise {model.name}` first."
    if cut is None:
        raise MissingRecordError(f"The online store holds nothing of {model.name!r}", expected="a cut", fix=fix)
    if cut.definition != model.data_definition():
        raise ConflictError(
            f"Model {model.name!r} was declared otherwise when the online store was filled",
            expected=model.data_definition(),
            found=cut.definition,
            fix=fix,
        )
    return cut


def _sampled(
    table: FeatureTable, artifacts: ArtifactStore, *, count: int, seed: int
) -> tuple[list[str], dict[str, dict[str, OnlineValue]]]:
    import numpy as np

    rows = rows_of(table, artifacts)
    chosen = np.sort(np.random.default_rng(seed).permutation(rows.num_rows)[:count])
    names = [feature.name for feature in table.features]
    rows = rows.take(chosen).select([ENTITY, *names])
    entities, *columns = (rows[name].to_pylist() for name in rows.column_names)
    return entities, {
        entity: dict(zip(names, values, strict=True)) for entity, *values in zip(entities, *columns, strict=True)
    }


def _told(
    report: ParityReport,
    entity: str,
    three: tuple[dict[str, OnlineValue], dict[str, OnlineValue] | None, dict[str, OnlineValue] | None],
    features: Sequence[FeatureColumn],
    *,
    tolerance: float,
) -> ParityReport:
    """Return the report with one entity more."""
    wrong, equal = [], 0
    for name, (offline, online, alone) in _values(three, features):
        equal += offline == online == alone
        if offline != online or not same_value(offline, alone, tolerance=tolerance):
            wrong.append(ParityMismatch(entity, name, offline, online, alone))
    differing = dict(report.differing)
    for each in wrong:
        differing[each.feature] = differing.get(each.feature, 0) + 1
    room = MOST_SHOWN - len(report.mismatches)
    return replace(
        report,
        bit_equal=report.bit_equal + equal,
        differing=differing,
        mismatches=(*report.mismatches, *wrong[: max(room, 0)]),
    )


def _values(
    three: Sequence[dict[str, OnlineValue] | None], features: Sequence[FeatureColumn]
) -> Iterator[tuple[str, list[OnlineValue]]]:
    for feature in features:
        yield feature.name, [ABSENT if row is None else row[feature.name] for row in three]
