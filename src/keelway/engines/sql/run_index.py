"""The index over runs in three tables: the runs, their figures and their parameters.

A figure that is no finite number is kept by its name, and has no value to be ordered by. A text is cut where its
column ends, and NUL, which PostgreSQL holds in no text, is written as U+2400: the record has it as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, Select, delete, func, select, update

from keelway.core import Digest, RunEntry, RunId, RunIndex, RunQuery, RunUpdate, Scalar, parse_json
from keelway.engines.sql.dialect import insert_of
from keelway.engines.sql.failures import translated
from keelway.engines.sql.run_filter import condition
from keelway.engines.sql.stamps import moment_of, stamp
from keelway.engines.sql.tables import records, run_metrics, run_parameters, runs

INDEXED = frozenset({"Run", "RunStarted", "Scorecard", "TrackedRun", "TrainedModel", "TrainingFigures"})
"""The classes whose records are about runs; the store need not look at any other."""
MOST_NAMED = 10
MAX_NAME = 250
CHUNK = 500


class SqlRunIndex:
    """The index inside one open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def search(self, query: RunQuery) -> list[RunEntry]:
        """Return the runs that a query asks for, in its order."""
        statement = select(runs).limit(query.limit)
        if query.metric:
            value = run_metrics.c.value
            statement = (
                statement.join(run_metrics, run_metrics.c.run == runs.c.seq)
                .where(run_metrics.c.name == query.metric, value.is_not(None))
                .order_by(value.asc() if query.lowest else value.desc(), run_metrics.c.run.desc())
            )
        else:
            statement = statement.order_by(runs.c.started_at.desc(), runs.c.seq.desc())
        return self._entries(_narrowed(statement, query))

    def named(self, name: str) -> list[RunEntry]:
        """Return the runs with that id, or whose id starts with it: at most ten, newest first."""
        exact = self._entries(select(runs).where(runs.c.run_id == name))
        if exact or not name:
            return exact
        upper = name + "\x7f"  # ids are hexadecimal: this is after all that start with the name
        found = select(runs).where(runs.c.run_id >= name, runs.c.run_id < upper)
        return self._entries(found.order_by(runs.c.started_at.desc()).limit(MOST_NAMED))

    def of_record(self, record: Digest) -> RunEntry | None:
        """Return the run whose line is that of a record, or None."""
        return next(iter(self._entries(select(runs).where(runs.c.record == record).limit(1))), None)

    def unmirrored(self, kinds: Sequence[str], *, limit: int) -> list[RunEntry]:
        """Return runs of some kinds that ended and are not mirrored yet, oldest first."""
        waiting = select(runs).where(runs.c.mirror == "", runs.c.kind.in_(kinds), runs.c.status != "open")
        return self._entries(waiting.order_by(runs.c.seq).limit(limit))

    def mirrored(self, run_id: RunId, link: str) -> None:
        """Note under which id the tracker shows a run."""
        self._execute(update(runs).where(runs.c.run_id == run_id).values(mirror=link))

    def count(self) -> int:
        """Return how many runs the index holds."""
        with translated():
            return int(self._connection.execute(select(func.count()).select_from(runs)).scalar_one())

    def note(self, kind: str, key: str, record: Mapping[str, Any], digest: Digest, at: int) -> None:
        """Write into the index what a record of a run says."""
        from keelway.train.tracking import run_change

        change = run_change(kind, key, record, digest=digest, at=moment_of(at))
        if isinstance(change, RunEntry):
            self.put(change)
        elif change is not None:
            self._update(change)

    def put(self, entry: RunEntry) -> None:
        """Write a line; one of the same run is written anew."""
        row = _row(entry)
        insert = insert_of(self._connection.dialect.name)(runs).values(row)
        kept = {name: insert.excluded[name] for name in row if name not in ("run_id", "mirror")}
        self._execute(insert.on_conflict_do_update(index_elements=["run_id"], set_=kept))
        number = self._number(runs.c.run_id == entry.run_id)
        self._execute(delete(run_parameters).where(run_parameters.c.run == number))
        if entry.parameters:
            self._execute(run_parameters.insert(), [_parameter(number, *item) for item in entry.parameters.items()])
        self._measure(number, entry.metrics)

    def _update(self, change: RunUpdate) -> None:
        number = self._number(runs.c.run_id == change.run_id if change.run_id else runs.c.record == change.record)
        if number is None:
            return
        values: dict[str, Any] = {}
        if change.status:
            values["status"] = change.status
        if change.ended_at is not None:
            values["ended_at"] = stamp(change.ended_at)
            values["seconds"] = (stamp(change.ended_at) - runs.c.started_at) / 1e6
        if change.seconds is not None:
            values["seconds"] = change.seconds
        if change.becomes is not None:
            values["record"] = change.becomes
        if values:
            self._execute(update(runs).where(runs.c.seq == number).values(values))
        self._measure(number, change.metrics)

    def _measure(self, number: int | None, metrics: Mapping[str, float]) -> None:
        if not metrics:
            return
        insert = insert_of(self._connection.dialect.name)(run_metrics)
        new = {"value": insert.excluded.value, "told": insert.excluded.told}
        self._execute(
            insert.on_conflict_do_update(index_elements=["run", "name"], set_=new),
            [_metric(number, name, value) for name, value in metrics.items()],
        )

    def _number(self, which: Any) -> int | None:
        with translated():
            return self._connection.execute(select(runs.c.seq).where(which)).scalar()

    def _entries(self, statement: Select[Any]) -> list[RunEntry]:
        with translated():
            found = self._connection.execute(statement).all()
        metrics = self._of(run_metrics, [row.seq for row in found])
        parameters = self._of(run_parameters, [row.seq for row in found])
        return [_entry(row, parameters.get(row.seq, []), metrics.get(row.seq, [])) for row in found]

    def _of(self, table: Any, numbers: Sequence[int]) -> dict[int, list[Row[Any]]]:
        """Return the rows of a table for each of some runs."""
        found: dict[int, list[Row[Any]]] = {}
        for start in range(0, len(numbers), CHUNK):
            wanted = select(table).where(table.c.run.in_(numbers[start : start + CHUNK])).order_by(table.c.name)
            with translated():
                for row in self._connection.execute(wanted):
                    found.setdefault(row.run, []).append(row)
        return found

    def _execute(self, statement: Any, values: Any = None) -> None:
        with translated():
            self._connection.execute(statement, values)


