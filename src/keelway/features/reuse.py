"""What the rows of a cut date depend on, so that those which cannot have changed are not computed again.

A function sees a row at a cut date only if it happened and was known before. So the rows of a cut date are settled by

- the cut date and what the model declares about features and label, with the code that its functions use,
- the files of each version that hold a row which was known and had happened by then: by their bytes, because files never
  change, and by the least of `_known_at` and of the event time that their Parquet footers tell,
- with a label, likewise the files that hold a row of the horizon which is known by now; and `now` itself where one of them
  also holds rows that are known later,
- the columns of each version, and the versions of the libraries that compute.

The digest of all this is the key of the cut date. A later version of a dataset has other files, but a file in which everything
became known after the cut date is in no key of it. A row that comes late, yet was known before the cut date, is. A file without
statistics counts as one that holds everything.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.core import Digest, digest_file, digest_of, time_text
from keelway.features.code import code_of
from keelway.features.compute import KNOWN_AT
from keelway.project import Dataset, Model

if TYPE_CHECKING:
    from keelway.snapshot import SnapshotRows

ENGINES = ("keelway", "ibis-framework", "duckdb", "pyarrow")
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
READERS = 4
Span = tuple[datetime, datetime]
"""The least and the greatest of some times; the other way round where there are none."""


@dataclass(frozen=True, slots=True)
class TimedFile:
    """One Parquet file of a version.

    Attributes:
        known: When its rows became known.
        happened: When its rows happened; everything for a dataset whose rows carry no time.
    """

    digest: Digest
    known: Span
    happened: Span

    def is_seen(self, as_of: datetime) -> bool:
        """Say whether a feature function may see a row of it at a cut date."""
        return self.known[0] < as_of and self.happened[0] < as_of

    def tells(self, start: datetime, end: datetime, *, now: datetime) -> bool:
        """Say whether it may hold a row that happened in `[start, end)` and is known by now."""
        return self.known[0] <= now and self.happened[1] >= start and self.happened[0] < end


def cut_keys(
    model: Model,
    as_ofs: Sequence[datetime],
    rows: Mapping[str, SnapshotRows],
    *,
    with_label: bool,
    now: datetime,
) -> dict[datetime, Digest]:
    """Return the key of each cut date; nothing where the code of a function cannot be told.

    Args:
        rows: Dataset name to the rows of the version that is used.
    """
    functions = [each.function for each in model.features] + [model.label.function]
    codes = [code_of(function) for function in functions]
    if None in codes:
        return {}
    datasets = {each.name: each for each in model.datasets if each.name in rows}
    files = {name: _files(each, rows[name]) for name, each in datasets.items()}
    same = {
        "model": model.name,
        "definition": model.data_definition(),
        "code": codes,
        "columns": {name: dict(sorted(rows[name].columns.items())) for name in files},
        "engines": _engines(),
    }
    seen = {source.name for each in model.features for source in each.sources}
    keys = {}
    for as_of in as_ofs:
        features = {name: _digests(file for file in files[name] if file.is_seen(as_of)) for name in sorted(seen)}
        label = _label_key(model, files[model.label.source.name], as_of, now=now) if with_label else None
        keys[as_of] = digest_of({**same, "as_of": time_text(as_of), "features": features, "label": label})
    return keys


def _label_key(model: Model, files: Sequence[TimedFile], as_of: datetime, *, now: datetime) -> Any:
    horizon = model.label.horizon
    if horizon is None:
        return {"files": _digests(file for file in files if file.is_seen(as_of))}
    telling = [file for file in files if file.tells(as_of, as_of + horizon, now=now)]
    until = time_text(now) if any(file.known[1] > now for file in telling) else ""
    return {"files": _digests(telling), "known_until": until}


def _digests(files: Any) -> list[Digest]:
    return sorted(file.digest for file in files)


def _files(dataset: Dataset, rows: SnapshotRows) -> list[TimedFile]:
    def seen(path: Path) -> TimedFile:
        known, happened = _spans(path, (KNOWN_AT, dataset.event_time))
        return TimedFile(digest_file(path), known, happened)

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(seen, rows.paths))


def _spans(path: Path, columns: Sequence[str]) -> list[Span]:
    """Return the times of some columns as a file's footer tells them."""
    import pyarrow.parquet as pq

    footer = pq.read_metadata(path)
    places = {footer.schema.column(place).path: place for place in range(footer.num_columns)}
    spans = []
    for name in columns:
        span = (LAST, FIRST) if name in places else (FIRST, LAST)
        for group in range(footer.num_row_groups if name in places else 0):
            low, high = _span(footer.row_group(group).column(places[name]))
            span = (min(span[0], low), max(span[1], high))
        spans.append(span)
    return spans


def _span(column: Any) -> Span:
    told = column.statistics
    nulls = told.null_count if told is not None and told.has_null_count else 0
    if column.num_values == nulls:
        return LAST, FIRST
    if told is None or not told.has_min_max:
        return FIRST, LAST
    low, high = _moment(told.min), _moment(told.max)
    return (low, high) if low is not None and high is not None else (FIRST, LAST)


def _moment(value: Any) -> datetime | None:
    """Return a time or a day as a moment in UTC; None for anything else."""
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime(value.year, value.month, value.day, tzinfo=UTC) if isinstance(value, date) else None


@functools.cache
def _engines() -> dict[str, str]:
    return {name: version(name) for name in ENGINES}
