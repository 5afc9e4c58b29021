"""Connections that ask for one entity after the other at a steady pace, and note who answered whom.

load = EntityLoad(port, "steps", records, entities=4000, per_s=400)
load.start(); ...; load.stop()
load.seen    # every answer: when it was asked for and came, in seconds since 1970, its version, arm and entity
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from _watching_load import WatchingLoad


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer, as the caller saw it; times are seconds since 1970."""

    asked: float
    came: float
    version: str
    arm: str
    entity: str


class EntityLoad(WatchingLoad):
    """Asks one model for one row at a time; entities come back in the same order, again and again."""

    def __init__(
        self,
        port: int,
        model: str,
        records: Sequence[Mapping[str, Any]],
        *,
        entities: int,
        per_s: float,
        connections: int = 16,
    ) -> None:
        rows = zip((f"e{number:06}" for number in range(entities)), itertools.cycle(records), strict=False)
        bodies = [json.dumps({"entity": entity, "features": features}) for entity, features in rows]
        super().__init__(port, bodies, connections=connections, path=f"/models/{model}/predict")
        self.model = model
        self._places = itertools.count()
        self._per_s = per_s
        self._begun = time.monotonic()
        self.seen: list[Seen] = []

    @property
    def errors_so_far(self) -> int:
        """How many requests had no answer of status 200."""
        return len(self.errors) + self.refused

    def median_s(self, version: str) -> float:
        """Return how long a caller waited for this version, as the median of its last answers."""
        return statistics.median(one.came - one.asked for one in self.of(version)[-500:])

    def of(self, *versions: str) -> list[Seen]:
        """Return what these versions answered."""
        return [one for one in list(self.seen) if one.version in versions]

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        due = self._begun + next(self._places) / self._per_s
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        asked = time.time()
        told = await self._exchange(reader, writer, next(self._bodies))
        if told is not None:
            self.seen.append(Seen(asked, time.time(), told["version"], told["arm"], told["entity"]))


class Purchases:
    """What entities buy after an answer in a trial, by the version that gave it; each time they come they may buy again.

    A bandit judges by what entities do after their first answer since its shares were drawn: who bought only once in a life
    would never do so again, and every arm would look as bad as the others.
    """

    def __init__(self, load: EntityLoad, chances: Mapping[int, float]) -> None:
        self._load, self._chances = load, chances
        self._read = 0
        self._visits: Counter[str] = Counter()
        self._waiting: list[tuple[float, str]] = []

    def csv(self, until: float) -> str:
        """Return what was bought since the last time, up to a moment, in seconds since 1970."""
        seen = self._load.seen
        end = len(seen)
        for one in seen[self._read : end]:
            if one.arm != "stable":
                self._visits[one.entity] += 1
                drawn = random.Random(f"{one.entity}/{self._visits[one.entity]}").random()
                if drawn < self._chances[int(one.version.partition(":")[2])]:
                    self._waiting.append((one.came + 0.5, one.entity))
        self._read = end
        told = [each for each in self._waiting if each[0] <= until]
        self._waiting = [each for each in self._waiting if each[0] > until]
        lines = [f"{entity},{datetime.fromtimestamp(at, UTC).isoformat()},1" for at, entity in told]
        return "\n".join(["entity,event_time,amount", *lines]) + "\n"


def turned_away(seen: Iterable[Seen], version: str, *, until: float) -> int:
    """Return how many answers another version gave, up to a moment, to an entity that had seen this one before."""
    known: set[str] = set()
    wrong = 0
    for one in sorted(seen, key=lambda each: each.asked):
        if one.version == version:
            known.add(one.entity)
        elif one.entity in known and one.asked < until:
            wrong += 1
    return wrong


def in_both(left: Iterable[Seen], right: Iterable[Seen]) -> set[str]:
    """Return the entities that were in a trial of two models at once: in any arm but `stable`."""
    one, two = ({each.entity for each in seen if each.arm != "stable"} for seen in (left, right))
    return one & two


def last_asked(seen: Iterable[Seen], versions: Sequence[str], *, after: float) -> float:
    """Return how long after a moment the last request was sent that one of these versions answered; 0 without any."""
    return max((one.asked - after for one in seen if one.version in versions and one.asked > after), default=0.0)