def index_records(connection: Connection) -> None:
    """Write the line of every run that the records tell of, in the order they were stored."""
    index = SqlRunIndex(connection)
    wanted = select(records).where(records.c.kind.in_(sorted(INDEXED))).order_by(records.c.seq)
    for row in connection.execute(wanted).all():
        index.note(row.kind, row.key, parse_json(row.body.encode()), Digest(row.digest), row.at)


def _narrowed(statement: Select[Any], query: RunQuery) -> Select[Any]:
    if query.kinds:
        statement = statement.where(runs.c.kind.in_(query.kinds))
    if query.model:
        statement = statement.where(runs.c.model == query.model)
    if query.since is not None:
        statement = statement.where(runs.c.started_at >= stamp(query.since))
    if query.where is not None:
        statement = statement.where(condition(query.where))
    return statement


def _row(entry: RunEntry) -> dict[str, Any]:
    return {
        "run_id": entry.run_id,
        "kind": entry.kind,
        "name": _told(entry.name, 400),
        "model": _told(entry.model, 100),
        "estimator": _told(entry.estimator, 200),
        "status": entry.status,
        "principal": _told(entry.principal, 200),
        "seed": entry.seed,
        "commit": entry.commit,
        "dirty": entry.dirty,
        "parent": entry.parent,
        "started_at": stamp(entry.started_at),
        "ended_at": None if entry.ended_at is None else stamp(entry.ended_at),
        "seconds": entry.seconds,
        "record": entry.record,
        "mirror": entry.mirror,
    }


def _metric(number: int | None, name: str, value: float) -> dict[str, Any]:
    finite = math.isfinite(value)
    return {
        "run": number,
        "name": _told(name, MAX_NAME),
        "value": value if finite else None,
        "told": "" if finite else str(value),
    }


def _parameter(number: int | None, name: str, value: Scalar) -> dict[str, Any]:
    return {
        "run": number,
        "name": _told(name, MAX_NAME),
        "text": _told(scalar_text(value)),
        "number": _as_number(value),
    }


def _told(text: str, length: int | None = None) -> str:
    return text.replace("\0", "\N{SYMBOL FOR NULL}")[:length]


def scalar_text(value: Scalar) -> str:
    """Return a parameter as text, as it is compared with: `true`, `null`, `0.5`, or the text itself."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as_number(value: Scalar) -> float | None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(float(value)) else None  # type: ignore[arg-type]


def _scalar(row: Row[Any]) -> Scalar:
    """Return a parameter as it was given, as far as its text tells."""
    if row.number is not None:
        return int(row.text) if row.text.lstrip("-").isdigit() else float(row.number)
    words: dict[str, Scalar] = {"true": True, "false": False, "null": None}
    return words.get(row.text, row.text)


def _entry(row: Row[Any], parameters: Iterable[Row[Any]], metrics: Iterable[Row[Any]]) -> RunEntry:
    return RunEntry(
        run_id=RunId(row.run_id),
        kind=row.kind,
        name=row.name,
        model=row.model,
        estimator=row.estimator,
        status=row.status,
        principal=row.principal,
        seed=row.seed,
        commit=row.commit,
        dirty=row.dirty,
        parent=row.parent,
        started_at=moment_of(row.started_at),
        ended_at=None if row.ended_at is None else moment_of(row.ended_at),
        seconds=row.seconds,
        record=Digest(row.record),
        parameters={each.name: _scalar(each) for each in parameters},
        metrics={each.name: float(each.told) if each.told else each.value for each in metrics},
        mirror=row.mirror,
    )


if TYPE_CHECKING:
    _: RunIndex = SqlRunIndex(None)  # type: ignore[arg-type]
