"""Scores many rows at once, through the same versions, arms and log as single requests; as many as there are, in little memory.

Rows come as parts of a table and stay columns all the way: the scorer is asked for columns where it takes them, and each part
is sealed as columns. The lines that are proven are the same that single requests would have left.

A run that was killed is taken up by another one over the same rows: what is sealed is counted and not scored again.
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
        kept: How many of the rows an earlier run of the same batch had scored and logged.
    """

    model: str
    environment: str
    as_of: datetime
    rows: int
    by_version: dict[str, int]
    mean_value: float | tuple[float, ...]
    kept: int = 0


def score(
    parts: Iterable[pa.Table],
    loaded: LoadedDeployment,
    *,
    as_of: datetime,
    log: BatchLog,
    now: datetime,
    tally: RequestTally | None = None,
    of_rows: int = 0,
    progress: Callable[[str], None] = lambda _line: None,
) -> ScoreReport:
    """Score a table part by part and log every answer; no more than one part is held at a time.

    Args:
        parts: Each with the column `entity` and the features. May be a generator, and longer than memory. Parts that are cut
            elsewhere than those of an earlier run of the batch are scored anew.
        tally: Counts each answer that is logged now as a request, and once each part that a version could not answer.
        of_rows: How many rows there are, to be told; 0 where nobody knows.
        progress: Called with one line every 100,000 rows.

    Raises:
        ServingError: A version and its backups gave something that is no answer; what was scored before is logged.
        StorageError: The log cannot be written; what was scored before is logged.
    """
    sums, whole = _Sums(), f" of {of_rows:,}" if of_rows else ""
    for part in parts:
        before, scored = sums.rows, {}
        for number, (rows, version) in enumerate(_by_version(part, loaded)):
            place = f"{before}-{part.num_rows}-{number}"
            kept = log.kept(place)
            if kept is None:
                scored[place] = _scored(rows, version, tally)
            else:
                sums.add(kept.version, kept.values, is_kept=True)
        columns = {place: _columns(each, loaded, as_of=as_of, now=now) for place, each in scored.items()}
        _keep(columns, log, before=before)
        for each in scored.values():
            sums.add(each.version.version, each.values)
            if tally is not None:
                tally.scored(each.version, len(each.values))
        if sums.rows // TOLD_EVERY > before // TOLD_EVERY:
            progress(f"{sums.rows:,}{whole} rows scored")
    model, environment = loaded.deployment.model, loaded.deployment.environment
    return ScoreReport(model, environment, as_of, sums.rows, dict(sums.by_version), sums.mean(), sums.kept)


class _Sums:
    """What was answered so far."""

    def __init__(self) -> None:
        self.by_version: Counter[str] = Counter()
        self.rows = self.kept = 0
        self._total: Any = None

    def add(self, version: str, values: NDArray[np.float64], *, is_kept: bool = False) -> None:
        """Add the answers of a version."""
        self.by_version[version] += len(values)
        self.rows += len(values)
        self.kept += len(values) if is_kept else 0
        total = values.sum(axis=0)
        self._total = total if self._total is None else self._total + total

    def mean(self) -> float | tuple[float, ...]:
        """Return the mean answer."""
        found = 0.0 if self._total is None else (self._total / self.rows).tolist()
        return tuple(found) if isinstance(found, list) else found


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
    features, columns = asked_columns(rows, version.scorer.features)
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


def asked_columns(rows: pa.Table, features: Sequence[FeatureColumn]) -> tuple[dict[str, pa.Array], list[Any]]:
    """Return features as they are logged, by name, and as a scorer takes them, in order."""
    found = {each.name: _feature(rows[each.name], each) for each in features}
    return found, [_asked(found[each.name], each) for each in features]


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

    if feature.kind == "categorical":
        return _texts(column)
    if feature.kind != "numeric":
        return list(column.to_pylist())
    found: NDArray[np.float64] = pc.fill_null(column, float("nan")).to_numpy(zero_copy_only=False)
    return found


def _texts(column: pa.Array) -> list[str | None]:
    """Return texts of which many are the same; each is made once, which also finds it in a scorer's tables sooner."""
    import numpy as np

    coded = column.dictionary_encode(null_encoding="encode")
    known = np.array(coded.dictionary.to_pylist(), dtype=object)
    found: list[str | None] = known[coded.indices.to_numpy()].tolist()
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
        "policy": loaded.deployment.policies.get(version.version, ""),
        "request_id": "",
    }
    made = {"prediction_id": pa.array(sortable_ids(count)), "entity": scored.entities.cast(pa.string())}
    made |= {name: pa.repeat(pa.scalar(value, pa.string()), count) for name, value in same.items()}
    made |= {
        "as_of": pa.repeat(pa.scalar(as_of, moment), count),
        "event_time": pa.repeat(pa.scalar(now, moment), count),
    }
    made["latency_us"] = pa.nulls(count, pa.int64())
    made["value"] = _list_array(scored.values) if scored.values.ndim > 1 else pa.array(scored.values)
    made |= {FEATURES + name: column for name, column in scored.features.items()}
    return LogColumns(pa.table(made), {version.digest: canonical_order(scored.features)})


def _list_array(values: NDArray[np.float64]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    count, wide = values.shape
    return pa.ListArray.from_arrays(np.arange(0, (count + 1) * wide, wide, dtype=np.int32), pa.array(values.ravel()))


def _keep(columns: Mapping[str, LogColumns], log: BatchLog, *, before: int) -> None:
    """Log the answers to one part, by their places."""
    try:
        for place, each in columns.items():
            log.keep(each, place=place)
    except StorageError as error:
        raise StorageError(
            "The prediction log cannot be written",
            expected="every prediction logged",
            found=f"{before} rows logged before; {error}",
            fix="Make room on the disk and score again, as of the same moment: it goes on from there.",
        ) from error
