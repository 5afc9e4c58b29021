"""Scores many rows at once, through the same versions, arms and log as single requests; as many as there are, in little memory.

Rows come as parts of a table and stay columns all the way: the scorer is asked for columns where it takes them, and each part
is sealed as columns. The lines that are proven are the same that single requests would have left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keelway.core import digest_of, sortable_ids
from keelway.errors import ServingError, StorageError, UndefinedAnswerError
from keelway.serve.line import canonical_order
from keelway.serve.loaded import LoadedDeployment, LoadedVersion
from keelway.serve.log_columns import LogColumns
from keelway.serve.log_lines import FEATURES, one_array
from keelway.serve.ports import BatchLog, ColumnScorer
from keelway.serve.tally import RequestTally

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from keelway.features import FeatureColumn

ENTITY = "entity"
TOLD_EVERY = 100_000
"""Rows between two lines of progress."""


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """What a batch scored.

    Attributes:
        by_version: Rows by the version that answered them.
        mean_value: Of the answers to all rows, for several classes one a class; 0 without any.
    """

    model: str
    environment: str
    as_of: datetime
    rows: int
    by_version: dict[str, int]
    mean_value: float | tuple[float, ...]


def score(
    parts: Iterable[pa.Table],
    loaded: LoadedDeployment,
    *,
    as_of: datetime,
    log: BatchLog,
    now: datetime,
    tally: RequestTally | None = None,
    progress: Callable[[str], None] = lambda _line: None,
) -> ScoreReport:
    """Score a table part by part and log every answer; no more than one part is held at a time.

    Args:
        parts: Each with the column `entity` and the features. May be a generator, and longer than memory.
        tally: Counts each logged answer as a request, and once each part that a version could not answer.
        progress: Called with one line every 100,000 rows.

    Raises:
        ServingError: A version and its backups gave something that is no answer; what was scored before is logged.
        StorageError: The log cannot be written; what was scored before is logged.
    """
    by_version: Counter[str] = Counter()
    count, told, total = 0, 0, None
    for part in parts:
        scored = [_scored(rows, version, tally) for rows, version in _by_version(part, loaded)]
        columns = [_columns(each, loaded, as_of=as_of, now=now) for each in scored]
        _keep(columns, log, before=count)
        for each in scored:
            by_version[each.version.version] += len(each.values)
            if tally is not None:
                tally.scored(each.version, len(each.values))
            sums = each.values.sum(axis=0)
            total = sums if total is None else total + sums
        count += part.num_rows
        if count // TOLD_EVERY > told:
            told = count // TOLD_EVERY
            progress(f"{count:,} rows scored")
    mean, deployment = 0.0 if total is None else (total / count).tolist(), loaded.deployment
    mean_value = tuple(mean) if isinstance(mean, list) else mean
    return ScoreReport(deployment.model, deployment.environment, as_of, count, dict(by_version), mean_value)


@dataclass(frozen=True, slots=True)
class _Scored:
    """Rows with their answers, and who gave them; the features as they are logged."""

    entities: pa.Array
    features: Mapping[str, pa.Array]
    values: NDArray[np.float64]
    version: LoadedVersion


def _by_version(part: pa.Table, loaded: LoadedDeployment) -> Iterator[tuple[pa.Table, LoadedVersion]]:
    """Yield the rows of each version that answers for some of them."""
    if len(loaded.arms) < 2:
        if part.num_rows:
            yield part, loaded.version_for("")
        return
    arms: dict[str, tuple[LoadedVersion, list[int]]] = {}
    for place, entity in enumerate(part[ENTITY].to_pylist()):
        version = loaded.version_for(entity)
        arms.setdefault(version.arm, (version, []))[1].append(place)
    for version, places in arms.values():
        yield part.take(places), version


def _scored(rows: pa.Table, version: LoadedVersion, tally: RequestTally | None) -> _Scored:
    """Return the answers of a version, or of the first of its backups that has any."""
    features = {each.name: _feature(rows[each.name], each) for each in version.scorer.features}
    columns = [_asked(features[each.name], each) for each in version.scorer.features]
    failure: ServingError | None = None
    for each in (version, *version.backups):
        try:
            values = _values(each, columns, rows.num_rows)
        except ServingError as error:
            failure = failure or error
            if tally is not None:
                tally.failed(each, undefined=isinstance(error, UndefinedAnswerError))
        else:
            return _Scored(one_array(rows[ENTITY]), features, values, each)
    assert failure is not None
    raise failure


def _feature(column: pa.ChunkedArray, feature: FeatureColumn) -> pa.Array:
    """Return a feature as it is logged: numbers of 64 bits, of which none is no number, texts, or lists of numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if feature.kind == "array":
        return one_array(column.cast(pa.list_(pa.float64())))
    if feature.kind != "numeric":
        return one_array(column.cast(pa.string()))
    found = one_array(column.cast(pa.float64()))
    return pc.if_else(pc.is_nan(found), pa.scalar(None, pa.float64()), found)


