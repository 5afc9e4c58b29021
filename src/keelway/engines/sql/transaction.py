"""One transaction: records that never change, pointers that move by compare-and-swap, and the log."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, bindparam, func, select

from keelway.core import DIGEST_PREFIX, Digest, Pointer, WrittenRecord, digest_bytes, in_utc, parse_json, revive
from keelway.engines.sql.dialect import insert_of
from keelway.engines.sql.failures import translated
from keelway.engines.sql.log import SqlLog
from keelway.engines.sql.run_index import INDEXED, SqlRunIndex
from keelway.engines.sql.stamps import moment_of, stamp
from keelway.engines.sql.tables import MAX_KEY_BYTES, pointers, records
from keelway.errors import IntegrityError, MissingRecordError, PointerMovedError, RecordExistsError, UsageError

T = TypeVar("T")
CHUNK = 500
"""Keys asked for in one statement."""

_BY_KEY = select(records.c.digest, records.c.body).where(
    records.c.kind == bindparam("kind"), records.c.key == bindparam("key")
)
_BY_DIGEST = (
    select(records.c.digest, records.c.body)
    .where(records.c.digest == bindparam("digest"), records.c.kind == bindparam("kind"))
    .limit(1)
)
_TEXT_OF = (
    select(records.c.digest, records.c.body, records.c.kind)
    .where(records.c.digest == bindparam("digest"))
    .order_by(records.c.seq)
    .limit(1)
)
_TEXTS = select(records.c.key, records.c.digest, records.c.body).where(
    records.c.kind == bindparam("kind"), records.c.key.in_(bindparam("keys", expanding=True))
)
_TEXTS_OF = (
    select(records.c.digest, records.c.body, records.c.kind)
    .where(records.c.digest.in_(bindparam("digests", expanding=True)))
    .order_by(records.c.seq.desc())
)
_IN_PARENT = records.c.parent == bindparam("parent")
_NEWEST = (
    select(records.c.digest, records.c.body)
    .where(records.c.kind == bindparam("kind"))
    .order_by(records.c.at.desc(), records.c.seq.desc())
)
_NEWEST_BY_CHOICE = {  # whether of one parent, and whether limited: a statement that is built once is compiled once
    (False, False): _NEWEST,
    (False, True): _NEWEST.limit(bindparam("most")),
    (True, False): _NEWEST.where(_IN_PARENT),
    (True, True): _NEWEST.where(_IN_PARENT).limit(bindparam("most")),
}
_BETWEEN = (
    select(records.c.digest, records.c.body)
    .where(records.c.kind == bindparam("kind"), _IN_PARENT)
    .where(records.c.at >= bindparam("since"), records.c.at <= bindparam("until"))
    .order_by(records.c.at, records.c.seq)
)
_BETWEEN_BY_CHOICE = {False: _BETWEEN, True: _BETWEEN.limit(bindparam("most"))}
_EVER = 1 << 62
_NAMING = (
    select(records.c.digest, records.c.body, records.c.kind)
    .where(records.c.kind.not_in(bindparam("besides", expanding=True)), records.c.body.contains(DIGEST_PREFIX))
    .order_by(records.c.seq)
    .execution_options(yield_per=CHUNK)
)
_DIGESTS = re.compile(DIGEST_PREFIX + "[0-9a-f]{64}")
_COUNT = select(func.count()).select_from(records).where(records.c.kind == bindparam("kind"))
_COUNT_IN_PARENT = _COUNT.where(_IN_PARENT)
_PRESENT = select(records.c.key).where(
    records.c.kind == bindparam("kind"), records.c.key.in_(bindparam("keys", expanding=True))
)
_POINTER = select(pointers).where(pointers.c.name == bindparam("wanted"))
_POINTERS = (
    select(pointers)
    .where(func.substr(pointers.c.name, 1, bindparam("length")) == bindparam("prefix"))
    .order_by(pointers.c.name)
)
_SET_POINTER = pointers.insert()
_MOVE_POINTER = (
    pointers.update()
    .where(pointers.c.name == bindparam("wanted"), pointers.c.target == bindparam("before"))
    .values(target=bindparam("after"), revision=bindparam("next"), moved_at=bindparam("moment"))
)


class SqlTransaction:
    """Records, pointers and log over one open connection."""

    def __init__(self, connection: Connection, *, writable: bool) -> None:
        self._connection = connection
        self._writable = writable
        self._log = SqlLog(connection, writable=writable)
        self._runs = SqlRunIndex(connection)

    @property
    def log(self) -> SqlLog:
        """The log inside this transaction."""
        return self._log

    @property
    def runs(self) -> SqlRunIndex:
        """The index over runs inside this transaction."""
        return self._runs

    def insert(self, key: str, record: object, *, parent: str = "", at: datetime) -> Digest:
        """Store a record under its class and a key; storing the same content again does nothing."""
        self._must_write()
        _must_be_keys(key, parent)
        told = record if isinstance(record, WrittenRecord) else WrittenRecord.of(record)
        kind, body, digest = type(told.record).__name__, told.body, told.digest
        row = {"kind": kind, "key": key, "parent": parent, "at": stamp(at), "digest": digest, "body": body.decode()}
        with translated():
            written = self._connection.execute(_insert(self._connection.dialect.name), row).rowcount
        if not written:
            self._must_be_same(kind, key, digest)
        elif kind in INDEXED:
            self._runs.note(kind, key, parse_json(body), digest, stamp(at))
        return digest

    def get(self, kind: type[T], key: str) -> T:
        """Return a record, checked against its digest."""
        found = self.find(kind, key)
        if found is None:
            raise MissingRecordError(f"There is no {kind.__name__} {key!r}", expected="a stored key", found=repr(key))
        return found

    def find(self, kind: type[T], key: str) -> T | None:
        """Return a record, or None where the key is free."""
        row = self._first(_BY_KEY, kind=kind.__name__, key=key)
        return None if row is None else revive(parse_json(_checked(row)), kind)

    def by_digest(self, kind: type[T], digest: Digest) -> T:
        """Return the record of a class with that digest."""
        row = self._first(_BY_DIGEST, kind=kind.__name__, digest=digest)
        if row is None:
            raise MissingRecordError(f"There is no such {kind.__name__}", expected=digest, found="nothing")
        return revive(parse_json(_checked(row)), kind)

    def text_of(self, digest: Digest) -> tuple[str, str] | None:
        """Return class name and canonical JSON of the record with that digest, or None."""
        row = self._first(_TEXT_OF, digest=digest)
        return None if row is None else (row.kind, _checked(row).decode())

    def texts(self, kind: type, keys: Collection[str]) -> dict[str, str]:
        """Return the canonical JSON of the records of a class under keys, by key; free keys are left out."""
        found: dict[str, str] = {}
        for chunk in _chunks(keys):
            with translated():
                rows = self._connection.execute(_TEXTS, {"kind": kind.__name__, "keys": chunk}).all()
            found.update((row.key, _checked(row).decode()) for row in rows)
        return found

    def texts_of(self, digests: Collection[Digest]) -> dict[Digest, tuple[str, str]]:
        """Return class name and canonical JSON of the records with those digests; others are left out."""
        found: dict[Digest, tuple[str, str]] = {}
        for chunk in _chunks(digests):
            with translated():
                rows = self._connection.execute(_TEXTS_OF, {"digests": chunk}).all()
            found.update((Digest(row.digest), (row.kind, _checked(row).decode())) for row in rows)
        return found

    def newest(self, kind: type[T], *, parent: str | None = None, limit: int | None = None) -> list[T]:
        """Return the records of a class, newest first."""
        query = _NEWEST_BY_CHOICE[parent is not None, limit is not None]
        values = {"kind": kind.__name__, "parent": parent, "most": limit}
        with translated():
            rows = self._connection.execute(query, values).all()
        return [revive(parse_json(_checked(row)), kind) for row in rows]

    def between(
        self,
        kind: type[T],
        *,
        parent: str,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> list[T]:
        """Return the records of a class whose `at` lies in a span, both ends in it, oldest first."""
        span = {"since": stamp(since) if since else -_EVER, "until": stamp(until) if until else _EVER}
        values = {"kind": kind.__name__, "parent": parent, "most": limit, **span}
        with translated():
            rows = self._connection.execute(_BETWEEN_BY_CHOICE[limit is not None], values).all()
        return [revive(parse_json(_checked(row)), kind) for row in rows]

    def count(self, kind: type, *, parent: str | None = None) -> int:
        """Return how many records of a class there are."""
        query = _COUNT if parent is None else _COUNT_IN_PARENT
        with translated():
            return int(self._connection.execute(query, {"kind": kind.__name__, "parent": parent}).scalar_one())

    def naming(self, digests: Collection[Digest], *, besides: Collection[str] = ()) -> Iterator[tuple[str, str]]:
        """Yield class name and canonical JSON of every record that names one of `digests`."""
        wanted = set(digests)
        with translated():
            for row in self._connection.execute(_NAMING, {"besides": list(besides)}):
                if not wanted.isdisjoint(_DIGESTS.findall(row.body)):
                    yield row.kind, _checked(row).decode()

    def missing(self, kind: type, keys: Iterable[str]) -> set[str]:
        """Return those of `keys` under which no record is stored."""
        absent: set[str] = set()
        for chunk in _chunks(keys):
            with translated():
                present = self._connection.execute(_PRESENT, {"kind": kind.__name__, "keys": chunk}).scalars()
                absent.update(set(chunk).difference(present))
        return absent

    def pointer(self, name: str) -> Pointer | None:
        """Return a pointer, or None where it was never set."""
        row = self._first(_POINTER, wanted=name)
        return None if row is None else _pointer(row)

    def pointers(self, *, prefix: str = "") -> list[Pointer]:
        """Return the pointers whose name starts with a prefix, by name."""
        with translated():
            rows = self._connection.execute(_POINTERS, {"prefix": prefix, "length": len(prefix)}).all()
        return [_pointer(row) for row in rows]

    def move(self, name: str, *, before: Digest | None, after: Digest, at: datetime) -> Pointer:
        """Set a pointer that still holds `before`."""
        self._must_write()
        _must_be_keys(name)
        held = self.pointer(name)
        found = held.target if held else None
        if found != before:
            raise PointerMovedError(
                f"The pointer {name} has moved",
                expected=before or "a free name",
                found=found or "a free name",
                fix="Look at what it holds now, then decide again.",
            )
        moved = Pointer(name, after, held.revision + 1 if held else 1, in_utc(at))
        if held is None:
            row = {"name": name, "target": after, "revision": moved.revision, "moved_at": stamp(at)}
            with translated():
                self._connection.execute(_SET_POINTER, row)
            return moved
        change = {"wanted": name, "before": before, "after": after, "next": moved.revision, "moment": stamp(at)}
        with translated():
            self._connection.execute(_MOVE_POINTER, change)
        return moved

    def _first(self, query: Any, **values: object) -> Row[Any] | None:
        with translated():
            return self._connection.execute(query, values).first()

    def _must_write(self) -> None:
        if not self._writable:
            raise UsageError("A snapshot only reads", expected="state.transaction()", found="state.snapshot()")

    def _must_be_same(self, kind: str, key: str, digest: Digest) -> None:
        row = self._first(_BY_KEY, kind=kind, key=key)
        held = row.digest if row is not None else "nothing"
        if held != digest:
            raise RecordExistsError(
                f"There is already another {kind} under {key!r}",
                expected=digest,
                found=held,
                fix="Records never change: store it under a new key.",
            )


@functools.cache
def _insert(dialect: str) -> Any:
    """Return the statement that stores a record; its count of rows says whether one was written."""
    statement = insert_of(dialect)(records).on_conflict_do_nothing(index_elements=["kind", "key"]).inline()
    return statement.execution_options(preserve_rowcount=True)  # psycopg forgets it with its cursor unless told not to


def _must_be_keys(*names: str) -> None:
    """Refuse, on either database, what one of the two could not hold."""
    for name in names:
        size = len(name.encode())
        if "\0" in name or size > MAX_KEY_BYTES:
            raise UsageError(
                "The state cannot hold such a key",
                expected=f"a text of up to {MAX_KEY_BYTES} bytes without NUL",
                found=f"{size} bytes: {name[:80]!r}",
                fix="Give what it names a shorter name.",
            )


def _checked(row: Any) -> bytes:
    body: bytes = row.body.encode()
    found = digest_bytes(body)
    if found != row.digest:
        raise IntegrityError(
            "A stored record was altered",
            expected=row.digest,
            found=found,
            fix="Run `keelway audit` to see what else was touched, and restore the database from a backup.",
        )
    return body


def _pointer(row: Row[Any]) -> Pointer:
    return Pointer(row.name, Digest(row.target), row.revision, moment_of(row.moved_at))


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    source = iter(keys)
    while chunk := list(islice(source, CHUNK)):
        yield chunk
