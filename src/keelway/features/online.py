"""Filling an online store from the definition that a model is trained on, and saying how fresh it is.

done = materialise(churn, snapshots, as_of=now, store=store, ...)
done.computed   # False where that cut was there already
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import ArtifactStore, Digest, digest_of, in_utc, time_text
from keelway.errors import ConflictError, MissingRecordError
from keelway.features.build import build_features, feature_sources, rows_of, silent
from keelway.features.names import ENTITY
from keelway.features.ports import OnlineCut, OnlineRow, OnlineStore, OnlineValue
from keelway.features.records import FeatureTable, Profile
from keelway.ledger.ports import StateStore
from keelway.project import Model

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Materialised:
    """What came of filling the store.

    Attributes:
        computed: Whether the features were computed now; False where a table of the same cut date, definition and
            snapshots was there.
        written: Whether the store was changed.
    """

    cut: OnlineCut
    computed: bool
    written: bool


@dataclass(frozen=True, slots=True)
class MissingShare:
    """How often a feature has no value, or the value 0: online, and in the newest table that was trained on.

    Attributes:
        online: Share of the entities that have no value, in [0, 1].
        trained: Share of the training rows, or None where there are none.
        skew: `online - trained`, or None.
        zeros_online: Share of the entities whose number is 0, which is what many functions give where they found nothing;
            None for a category, and where the table's profile does not tell.
        zeros_trained: Share of the training rows, or None.
        zeros_skew: `zeros_online - zeros_trained`, or None.
    """

    feature: str
    online: float
    trained: float | None
    skew: float | None
    zeros_online: float | None = None
    zeros_trained: float | None = None
    zeros_skew: float | None = None


@dataclass(frozen=True, slots=True)
class OnlineStatus:
    """How fresh a store is.

    Attributes:
        age_s: Seconds from the cut date to now.
        current: Whether the values were computed by the definition as it is now.
        outdated: Datasets that have a newer version than the values were computed from.
    """

    cut: OnlineCut
    age_s: float
    current: bool
    missing: tuple[MissingShare, ...]
    outdated: tuple[str, ...] = ()


def materialise(
    model: Model,
    snapshots: Mapping[str, Snapshot],
    *,
    as_of: datetime,
    store: OnlineStore,
    paths_of: Callable[[Snapshot], list[Path]],
    artifacts: ArtifactStore,
    state: StateStore,
    now: datetime,
    work: Path | None = None,
    progress: Callable[[str], None] = silent,
) -> Materialised:
    """Let a store hold the features of every entity at a cut date; what is there already is not computed again.

    Args:
        work: Where rows lie until they are stored; None for the machine's own place.
        progress: Called with one line whenever long work moves on.

    Raises:
        ConflictError: The store holds a newer cut.
        FeatureError: The features cannot be computed.
    """
    as_of, now = in_utc(as_of), in_utc(now)
    needed = {each.name: digest_of(snapshots[each.name]) for each in feature_sources(model) if each.name in snapshots}
    held = store.cut(model.name)
    if held is not None and held.as_of > as_of:
        raise _older(model, as_of, held)
    if held is not None and (held.as_of, held.definition, held.snapshots) == (as_of, model.data_definition(), needed):
        return Materialised(held, computed=False, written=False)
    table = _built_before(model, as_of, needed, state=state)
    computed = table is None
    table = table or build_features(
        model,
        snapshots,
        as_ofs=(as_of,),
        purpose="scoring",
        with_label=False,
        paths_of=paths_of,
        artifacts=artifacts,
        state=state,
        now=now,
        work=work,
        progress=progress,
    )
    cut, rows = _cut_of(table, artifacts=artifacts, state=state, now=now)
    written = store.write(cut, _values(rows, table))
    standing = store.cut(model.name)
    assert standing is not None
    if standing.as_of > as_of:  # somebody else was faster
        raise _older(model, as_of, standing)
    return Materialised(standing, computed=computed, written=written)


def online_features(model: Model, entities: Sequence[str], *, store: OnlineStore) -> list[OnlineRow]:
    """Return the features of some entities as the store holds them, in the order asked.

    Raises:
        MissingRecordError: The store holds nothing of the model, or an entity has no row.
    """
    found = store.read(model.name, entities)
    if not found and store.cut(model.name) is None:
        raise _empty(model)
    unknown = [entity for entity in entities if entity not in found]
    if unknown:
        raise MissingRecordError(
            f"No features are known of {model.entity} {unknown[0]!r}",
            expected="entities of the newest cut",
            found=f"{len(unknown)} of {len(entities)} are not among them",
        )
    return [found[entity] for entity in entities]


def online_status(
    model: Model,
    *,
    store: OnlineStore,
    state: StateStore,
    now: datetime,
    snapshots: Mapping[str, Snapshot] | None = None,
) -> OnlineStatus:
    """Return how fresh a store is, and how often values are missing or 0 in it against the newest training.

    Args:
        snapshots: The newest versions of datasets, by name.

    Raises:
        MissingRecordError: The store holds nothing of the model.
    """
    cut = store.cut(model.name)
    if cut is None:
        raise _empty(model)
    online, trained = _profiles(cut, state=state)
    shares = tuple(_share(feature.name, cut, online, trained) for feature in cut.features)
    age_s = (in_utc(now) - cut.as_of) / timedelta(seconds=1)
    newest = {name: digest_of(each) for name, each in (snapshots or {}).items()}
    outdated = tuple(sorted(name for name, used in cut.snapshots.items() if newest.get(name, used) != used))
    return OnlineStatus(cut, age_s, cut.definition == model.data_definition(), shares, outdated)


def _share(name: str, cut: OnlineCut, online: Profile | None, trained: Profile | None) -> MissingShare:
    share = cut.missing[name] / max(cut.rows, 1)
    before = (
        None if trained is None or name not in trained.columns else trained.columns[name].nulls / max(trained.rows, 1)
    )
    zeros, zeros_before = _zeros(name, online), _zeros(name, trained)
    return MissingShare(name, share, before, _gap(share, before), zeros, zeros_before, _gap(zeros, zeros_before))


def _zeros(name: str, profile: Profile | None) -> float | None:
    column = profile.columns.get(name) if profile is not None else None
    if profile is None or column is None or column.sketch is None:  # a category, or a profile of an earlier version
        return None
    return column.zeros / max(profile.rows, 1)


def _gap(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before


def _built_before(
    model: Model, as_of: datetime, snapshots: dict[str, Digest], *, state: StateStore
) -> FeatureTable | None:
    definition = model.data_definition()
    with state.snapshot() as tx:
        for table in tx.newest(FeatureTable, parent=model.name):
            same = table.as_ofs == (as_of,) and table.snapshots == snapshots and table.definition == definition
            if same and table.label is None:
                return table
    return None


def _cut_of(
    table: FeatureTable, *, artifacts: ArtifactStore, state: StateStore, now: datetime
) -> tuple[OnlineCut, pa.Table]:
    with state.snapshot() as tx:
        profile = tx.get(Profile, table.profile)
    cut = OnlineCut(
        model=table.model,
        entity=table.entity,
        as_of=table.as_ofs[0],
        definition=table.definition,
        table=digest_of(table),
        data=table.data,
        snapshots=table.snapshots,
        features=table.features,
        missing={feature.name: profile.columns[feature.name].nulls for feature in table.features},
        rows=table.rows,
        written_at=now,
    )
    return cut, rows_of(table, artifacts)


def _values(rows: pa.Table, table: FeatureTable) -> Iterator[tuple[str, list[OnlineValue]]]:
    names = [feature.name for feature in table.features]
    for batch in rows.select([ENTITY, *names]).to_batches(max_chunksize=65_536):
        entities, *columns = (column.to_pylist() for column in batch.columns)
        for entity, *values in zip(entities, *columns, strict=True):
            yield entity, values


def _profiles(cut: OnlineCut, *, state: StateStore) -> tuple[Profile | None, Profile | None]:
    """Return the profiles of the table behind a cut and of the newest table that was trained on."""
    with state.snapshot() as tx:
        online = tx.find(FeatureTable, cut.table)
        trained = next((each for each in tx.newest(FeatureTable, parent=cut.model) if each.label is not None), None)
        found = [None if table is None else tx.by_digest(Profile, table.profile) for table in (online, trained)]
    return found[0], found[1]


def _older(model: Model, as_of: datetime, held: OnlineCut) -> ConflictError:
    return ConflictError(
        f"The online store holds a newer cut of {model.name!r}",
        expected=f"a cut date of {time_text(held.as_of)} or later",
        found=time_text(as_of),
        fix="Leave --as-of out, or name a later moment.",
    )


def _empty(model: Model) -> MissingRecordError:
    return MissingRecordError(
        f"The online store holds nothing of {model.name!r}",
        expected="a cut",
        fix=f"Run `keelway features materialise {model.name}` first.",
    )
