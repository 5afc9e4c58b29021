"""Reads sealed predictions: one by its id, all of them as records, or the columns and the time that are wanted.

Segments that lie outside the time are not read:

    table = prediction_table("churn", "prod", since=began, columns=["entity", "value"], tx=tx, artifacts=artifacts)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import ArtifactStore, Prediction, parse_json, revive
from keelway.errors import ErasedError, IntegrityError, MissingRecordError
from keelway.ledger import Transaction
from keelway.serve.segment import FORM
from keelway.serve.segment_file import SegmentFile
from keelway.serve.segment_lines import LINES_FORM, SegmentLines
from keelway.serve.segment_records import PredictionSegment, live_segments, segment_key, segments_by_id

if TYPE_CHECKING:
    import pyarrow as pa

READERS: dict[str, type[SegmentFile | SegmentLines]] = {FORM: SegmentFile, LINES_FORM: SegmentLines}
"""What reads a segment, by its form."""
_EVENT = "event_time"


def find_prediction(
    prediction_id: str, *, tx: Transaction, artifacts: ArtifactStore
) -> tuple[Prediction, bytes, PredictionSegment, int]:
    """Return a sealed prediction with its line, the segment that it was sealed in and the number of the line there.

    Raises:
        MissingRecordError: No segment holds it.
    """
    file, segment, place = _located(prediction_id, tx=tx, artifacts=artifacts)
    [line] = file.lines_at(place, 1)
    return revive(parse_json(line), Prediction), line, *_origin(segment, file, place, tx)


def find_with_lines(
    prediction_id: str, *, tx: Transaction, artifacts: ArtifactStore
) -> tuple[Prediction, int, PredictionSegment, list[bytes]]:
    """Return a sealed prediction, the number of its line, the segment that it was sealed in, and all lines of that segment.

    Raises:
        MissingRecordError: No segment holds it.
    """
    file, segment, place = _located(prediction_id, tx=tx, artifacts=artifacts)
    origin, number = _origin(segment, file, place, tx)
    lines = file.lines_at(place - number, origin.count)
    return revive(parse_json(lines[number]), Prediction), number, origin, lines


def _located(
    prediction_id: str, *, tx: Transaction, artifacts: ArtifactStore
) -> tuple[SegmentFile | SegmentLines, PredictionSegment, int]:
    """Return the file that holds a prediction, its segment, and the number of the line in that file."""
    for segment in segments_by_id(prediction_id, tx):
        file = _kept_file(segment, artifacts)
        place = file.place_of(prediction_id) if file is not None else None
        if file is not None and place is not None:
            return file, segment, place
    raise MissingRecordError(
        "No such prediction",
        expected="the id of a sealed prediction",
        found=prediction_id,
        fix="Predictions are sealed within a second; those of a process that died, when serving starts again.",
    )


def predictions(tx: Transaction, *, artifacts: ArtifactStore, model: str, environment: str) -> Iterator[Prediction]:
    """Yield the sealed predictions of a model in an environment, oldest segment first; expired ones are passed over."""
    import msgspec

    decoder = msgspec.json.Decoder(Prediction)
    for segment in live_segments(model, environment, tx):
        file = _kept_file(segment, artifacts)
        for line in file.lines() if file is not None else ():
            yield decoder.decode(line)


def prediction_table(
    model: str,
    environment: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    columns: Sequence[str],
    tx: Transaction,
    artifacts: ArtifactStore,
) -> pa.Table:
    """Return columns of the sealed predictions of a model, oldest segment first; expired ones are passed over.

    Only these columns are unpacked, and segments that lie outside the time are not read at all.

    Args:
        since: Answers given at this moment or later; None for all.
        until: Answers given before this moment; None for all.
        columns: Fields of `Prediction`, and `features.NAME`. What no prediction has is null everywhere; a value that has
            another kind than its column, because the model changed, is null.
    """
    import pyarrow as pa

    found = []
    for segment in live_segments(model, environment, tx):
        if _outside(segment, since, until):
            continue
        file = _kept_file(segment, artifacts)
        if file is not None:
            part = file.columns([*columns, *({_EVENT} - set(columns))])
            found.append(_within(part, since, until))
    if not found:
        return pa.table({name: pa.nulls(0) for name in columns})
    whole = pa.concat_tables(_alike(found), promote_options="permissive")
    for name in columns:
        if name not in whole.column_names:
            whole = whole.append_column(name, pa.nulls(whole.num_rows))
    return whole.select(list(columns))


def lines_of(segment: PredictionSegment, *, tx: Transaction, artifacts: ArtifactStore) -> list[bytes]:
    """Return the canonical lines of a segment, without their line feeds, wherever they are kept now.

    Raises:
        ErasedError: Its retention time was over.
        MissingRecordError: They are kept nowhere.
    """
    for each in live_segments(segment.model, segment.environment, tx, since=segment.sealed_at):
        if each.journal == segment.journal:
            return opened(each, artifacts).lines()
        if each.first_id <= segment.first_id and segment.last_id <= each.last_id and each.form == FORM:
            file = opened(each, artifacts)
            lines = file.lines_from(segment.journal) if isinstance(file, SegmentFile) else []
            if lines:
                return lines
    raise MissingRecordError("The lines of a segment are not kept", expected=segment.journal, found="no file with them")


def columns_in(segment: PredictionSegment, columns: Sequence[str], *, artifacts: ArtifactStore) -> pa.Table:
    """Return columns of one segment.

    Raises:
        ErasedError: Its retention time was over.
    """
    return opened(segment, artifacts).columns(columns)


def _origin(
    segment: PredictionSegment, file: SegmentFile | SegmentLines, number: int, tx: Transaction
) -> tuple[PredictionSegment, int]:
    """Return the segment that a line was sealed in, and its number there."""
    origin = file.origin(number) if isinstance(file, SegmentFile) else None
    if origin is None:
        return segment, number
    return tx.get(PredictionSegment, segment_key(segment.model, segment.environment, origin[0])), origin[1]


def opened(segment: PredictionSegment, artifacts: ArtifactStore) -> SegmentFile | SegmentLines:
    """Return what reads a segment; raises as `columns_in` does."""
    reader = READERS.get(segment.form)
    if reader is None:
        raise IntegrityError(
            f"A segment of {segment.model} is kept in a form that is not read any more",
            expected=" or ".join(READERS),
            found=segment.form or "lines of JSON",
            fix="Read it with the version of Keelway that sealed it.",
        )
    return reader(artifacts.get(segment.data))


def _kept_file(segment: PredictionSegment, artifacts: ArtifactStore) -> SegmentFile | SegmentLines | None:
    """Return the file of a segment, or None where its retention time was over."""
    try:
        return opened(segment, artifacts)
    except ErasedError:
        return None


def _outside(segment: PredictionSegment, since: datetime | None, until: datetime | None) -> bool:
    early = since is not None and segment.last_event is not None and segment.last_event < since
    late = until is not None and segment.first_event is not None and segment.first_event >= until
    return early or late


def _within(part: pa.Table, since: datetime | None, until: datetime | None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    for moment, fits in ((since, pc.greater_equal), (until, pc.less)):
        if moment is not None:
            part = part.filter(fits(part[_EVENT], pa.scalar(moment, pa.timestamp("us", "UTC"))))
    return part


def _alike(parts: list[pa.Table]) -> list[pa.Table]:
    """Return tables in which a column has the type that it has in the newest part; another kind becomes null."""
    import pyarrow as pa

    kinds: dict[str, pa.DataType] = {}
    for part in parts:
        kinds |= {field.name: field.type for field in part.schema if not pa.types.is_null(field.type)}
    return [
        pa.table(
            {
                field.name: part[field.name]
                if field.type == kinds.get(field.name, field.type)
                else pa.nulls(part.num_rows, kinds[field.name])
                for field in part.schema
            }
        )
        for part in parts
    ]
