"""Decides whether what several clients saw has one explanation: the order in which the ledger tells it.

Each client writes down when it began an operation, when it was told the outcome, and what that was. The ledger claims a
total order of all changes. The claim holds when every acknowledged change is in it exactly once, when nothing is in it
that nobody asked for, when no change stands before one that had ended before it began, and when every read shows
exactly what the entries before some point of that order lead to. That is linearizability with the witness given, so
that checking it takes one pass and no search.

>>> entry = Entry(0, "a", True, ())
>>> check([Operation("a", "promote", 1, 2, "done")], [entry])
[]
>>> check([Operation("a", "promote", 1, 2, "done")], [])
['a: promote was acknowledged, and the ledger has it 0 times']
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["done", "refused", "conflict", "nothing", "read", "killed"]
ENTRIES: dict[Outcome, tuple[int, ...]] = {
    "done": (1,),
    "refused": (1,),
    "conflict": (0,),
    "nothing": (0,),
    "killed": (0, 1),
}
"""How often the ledger may have an operation that ended so."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What one client knows of one operation.

    Attributes:
        name: Its own among all clients; the ledger's entry names it.
        began: The machine's monotonic clock, in nanoseconds.
        ended: When the outcome was told; infinite for one that never was.
        size: Of a read: how many entries the ledger had.
        pointers: Of a read: what every pointer held.
    """

    name: str
    kind: str
    began: float
    ended: float
    outcome: Outcome
    size: int = 0
    pointers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger tells of one operation.

    Attributes:
        moves: Pointers that it moved: name, value before (None where it was never set), value after.
    """

    index: int
    name: str
    allowed: bool
    moves: tuple[tuple[str, str | None, str], ...]


def check(operations: Sequence[Operation], entries: Sequence[Entry]) -> list[str]:
    """Return everything that contradicts the ledger's order; nothing where it explains all that was seen."""
    known = {operation.name: operation for operation in operations}
    ordered = [known[entry.name] for entry in entries if entry.name in known]
    faults = [f"entry {entry.index}: nobody asked for {entry.name!r}" for entry in entries if entry.name not in known]
    faults += _counted(operations, entries)
    faults += _timely(ordered)
    states, broken = _replayed(entries)
    return faults + broken + _reads(operations, ordered, states)


def _counted(operations: Sequence[Operation], entries: Sequence[Entry]) -> list[str]:
    """Compare how an operation ended with the entries that tell of it."""
    times = Counter(entry.name for entry in entries)
    allowed = {entry.name: entry.allowed for entry in entries}
    faults = []
    for each in operations:
        if each.outcome == "read":
            continue
        if times[each.name] not in ENTRIES[each.outcome]:
            told = "was acknowledged" if each.outcome in ("done", "refused") else f"ended as {each.outcome}"
            faults.append(f"{each.name}: {each.kind} {told}, and the ledger has it {times[each.name]} times")
        elif each.outcome in ("done", "refused") and allowed[each.name] != (each.outcome == "done"):
            faults.append(f"{each.name}: {each.kind} was {each.outcome}, and the ledger says otherwise")
    return faults


def _timely(ordered: Sequence[Operation]) -> list[str]:
    """Find changes that stand before one which had ended before they began."""
    faults = []
    earliest, whose = math.inf, ""
    for each in reversed(ordered):
        if earliest < each.began:
            faults.append(f"{each.name}: stands before {whose}, which had ended before it began")
        if each.ended < earliest:
            earliest, whose = each.ended, each.name
    return faults


def _replayed(entries: Sequence[Entry]) -> tuple[list[dict[str, str]], list[str]]:
    """Return the pointers after each number of entries, and the moves that do not fit those before them."""
    pointers: dict[str, str] = {}
    states, faults = [pointers], []
    for entry in entries:
        pointers = dict(pointers) if entry.moves else pointers
        for name, before, after in entry.moves:
            if pointers.get(name) != before:
                faults.append(f"entry {entry.index}: moves {name} from {before}, which held {pointers.get(name)}")
            pointers[name] = after
        states.append(pointers)
    return states, faults


def _reads(
    operations: Sequence[Operation], ordered: Sequence[Operation], states: Sequence[Mapping[str, str]]
) -> list[str]:
    """Find reads that no point of the order explains, and those that came too early or too late for their point."""
    ends = sorted((each.ended, place) for place, each in enumerate(ordered))
    latest = _running_max([place for _, place in ends])
    begins = sorted((each.began, place) for place, each in enumerate(ordered))
    soonest = _running_max([-place for _, place in reversed(begins)])[::-1]
    faults = []
    for each in operations:
        if each.outcome != "read":
            continue
        if each.size >= len(states) or each.pointers != states[each.size]:
            faults.append(f"{each.name}: read what {each.size} entries do not lead to")
            continue
        before = bisect.bisect_left(ends, (each.began, -1))
        if before and latest[before - 1] >= each.size:
            faults.append(f"{each.name}: did not read {ordered[latest[before - 1]].name}, acknowledged before it")
        after = bisect.bisect_right(begins, (each.ended, len(ordered)))
        if after < len(begins) and -soonest[after] < each.size:
            faults.append(f"{each.name}: read {ordered[-soonest[after]].name}, which began after it")
    return faults


def _running_max(numbers: Sequence[int]) -> list[int]:
    found: list[int] = []
    for number in numbers:
        found.append(max(number, found[-1]) if found else number)
    return found
