"""The rows of single cut dates: kept where a key says what they depend on, found again, and put together to a table.

A cut date is kept in a transaction of its own group, after its bytes are stored. So a build that is killed leaves whole cut
dates behind or nothing, and the next one takes up what is there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import ArtifactKind, ArtifactStore, Digest, digest_of, time_text
from keelway.errors import FeatureError, MissingRecordError
from keelway.features.names import AS_OF, ENTITY
from keelway.features.profile import profile_of
from keelway.features.records import CutRows, FeatureColumn, Profile, columns_apart
from keelway.ledger.ports import StateStore

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class CutPart:
    """What a table holds of one cut date.

    Attributes:
        rows: As they are stored, by entity.
        profile: Of the features.
        data: The rows as the bytes of a Parquet file; empty where nothing stores them by themselves.
    """

    rows: pa.Table
    features: tuple[FeatureColumn, ...]
    profile: Profile
    data: bytes = b""


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
            data = artifacts.get(record.data)
        except MissingRecordError:
            continue
        parts[cut] = CutPart(read_rows(data), record.features, profiles[cut], data if len(keys) == 1 else b"")
    return parts


def parts_of_rows(
    rows: pa.Table, columns: Sequence[FeatureColumn], cuts: Sequence[datetime], *, stored: Collection[datetime]
) -> dict[datetime, CutPart]:
    """Return rows cut date by cut date; the profile of one is made while its bytes are written.

    Args:
        stored: Cut dates whose rows are going to be stored by themselves.
    """
    parts = {}
    with ThreadPoolExecutor(1) as beside:
        for cut in cuts:
            own = rows.combine_chunks() if len(cuts) == 1 else _rows_of_cut(rows, cut)
            profile = beside.submit(profile_of, own, columns)
            data = written(own) if cut in stored else b""
            parts[cut] = CutPart(own, tuple(columns), profile.result(), data)
    return parts


def _rows_of_cut(rows: pa.Table, cut: datetime) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    return rows.filter(pc.equal(rows[AS_OF], pa.scalar(cut, rows[AS_OF].type))).combine_chunks()


def keep_parts(
    parts: Mapping[datetime, CutPart],
    keys: Mapping[datetime, Digest],
    *,
    model: str,
    artifacts: ArtifactStore,
    state: StateStore,
    now: datetime,
) -> None:
    """Keep the bytes of cut dates that have a key; one that another process kept meanwhile stays as it is."""
    records = {}
    for cut, part in parts.items():
        if cut in keys:
            stored = artifacts.put(part.data, kind=ArtifactKind.FEATURE_TABLE, name=f"{model}-{cut.date()}.parquet")
            digest = digest_of(part.profile)
            records[cut] = CutRows(model, keys[cut], cut, stored.digest, digest, part.features, part.rows.num_rows)
    if not records:
        return
    with state.transaction() as tx:
        absent = tx.missing(CutRows, [record.key for record in records.values()])
        for cut, record in records.items():
            if record.key in absent:
                tx.insert(record.profile, parts[cut].profile, parent=model, at=now)
                tx.insert(record.key, record, parent=model, at=now)


def joined(parts: Mapping[datetime, CutPart], *, model: str) -> tuple[pa.Table, tuple[FeatureColumn, ...]]:
    """Return all rows in the order of the cut dates, and their features.

    Raises:
        FeatureError: Two cut dates have other features, or there is no row.
    """
    import pyarrow as pa

    cuts = sorted(parts)
    features = parts[cuts[0]].features
    for cut in cuts:
        if parts[cut].features != features:
            raise FeatureError(
                f"The features of {model!r} are others at {time_text(cut)} than at {time_text(cuts[0])}",
                **columns_apart(features, parts[cut].features),
                fix="Let the functions return the same columns for every cut; cast one whose type changes.",
            )
    schema = _plain_schema(parts[cuts[0]].rows.schema)
    rows = pa.concat_tables([parts[cut].rows.cast(schema) for cut in cuts]).combine_chunks()
    if not rows.num_rows:
        raise FeatureError(
            f"The features of {model!r} have no rows",
            expected="an entity that was known by then",
            found=f"none at {time_text(cuts[-1])} or earlier",
            fix="Choose later cut dates; or, where an old export was put there today, give its files the times at which "
            "they were written: rows count as known from then on.",
        )
    return rows, features


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


def written(rows: pa.Table) -> bytes:
    """Return rows as the bytes of a Parquet file; the same rows give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(
        rows.cast(_plain_schema(rows.schema)),
        sink,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=3,
        row_group_size=1 << 20,
        use_dictionary=[field.name for field in rows.schema if pa.types.is_string(field.type) and field.name != ENTITY],
        store_schema=False,
    )
    return bytes(sink.getvalue())


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return names and types without what a file or an engine added to them."""
    import pyarrow as pa

    return pa.schema(
        [
            (field.name, pa.list_(field.type.value_type) if pa.types.is_list(field.type) else field.type)
            for field in schema
        ]
    )
