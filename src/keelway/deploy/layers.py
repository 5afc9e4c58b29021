"""Which experiment an entity is in, and which arm: always the same one, and as few as possible change when shares do.

An entity falls into one of 10,000 buckets by a salted hash, and an allocation says which arm holds which buckets. The
experiments of one layer hold different buckets of it, so an entity is in at most one of them. Layers have salts of their
own, so that who is in which experiment of one tells nothing about another.

>>> prices = Layer.of("prices", {"discount": 30, "bundle": 20})   # half of the entities are in no experiment
>>> prices.experiment_of("customer 7") in {"discount", "bundle", None}
True
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from keelway.deploy.buckets import BUCKETS, bucket_of
from keelway.errors import UsageError

NOBODY = ""
"""The holder of the buckets that no experiment of a layer has."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """Who holds which buckets.

    Attributes:
        salt: Makes the buckets of an entity differ between allocations.
        starts: The first bucket of each run, ascending from 0.
        holders: Who holds each run.
    """

    salt: str
    starts: tuple[int, ...]
    holders: tuple[str, ...]

    @classmethod
    def of(cls, shares: Mapping[str, float], *, salt: str) -> Allocation:
        """Return the allocation that gives arms their shares, in the order given, from the lowest bucket on.

        Raises:
            UsageError: There is no share, or one is negative or not finite.
        """
        counts = _buckets(shares)
        return _of_table([arm for arm, count in counts.items() for _ in range(count)], salt)

    def holder_of(self, entity: str) -> str:
        """Return who holds the bucket of an entity."""
        return self.holders[bisect_right(self.starts, bucket_of(entity, self.salt)) - 1]

    def counts(self) -> dict[str, int]:
        """Return how many buckets each one holds."""
        found: Counter[str] = Counter()
        for start, stop, holder in zip(self.starts, (*self.starts[1:], BUCKETS), self.holders, strict=True):
            found[holder] += stop - start
        return dict(found)

    def changed(self, shares: Mapping[str, float]) -> Allocation:
        """Return the allocation with other shares that moves the fewest buckets.

        Who grows takes what who shrinks gives up: the highest buckets of those listed before, the lowest of those listed
        after. So a canary that is listed first grows and shrinks at its upper end, as `assign` has it.
        """
        wanted, order = _buckets(shares), list(shares)
        table = [holder for holder, count in self._runs() for _ in range(count)]
        held = Counter(table)
        for taker in order:
            for giver in sorted(held, key=lambda name: _near(name, taker, order)):
                moving = min(wanted[taker] - held[taker], held[giver] - wanted.get(giver, 0))
                if moving > 0:
                    places = [place for place, holder in enumerate(table) if holder == giver]
                    before = giver in order and order.index(giver) < order.index(taker)
                    for place in places[-moving:] if before else places[:moving]:
                        table[place] = taker
                    held[giver] -= moving
                    held[taker] += moving
        return _of_table(table, self.salt)

    def _runs(self) -> list[tuple[str, int]]:
        stops = (*self.starts[1:], BUCKETS)
        return [(holder, stop - start) for start, stop, holder in zip(self.starts, stops, self.holders, strict=True)]


@dataclass(frozen=True, slots=True)
class Layer:
    """Experiments that exclude each other.

    Attributes:
        name: Of the layer; layers with different names are independent.
        allocation: Which experiment holds which buckets.
    """

    name: str
    allocation: Allocation

    @classmethod
    def of(cls, name: str, experiments: Mapping[str, float]) -> Layer:
        """Return a layer whose experiments get these percent of the entities each; the rest is in none.

        Raises:
            UsageError: The percents exceed 100.
        """
        return cls(name, Allocation.of(_with_rest(experiments), salt=f"layer/{name}"))

    def experiment_of(self, entity: str) -> str | None:
        """Return the experiment that an entity is in, or None."""
        return self.allocation.holder_of(entity) or None

    def changed(self, experiments: Mapping[str, float]) -> Layer:
        """Return the layer with other experiments; those that stay as large keep all their entities."""
        return Layer(self.name, self.allocation.changed(_with_rest(experiments)))

    def arms_of(self, experiment: str, shares: Mapping[str, float]) -> Allocation:
        """Return how the entities of an experiment are split between its arms, independently of the layer's buckets."""
        return Allocation.of(shares, salt=f"layer/{self.name}/{experiment}")


def _with_rest(experiments: Mapping[str, float]) -> dict[str, float]:
    rest = 100 - math.fsum(experiments.values())
    if not rest >= 0 or NOBODY in experiments:
        raise UsageError(
            "A layer has no room", expected="named experiments, 100 % in all", found=str(dict(experiments))
        )
    return {**experiments, NOBODY: rest}


def _buckets(shares: Mapping[str, float]) -> dict[str, int]:
    """Return how many buckets each share is, by the largest remainders, so that all of them are held."""
    total = math.fsum(shares.values())
    if not (math.isfinite(total) and total > 0 and min(shares.values()) >= 0):
        raise UsageError("These are no shares", expected="numbers of 0 or more, not all 0", found=str(dict(shares)))
    exact = {arm: share / total * BUCKETS for arm, share in shares.items()}
    counts = {arm: math.floor(each + 1e-9) for arm, each in exact.items()}
    short = BUCKETS - sum(counts.values())
    for arm in sorted(exact, key=lambda name: counts[name] - exact[name])[:short]:
        counts[arm] += 1
    return counts


def _near(giver: str, taker: str, order: list[str]) -> int:
    """Return how far apart two arms are listed; what is no longer listed gives first."""
    return abs(order.index(giver) - order.index(taker)) if giver in order else 0


def _of_table(table: list[str], salt: str) -> Allocation:
    """Return the allocation that a list of holders by bucket is."""
    starts, holders, at = [], [], 0
    for holder, run in groupby(table):
        starts.append(at)
        holders.append(holder)
        at += len(list(run))
    return Allocation(salt, tuple(starts), tuple(holders))
