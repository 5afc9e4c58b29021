"""The online store on Redis: the rows of a cut are one hash, and a small hash beside it says which cut stands.

The rows of a new cut are staged in a hash of their own, in pipelined batches, and vanish by themselves where their writer dies.
Then one transaction that watches the standing cut puts the new one in its place and drops the old rows. A reader remembers which
cut stood last and asks for its rows, with one command: it gets all of that cut's, or learns that the cut is gone and looks anew.

    store = RedisOnlineStore("redis://127.0.0.1:6379/0", prefix="keelway:shop")
    store.read("churn", ["00017"])["00017"].values["recency_d"]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from keelway.engines.redis.failures import rows_gone, translated
from keelway.errors import MissingExtraError
from keelway.features import (
    OnlineCut,
    OnlineRow,
    OnlineValue,
    check_rows,
    cut_bytes,
    cut_of_bytes,
    entity_twice,
    row_bytes,
    row_of_bytes,
)

if TYPE_CHECKING:
    from keelway.features import OnlineStore

BATCH = 2_000
"""Rows sent in one command; a few of these are on their way at once."""
COMMANDS = 5
CHUNK = 10_000
"""Entities asked for in one command."""
STAGED_S = 3_600
"""How long staged rows stay after the last batch; then their writer is taken for dead."""
WHOLE = b"\xff"
"""The field of every hash of rows that tells it is there; no text is written like that."""
CONNECT_TIMEOUT_S, TIMEOUT_S = 5.0, 30.0


class RedisOnlineStore:
    """An online store on a Redis server; connections are made when they are needed, and safe across threads and forks.

    Args:
        url: `redis://HOST:PORT/DATABASE`, with TLS `rediss://...`; it holds no secret.
        prefix: What all keys begin with.
        user: Who logs in; empty is the server's default user.
        password: The user's password; empty logs nobody in.
        ttl_s: For how many seconds a cut is served after it was written; 0 for ever.
    """

    def __init__(
        self, url: str, *, prefix: str = "keelway", user: str = "", password: str = "", ttl_s: int = 0
    ) -> None:
        self._place = url.partition("?")[0]
        self._prefix = prefix
        self._ttl_s = ttl_s
        self._client: Any = _client(url, user, password)
        self._known: dict[str, tuple[int, OnlineCut]] = {}

    def write(self, cut: OnlineCut, rows: Iterable[tuple[str, Sequence[OnlineValue]]]) -> bool:
        """Put a cut in the place of the model's older one, and return whether it was."""
        with translated(self._place):
            held = self._standing(cut.model)
            if held is not None and not cut.replaces(held[1]):
                return False
            number = int(self._client.incr(self._key(cut.model, "last")))
            try:
                self._stage(number, cut, rows)
            except BaseException:
                self._client.unlink(self._key(cut.model, "rows", number))
                raise
            return self._switch(number, cut)

    def cut(self, model: str) -> OnlineCut | None:
        """Return what is held of a model, or None."""
        with translated(self._place):
            held = self._standing(model)
        return None if held is None else held[1]

    def read(self, model: str, entities: Sequence[str]) -> dict[str, OnlineRow]:
        """Return the rows of those entities that have one, all of the same cut."""
        if not entities:
            return {}
        with translated(self._place):
            held = self._known.get(model) or self._standing(model)
            while held is not None:
                number, cut = held
                found = self._rows(model, number, entities)
                if found is not None:
                    rows = zip(entities, found, strict=True)
                    return {entity: row_of_bytes(cut, entity, data) for entity, data in rows if data is not None}
                held = self._standing(model)  # another cut took its place, or its time ran out
                if held is not None and held[0] == number:
                    raise rows_gone(self._place, self._key(model, "rows", number))
        return {}

    def close(self) -> None:
        """Release connections."""
        self._client.close()

    def _key(self, model: str, *parts: object) -> str:
        """Return a key; the braces keep all keys of a model on one node of a cluster."""
        return ":".join((self._prefix, f"{{{model}}}", *map(str, parts)))

    def _standing(self, model: str) -> tuple[int, OnlineCut] | None:
        number, data = self._client.hmget(self._key(model, "cut"), ["number", "cut"])
        if number is None or data is None:
            self._known.pop(model, None)
            return None
        self._known[model] = int(number), cut_of_bytes(data)
        return self._known[model]

    def _rows(self, model: str, number: int, entities: Sequence[str]) -> list[bytes | None] | None:
        """Return the rows of a cut, None for an entity without one; nothing at all where the cut is gone."""
        key = self._key(model, "rows", number)
        if len(entities) <= CHUNK:
            there, *found = self._client.hmget(key, [WHOLE, *entities])
            return None if there is None else found
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hexists(key, WHOLE)
            for start in range(0, len(entities), CHUNK):
                pipe.hmget(key, list(entities[start : start + CHUNK]))
            there, *parts = pipe.execute()
        return [data for part in parts for data in part] if there else None

    def _stage(self, number: int, cut: OnlineCut, rows: Iterable[tuple[str, Sequence[OnlineValue]]]) -> None:
        key, written, waiting = self._key(cut.model, "rows", number), 0, iter(rows)
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hset(key, WHOLE, b"")
            for batch in _batches(cut, waiting):
                pipe.hset(key, mapping=batch)
                pipe.expire(key, STAGED_S)
                written += len(batch)
                if len(pipe) >= 2 * COMMANDS:
                    pipe.execute()
            pipe.execute()
        there = self._client.hlen(key)
        if not there:
            raise rows_gone(self._place, key)
        if there != written + 1:
            raise entity_twice(cut)
        check_rows(cut, written)

    def _switch(self, number: int, cut: OnlineCut) -> bool:
        """Let staged rows stand, unless somebody put a newer cut there meanwhile.

        Where the answer gets lost, nothing is cleaned up, since the rows may stand: the server forgets staged ones.
        """
        from redis.exceptions import WatchError

        key, rows = self._key(cut.model, "cut"), self._key(cut.model, "rows", number)
        while True:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.watch(key)
                held = self._standing(cut.model)
                if held is not None and not cut.replaces(held[1]):
                    self._client.unlink(rows)
                    return False
                pipe.multi()
                pipe.hset(key, mapping={"number": number, "cut": cut_bytes(cut)})
                self._keep(pipe, key, rows)
                if held is not None:
                    pipe.unlink(self._key(cut.model, "rows", held[0]))
                try:
                    pipe.execute()
                except WatchError:
                    continue
                return True

    def _keep(self, pipe: Any, key: str, rows: str) -> None:
        if self._ttl_s:
            pipe.expire(rows, self._ttl_s)
            pipe.expire(key, self._ttl_s)  # at the same moment: one transaction has one time
        else:
            pipe.persist(rows)
            pipe.persist(key)


def _batches(cut: OnlineCut, rows: Iterator[tuple[str, Sequence[OnlineValue]]]) -> Iterator[dict[str, bytes]]:
    """Yield rows as bytes by entity, some at a time."""
    while part := list(islice(rows, BATCH)):
        batch: dict[str, bytes] = {entity: row_bytes(cut, values) for entity, values in part}
        if len(batch) != len(part):
            raise entity_twice(cut)
        yield batch


def _client(url: str, user: str, password: str) -> Any:
    try:
        import redis
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "The online store on Redis needs one more package",
            expected="redis",
            found="not installed",
            fix="pip install 'keelway[redis]'",
        ) from error
    return redis.Redis.from_url(
        url,
        username=user or None,
        password=password or None,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        client_name="keelway",
    )


if TYPE_CHECKING:
    _store: OnlineStore = RedisOnlineStore("redis://127.0.0.1")
