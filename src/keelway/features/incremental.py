"""The rows of single cut dates: kept where a key says what they depend on, found again, and put together to a table.

A cut date is kept in a transaction of its own group, after its bytes are stored. So a build that is killed leaves whole cut
dates behind or nothing, and the next one takes up what is there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import ArtifactKind, ArtifactStore, Digest, digest_of, time_text
from keelway.errors import FeatureError, MissingRecordError
from keelway.features.model_rows import ModelRows
from keelway.features.names import AS_OF
from keelway.features.profile import profile_of_file
from keelway.features.records import CutRows, FeatureColumn, Profile, columns_apart
from keelway.features.table_file import parts_of, schema_of, table_file
from keelway.ledger.ports import StateStore

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class CutPart:
    """What a table holds of one cut date.

    Attributes:
        file: The rows as they are stored, by entity.
        profile: Of the features.
        rows: How many there are.
        data: Digest of the file where it was stored by itself just now.
    """

    file: Path
    features: tuple[FeatureColumn, ...]
    profile: Profile
    rows: int
    data: Digest | None = None


def kept_parts(
    keys: Mapping[datetime, Digest], *, artifacts: ArtifactStore, state: StateStore
) -> dict[datetime, CutPart]:
    """Return the cut dates that were computed before; one whose bytes are gone is not among them.

    Raises:
        IntegrityError: Kept bytes were altered.
    """
    with state.snapshot() as tx:
        absent = tx.missing(CutRows, keys.values())
        records = {cut: tx.get(CutRows, key) for cut, key in keys.items() if key not in absent}
        profiles = {cut: tx.by_digest(Profile, record.profile) for cut, record in records.items()}
    parts = {}
    for cut, record in records.items():
        try:
            file = artifacts.path_of(record.data)
        except MissingRecordError:
            continue
        parts[cut] = CutPart(file, record.features, profiles[cut], record.rows)
    return parts


def written_parts(rows: ModelRows, cuts: Sequence[datetime], *, folder: Path) -> dict[datetime, CutPart]:
    """Write rows into a file for each cut date.

    Args:
        folder: Where the files are put.
    """
    counts = {}
    with closing(rows.parts):
        (first,) = itertools.islice(rows.parts, 1)
        pieces = itertools.groupby(_by_cut(rows.parts, cuts), key=lambda piece: piece[0])
        cut, own = next(pieces, (None, ()))
        for each in cuts:
            with table_file(_place(folder, each), first.schema) as file:
                if each == cut:
                    for _, part in own:
                        file.add(part)
                    cut, own = next(pieces, (None, ()))
            counts[each] = file.rows
    return {
        cut: CutPart(file, rows.features, profile_of_file(file, rows.features, folder=folder), count)
        for cut, count in counts.items()
        for file in [_place(folder, cut)]
    }


def _place(folder: Path, cut: datetime) -> Path:
    return folder / f"{cut:%Y%m%dT%H%M%S.%f}.parquet"


def _by_cut(parts: Iterable[pa.Table], cuts: Sequence[datetime]) -> Iterator[tuple[datetime, pa.Table]]:
    """Yield rows that come in the order of cut dates with theirs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for part in parts:
        if len(cuts) == 1:
            yield cuts[0], part
            continue
        there = {moment.as_py() for moment in pc.unique(part[AS_OF])}
        for cut in cuts:
            if cut in there:
                yield cut, part.filter(pc.equal(part[AS_OF], pa.scalar(cut, part[AS_OF].type)))


def keep_parts(
    parts: Mapping[datetime, CutPart],
    keys: Mapping[datetime, Digest],
    *,
    model: str,
    artifacts: ArtifactStore,
    state: StateStore,
    now: datetime,
) -> dict[datetime, CutPart]:
    """Keep the rows of cut dates that have a key, and return all; what another process kept meanwhile stays as it is."""
    stored = dict(parts)
    for cut in keys.keys() & parts.keys():
        name = f"{model}-{cut.date()}.parquet"
        data = artifacts.put_file(parts[cut].file, kind=ArtifactKind.FEATURE_TABLE, name=name).digest
        stored[cut] = replace(parts[cut], data=data)
    records = {
        cut: CutRows(model, keys[cut], cut, part.data, digest_of(part.profile), part.features, part.rows)
        for cut, part in stored.items()
        if part.data is not None
    }
    if not records:
        return stored
    with state.transaction() as tx:
        absent = tx.missing(CutRows, [record.key for record in records.values()])
        for cut, record in records.items():
            if record.key in absent:
                tx.insert(record.profile, parts[cut].profile, parent=model, at=now)
                tx.insert(record.key, record, parent=model, at=now)
    return stored


def joined(
    parts: Mapping[datetime, CutPart], *, model: str, folder: Path
) -> tuple[Path, tuple[FeatureColumn, ...], int]:
    """Return a file of all rows in the order of the cut dates, their features, and how many rows there are.

    Args:
        folder: Where the file is put, unless there is one cut date only.

    Raises:
        FeatureError: Two cut dates have other features, or there is no row.
    """
    cuts = sorted(parts)
    features = parts[cuts[0]].features
    for cut in cuts:
        if parts[cut].features != features:
            raise FeatureError(
                f"The features of {model!r} are others at {time_text(cut)} than at {time_text(cuts[0])}",
                **columns_apart(features, parts[cut].features),
                fix="Let the functions return the same columns for every cut; cast one whose type changes.",
            )
    count = sum(part.rows for part in parts.values())
    if not count:
        raise FeatureError(
            f"The features of {model!r} have no rows",
            expected="an entity that was known by then",
            found=f"none at {time_text(cuts[-1])} or earlier",
            fix="Choose later cut dates; or, where an old export was put there today, give its files the times at which "
            "they were written: rows count as known from then on.",
        )
    if len(cuts) == 1:
        return parts[cuts[0]].file, features, count
    path = folder / "all.parquet"
    with table_file(path, schema_of(parts[cuts[0]].file)) as file:
        for cut in cuts:
            for rows in parts_of(parts[cut].file):
                file.add(rows)
    return path, features, count


def read_rows(data: bytes, *, coded: Sequence[str] = (), without: Sequence[str] = ()) -> pa.Table:
    """Return the rows in the bytes of a Parquet file.

    Args:
        data: The file.
        coded: Columns of texts to read as codes of their distinct texts, which is how the file holds them.
        without: Columns to leave out.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=list(coded))
    return file.read([name for name in file.schema_arrow.names if name not in without], use_threads=False)