def _asked(column: pa.Array, feature: FeatureColumn) -> Sequence[Any] | NDArray[np.float64]:
    """Return a feature as a scorer takes it."""
    import pyarrow.compute as pc

    if feature.kind != "numeric":
        return list(column.to_pylist())
    found: NDArray[np.float64] = pc.fill_null(column, float("nan")).to_numpy(zero_copy_only=False)
    return found


def _values(version: LoadedVersion, columns: Sequence[Any], count: int) -> NDArray[np.float64]:
    """Return checked answers: shape (n,), or (n, k) for k classes.

    Raises:
        ServingError: There are none, or something is no answer.
    """
    import numpy as np

    scorer = version.scorer
    if isinstance(scorer, ColumnScorer):
        answers = scorer.predictions_in(columns)
    else:
        answers = scorer.predictions([list(row) for row in zip(*(_values_of(each) for each in columns), strict=True)])
    found = np.asarray(answers, dtype=np.float64)
    wide = (count, len(scorer.classes)) if scorer.task == "multiclass" else (count,)
    is_sound = np.isfinite(found) if scorer.task == "regression" else (found >= 0) & (found <= 1)
    if found.shape != wide or not is_sound.all():
        raise UndefinedAnswerError(
            f"{version.version} gave something that is no answer",
            expected="finite numbers" if scorer.task == "regression" else "numbers in [0, 1]",
            found=f"{int((~is_sound).sum())} others among the answers to {count} rows",
            fix="Roll back: keelway rollback MODEL.",
        )
    return found


def _values_of(column: Sequence[Any] | NDArray[np.float64]) -> list[Any]:
    """Return a column as single rows have it, in which what is missing is None."""
    import numpy as np

    if not isinstance(column, np.ndarray):
        return list(column)
    return [None if value != value else value for value in column.tolist()]  # noqa: PLR0124  (only NaN differs from itself)


def _columns(scored: _Scored, loaded: LoadedDeployment, *, as_of: datetime, now: datetime) -> LogColumns:
    """Return what the log keeps of some answers."""
    import pyarrow as pa

    version, count = scored.version, len(scored.values)
    moment = pa.timestamp("us", "UTC")
    same = {
        "version": version.version,
        "version_digest": version.digest,
        "deployment": digest_of(loaded.deployment),
        "model": loaded.deployment.model,
        "environment": loaded.deployment.environment,
        "arm": version.arm,
    }
    made = {"prediction_id": pa.array(sortable_ids(count)), "entity": scored.entities.cast(pa.string())}
    made |= {name: pa.repeat(pa.scalar(value, pa.string()), count) for name, value in same.items()}
    made |= {
        "as_of": pa.repeat(pa.scalar(as_of, moment), count),
        "event_time": pa.repeat(pa.scalar(now, moment), count),
    }
    made["value"] = _list_array(scored.values) if scored.values.ndim > 1 else pa.array(scored.values)
    made |= {FEATURES + name: column for name, column in scored.features.items()}
    return LogColumns(pa.table(made), {version.digest: canonical_order(scored.features)})


def _list_array(values: NDArray[np.float64]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    count, wide = values.shape
    return pa.ListArray.from_arrays(np.arange(0, (count + 1) * wide, wide, dtype=np.int32), pa.array(values.ravel()))


def _keep(columns: Sequence[LogColumns], log: BatchLog, *, before: int) -> None:
    """Log the answers to one part."""
    try:
        for each in columns:
            log.keep(each)
    except StorageError as error:
        raise StorageError(
            "The prediction log cannot be written",
            expected="every prediction logged",
            found=f"{before} rows logged before; {error}",
            fix="Make room on the disk and score again.",
        ) from error
