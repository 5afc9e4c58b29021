"""Building a feature table: one row an entity and cut date, as it could have been known then.

    table = build_features(churn, {"orders": snapshot}, as_ofs=cuts, purpose="training", with_label=True, ...)
    rows_of(table, artifacts).column_names   # entity, as_of, ..., label, label_known_at

The same snapshots, definition and cut dates give the same bytes, so the table's digest is a fact about them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import ArtifactKind, ArtifactStore, Digest, digest_of, in_utc, time_text
from keelway.errors import FeatureError, MissingRecordError
from keelway.features.compute import MEMORY_LIMIT, Tables, opened
from keelway.features.incremental import CutPart, joined, keep_parts, kept_parts, read_rows, written_parts
from keelway.features.model_rows import model_rows
from keelway.features.names import AS_OF, ENTITY
from keelway.features.profile import profile_of_file
from keelway.features.records import FeatureColumn, FeatureTable, Profile, Purpose
from keelway.features.reuse import cut_keys
from keelway.features.table_file import scratch_files
from keelway.ledger.ports import StateStore
from keelway.privacy import working_folder
from keelway.project import Dataset, Model
from keelway.snapshot import SnapshotRows, must_be_kept

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.snapshot import Snapshot

Value = float | str | list[float] | None
"""One feature of one row, as an exported model takes it."""
CUTS_AT_ONCE = 12
"""Cut dates that are computed in one statement; each such group is kept before the next one begins."""


def silent(line: str) -> None:
    """Take a line of progress and tell nobody."""


def build_features(
    model: Model,
    snapshots: Mapping[str, Snapshot],
    *,
    as_ofs: Sequence[datetime],
    purpose: Purpose,
    with_label: bool,
    paths_of: Callable[[Snapshot], list[Path]],
    artifacts: ArtifactStore,
    state: StateStore,
    now: datetime,
    reuse: bool = True,
    work: Path | None = None,
    progress: Callable[[str], None] = silent,
) -> FeatureTable:
    """Compute the features of a model at some cut dates, store them, and return their record.

    With a label, only cut dates are kept whose horizon has ended by `now` and lies within what the label's
    snapshot covers. An entity without an outcome gets the label's `absent` value; where that is None, the
    entity is left out. The columns that a label without a horizon is made of are hidden from feature functions.

    Cut dates that were computed before and cannot have changed are not computed again (`keelway.features.reuse` says when that is
    so); the bytes are those of a table that is computed as a whole. Others are kept as they come, some at a time.

    Rows are computed, looked at and written in parts, so memory does not grow with them. What was not finished lies in a folder
    of this build alone and is stored nowhere.

    Args:
        snapshots: Dataset name to the snapshot to read.
        as_ofs: The cut dates, in any order.
        paths_of: Returns the checked Parquet files of a snapshot.
        now: What is later than this has not happened yet.
        reuse: Whether cut dates that were computed before may stand in; False computes all of them, as a check does.
        work: Where rows lie until they are stored, and what the engine puts aside; None for the machine's own place.
        progress: Called with one line whenever long work moves on.

    Raises:
        FeatureError: A function broke its promise, a snapshot is missing, or no row is left.
        MissingRecordError: A snapshot was expired meanwhile; nothing is stored.
        StorageError: There is no room for the rows.
    """
    now = in_utc(now)
    cuts = _checked_cuts(model, as_ofs, now=now)
    datasets = model.datasets if with_label else feature_sources(model)
    used = _snapshots_of(datasets, snapshots)
    if with_label:
        cuts = _matured(model, cuts, until=min(now, used[model.label.source.name].watermark))
    rows = rows_in(used, paths_of)
    keys = cut_keys(model, cuts, rows, with_label=with_label, now=now) if reuse else {}
    parts = kept_parts(keys, artifacts=artifacts, state=state)
    waiting = [cut for cut in cuts if cut not in parts]
    progress(f"{model.name}: {_told(cuts, waiting)}")
    named = {name: digest_of(snapshot) for name, snapshot in used.items()}
    with working_folder(work, name="features") as folder:
        if waiting:
            with opened(datasets, rows, spill=folder / "spill") as tables:
                for group in _groups(waiting):
                    found = _computed(
                        model, tables, group, with_label=with_label, now=now, folder=folder, progress=progress
                    )
                    parts |= keep_parts(found, keys, model=model.name, artifacts=artifacts, state=state, now=now)
                    if len(waiting) > CUTS_AT_ONCE:
                        done = sum(cut in parts for cut in waiting)
                        progress(f"{model.name}: {done} of {_many(waiting)} computed")
        described = _described(
            parts,
            model=model,
            purpose=purpose,
            with_label=with_label,
            snapshots=named,
            artifacts=artifacts,
            folder=folder,
        )
    return _recorded(*described, state=state, now=now)


def _computed(
    model: Model,
    tables: Tables,
    cuts: tuple[datetime, ...],
    *,
    with_label: bool,
    now: datetime,
    folder: Path,
    progress: Callable[[str], None],
) -> dict[datetime, CutPart]:
    """Write the rows of some cut dates, in bounded memory where the engine can."""
    assert tables.engine is not None
    try:
        rows = model_rows(model, tables, as_ofs=cuts, with_label=with_label, now=now)
        with scratch_files(folder):
            return written_parts(rows, cuts, folder=folder)
    except FeatureError as error:
        if not tables.engine.takes_more_memory(error.__cause__):
            raise
    progress(
        f"{model.name}: the features need more than {MEMORY_LIMIT} of memory at once; computed again with all there is"
    )
    return _computed(model, tables, cuts, with_label=with_label, now=now, folder=folder, progress=progress)


def _groups(cuts: Sequence[datetime]) -> Iterator[tuple[datetime, ...]]:
    for begin in range(0, len(cuts), CUTS_AT_ONCE):
        yield tuple(cuts[begin : begin + CUTS_AT_ONCE])


def _recorded(table: FeatureTable, profiles: Sequence[Profile], *, state: StateStore, now: datetime) -> FeatureTable:
    with state.transaction() as tx:
        must_be_kept(table.snapshots.values(), tx)
        for each in profiles:
            tx.insert(digest_of(each), each, parent=table.model, at=now)
        tx.insert(digest_of(table), table, parent=table.model, at=now)
    return table


def _told(cuts: Sequence[datetime], waiting: Sequence[datetime]) -> str:
    """Return in words which cut dates were there."""
    if len(waiting) == len(cuts):
        return f"{_many(cuts)} to compute, {_from_to(cuts)}"
    kept = [cut for cut in cuts if cut not in waiting]
    return f"{len(kept)} of {_many(cuts)} known already, {_from_to(kept)}; {len(waiting)} to compute"


def _many(cuts: Sequence[datetime]) -> str:
    return "1 cut date" if len(cuts) == 1 else f"{len(cuts)} cut dates"


def _from_to(cuts: Sequence[datetime]) -> str:
    return time_text(cuts[0]) if len(cuts) == 1 else f"{time_text(cuts[0])} to {time_text(cuts[-1])}"


def rows_in(snapshots: Mapping[str, Snapshot], paths_of: Callable[[Snapshot], list[Path]]) -> dict[str, SnapshotRows]:
    """Return the rows of some snapshots, each with the columns that its version has."""
    return {name: SnapshotRows(tuple(paths_of(each)), each.columns) for name, each in snapshots.items()}


def rows_of(
    table: FeatureTable, artifacts: ArtifactStore, *, coded: Sequence[str] = (), without: Sequence[str] = ()
) -> pa.Table:
    """Return the rows of a feature table from their checked bytes.

    Args:
        table: The record of the table.
        artifacts: Where its bytes are.
        coded: Columns of texts that come as codes of their distinct texts (a dictionary of Arrow), as training reads them.
        without: Columns that are left out.
    """
    return read_rows(artifacts.get(table.data), coded=coded, without=without)


def columns_for_scoring(rows: pa.Table, features: Sequence[FeatureColumn]) -> dict[str, list[Value]]:
    """Return the features as plain lists, as an exported model takes them.

    Raises:
        FeatureError: A feature is not among the columns.
    """
    for feature in features:
        if feature.name not in rows.column_names:
            raise FeatureError(
                f"The table has no feature {feature.name!r}", expected=feature.name, found=", ".join(rows.column_names)
            )
    return {feature.name: rows[feature.name].to_pylist() for feature in features}


def online_row(entity: str, *, table: FeatureTable, artifacts: ArtifactStore) -> dict[str, Value]:
    """Return the features of one entity at the newest cut date of a table.

    Raises:
        MissingRecordError: The entity has no row there.
    """
    import pyarrow.compute as pc

    rows = rows_of(table, artifacts)
    own = rows.filter(pc.and_(pc.equal(rows[ENTITY], entity), pc.equal(rows[AS_OF], pc.max(rows[AS_OF]))))
    if not own.num_rows:
        raise MissingRecordError(f"No features are known of {table.entity} {entity!r}", expected="a row of that entity")
    return {name: values[0] for name, values in columns_for_scoring(own, table.features).items()}


def feature_sources(model: Model) -> tuple[Dataset, ...]:
    """Return the datasets that the features of a model read, by name."""
    found = {source.name: source for each in model.features for source in each.sources}
    return tuple(found[name] for name in sorted(found))


def _checked_cuts(model: Model, as_ofs: Sequence[datetime], *, now: datetime) -> tuple[datetime, ...]:
    cuts = tuple(sorted({in_utc(as_of) for as_of in as_ofs}))
    if not cuts:
        first = f"{time_text(model.cuts.first)} as the first" if model.cuts else "none"
        horizon = model.label.horizon
        raise FeatureError(
            f"No cut date of {model.name!r} has come",
            expected=f"a cut date {f'whose label matured, {horizon} before' if horizon else 'at'} {time_text(now)} or earlier",
            found=first,
            fix="Wait for later data, or let `cuts` begin earlier.",
        )
    if cuts[-1] > now:
        raise FeatureError(
            f"A cut date of {model.name!r} has not come",
            expected=f"cut dates at {time_text(now)} or earlier",
            found=time_text(cuts[-1]),
            fix="Leave it out: what comes after the newest data is not known.",
        )
    return cuts


def _matured(model: Model, cuts: tuple[datetime, ...], *, until: datetime) -> tuple[datetime, ...]:
    horizon = model.label.horizon
    if horizon is None:
        return cuts
    kept = tuple(cut for cut in cuts if cut + horizon <= until)
    if not kept:
        raise FeatureError(
            f"No cut date of {model.name!r} has a label that matured",
            expected=f"a cut date {horizon} before {until.isoformat()} or earlier",
            found=f"{cuts[0].isoformat()} as the earliest",
            fix="Wait for later data, take an earlier cut date, or shorten the horizon.",
        )
    return kept


def _snapshots_of(datasets: Sequence[Dataset], snapshots: Mapping[str, Snapshot]) -> dict[str, Snapshot]:
    for dataset in datasets:
        if dataset.name not in snapshots:
            raise FeatureError(
                f"There is no snapshot of {dataset.name!r}",
                expected=f"a snapshot of {dataset.name}",
                found=", ".join(sorted(snapshots)) or "none",
                fix="Run `keelway ingest` first.",
            )
    return {dataset.name: snapshots[dataset.name] for dataset in datasets}


def _described(
    parts: Mapping[datetime, CutPart],
    *,
    model: Model,
    purpose: Purpose,
    with_label: bool,
    snapshots: dict[str, Digest],
    artifacts: ArtifactStore,
    folder: Path,
) -> tuple[FeatureTable, list[Profile]]:
    """Store the bytes of all cut dates as one table, and return its record and the profiles that it names."""
    profiles = {cut: part.profile for cut, part in sorted(parts.items())}
    with scratch_files(folder):
        file, columns, count = joined(parts, model=model.name, folder=folder)
        whole = profile_of_file(file, columns, folder=folder) if len(profiles) > 1 else next(iter(profiles.values()))
    horizon = model.label.horizon
    data = next(iter(parts.values())).data if len(parts) == 1 else None
    if data is None:
        name = f"{model.name}-{purpose}.parquet"
        data = artifacts.put_file(file, kind=ArtifactKind.FEATURE_TABLE, name=name).digest
    table = FeatureTable(
        model=model.name,
        purpose=purpose,
        data=data,
        profile=digest_of(whole),
        entity=model.entity,
        as_ofs=tuple(profiles),
        features=columns,
        label=model.label.name if with_label else None,
        horizon_s=int(horizon / timedelta(seconds=1)) if with_label and horizon is not None else 0,
        rows=count,
        snapshots=snapshots,
        definition=model.data_definition(),
        cut_profiles=tuple(digest_of(each) for each in profiles.values()),
    )
    return table, [*profiles.values(), whole]
