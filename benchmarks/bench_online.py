"""The online store on SQLite and on Redis: filling it, and reading one entity and a hundred; floors are bare gets of the same
bytes from the same file and server.

Both stores hold the same cut. Reads go to random entities, one after the other on one connection; the median is told. The
floor reads one value by its key and decodes nothing: no cut is looked up, so it could not tell whether two rows belong together.
`--entities` says how large the cut is. Without `redis-server` or its client the figures of Redis are not measured.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from _figures import Figure, report

from keelway.engines.sql.online import SqliteOnlineStore
from keelway.features import FeatureColumn, OnlineCut, OnlineStore, OnlineValue
from keelway.testing.online import online_cut

ENTITIES, READS, MANY = 200_000, 5_000, 100
FEATURES = tuple(FeatureColumn(f"f{number:02}", "numeric") for number in range(14))


def cut(entities: int) -> OnlineCut:
    """Return the record of a cut with fourteen numbers an entity."""
    missing = {feature.name: 0 for feature in FEATURES}
    return replace(online_cut(1, rows=entities), features=FEATURES, missing=missing)


def rows(entities: int) -> list[tuple[str, list[OnlineValue]]]:
    """Return the rows of a cut."""
    numbers = random.Random(0)
    return [(f"c{number:07}", [numbers.random() for _ in FEATURES]) for number in range(entities)]


def median_us(read: Callable[[Any], Any], asked: Sequence[Any]) -> float:
    """Return the median time of a read; a tenth of them warms up."""
    for each in asked[: len(asked) // 10]:
        read(each)
    times = []
    for each in asked:
        begun = time.perf_counter()
        read(each)
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e6


def figures(name: str, store: OnlineStore, entities: int, floor: Callable[[], Callable[[str], Any]]) -> list[Figure]:
    """Return the figures of one store.

    Args:
        floor: Returns a bare get, once the store is filled.
    """
    held, chosen = rows(entities), random.Random(1)
    begun = time.perf_counter()
    store.write(cut(entities), held)
    filled_s = time.perf_counter() - begun
    one = [held[chosen.randrange(entities)][0] for _ in range(READS)]
    many = [[held[chosen.randrange(entities)][0] for _ in range(MANY)] for _ in range(READS // 20)]
    bare = floor()
    assert bare(one[0])
    floor_us = median_us(bare, one)
    own_us = median_us(lambda entity: store.read("churn", [entity]), one)
    many_us = median_us(lambda entities: store.read("churn", entities), many)
    return [
        Figure(f"{name}: fill with {entities:,} rows of {len(FEATURES)}", entities / filled_s, "rows/s"),
        Figure(f"{name}: bare get, p50", floor_us, "us"),
        Figure(f"{name}: read one entity, p50", own_us, "us", "a bare get", own_us / floor_us),
        Figure(f"{name}: read {MANY} entities, p50", many_us, "us", f"{MANY} bare gets", many_us / (MANY * floor_us)),
    ]


def on_sqlite(folder: Path, entities: int) -> list[Figure]:
    """Return the figures of the embedded store."""
    path = folder / "online.db"

    def floor() -> Callable[[str], Any]:
        connection = sqlite3.connect(path, isolation_level=None)
        query = "SELECT vals FROM features WHERE number = 1 AND entity = ?"
        return lambda entity: connection.execute(query, (entity,)).fetchone()

    with closing(SqliteOnlineStore(path)) as store:
        return figures("SQLite", store, entities, floor)


def on_redis(folder: Path, entities: int) -> list[Figure]:
    """Return the figures of the store on a Redis server of this machine."""
    program = shutil.which("redis-server")
    try:
        import redis
    except ModuleNotFoundError:
        program = None
    if program is None:
        return [Figure("Redis: read one entity, p50", None, "redis-server or its client is not installed")]
    from keelway.engines.redis import RedisOnlineStore
    from keelway.testing.redis_server import running_redis

    with running_redis(program, folder) as server:
        client = redis.Redis(port=server.port, password=server.password)

        def floor() -> Callable[[str], Any]:
            return lambda entity: client.hget("bench:{churn}:rows:1", entity)

        with closing(RedisOnlineStore(server.url, prefix="bench", password=server.password)) as store:
            return figures("Redis", store, entities, floor)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--entities", type=int, default=ENTITIES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        report([*on_sqlite(place, arguments.entities), *on_redis(place, arguments.entities)], arguments.json)


if __name__ == "__main__":
    main()
