"""The checker of histories finds what is wrong with one, and nothing wrong with one that some order explains."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.testing.history import Entry, Operation, check

A = Operation("a", "promote", 1, 2, "done")
B = Operation("b", "promote", 3, 4, "done")
READ = Operation("r", "read", 5, 6, "read", size=2, pointers={"p": "2"})
FIRST, SECOND = Entry(0, "a", True, (("p", None, "1"),)), Entry(1, "b", True, (("p", "1", "2"),))


def lived(seed: int, clients: int = 4, turns: int = 40) -> tuple[list[Operation], list[Entry]]:
    """Return a history as a correct store makes it: each operation takes effect at some moment between its ends."""
    dice = random.Random(seed)
    spans = []
    for client in range(clients):
        clock = 0.0
        for turn in range(turns):
            began = clock + dice.random()
            clock = began + dice.random() * 3
            spans.append((dice.uniform(began, clock), f"{client}.{turn}", began, clock))
    operations, entries, pointers = [], [], {}
    for _, name, began, ended in sorted(spans):
        kind = dice.choice(["read", "done", "done", "refused", "conflict", "killed"])
        if kind == "read":
            operations.append(Operation(name, "read", began, ended, "read", len(entries), dict(pointers)))
            continue
        operations.append(Operation(name, "write", began, math.inf if kind == "killed" else ended, kind))
        if kind == "conflict" or (kind == "killed" and dice.random() < 0.5):
            continue
        moves = ()
        if kind != "refused":
            pointer = dice.choice("pq")
            moves = ((pointer, pointers.get(pointer), name),)
            pointers[pointer] = name
        entries.append(Entry(len(entries), name, kind != "refused", moves))
    return operations, entries


@given(st.integers(0, 10_000))
def test_what_a_correct_store_does_is_explained(seed: int) -> None:
    operations, entries = lived(seed)
    random.Random(seed).shuffle(operations)
    assert check(operations, entries) == []


@pytest.mark.parametrize(
    ("operations", "entries", "told"),
    [
        ([A, B], [FIRST], "b: promote was acknowledged, and the ledger has it 0 times"),
        ([A], [FIRST, SECOND], "nobody asked for 'b'"),
        ([A, B], [FIRST, SECOND, replace(SECOND, index=2, moves=())], "the ledger has it 2 times"),
        ([replace(A, outcome="conflict"), B], [FIRST, SECOND], "ended as conflict, and the ledger has it 1 times"),
        ([replace(A, outcome="nothing"), B], [FIRST, SECOND], "ended as nothing"),
        ([replace(A, outcome="refused"), B], [FIRST, SECOND], "was refused, and the ledger says otherwise"),
        ([A, B], [replace(FIRST, allowed=False), SECOND], "was done, and the ledger says otherwise"),
        ([replace(A, began=5, ended=6), B], [FIRST, SECOND], "stands before b, which had ended before it began"),
        ([A, B], [FIRST, replace(SECOND, moves=(("p", "9", "2"),))], "moves p from 9, which held 1"),
        ([A, B, replace(READ, pointers={"p": "1"})], [FIRST, SECOND], "read what 2 entries do not lead to"),
        ([A, B, replace(READ, pointers={"p": "2", "q": "1"})], [FIRST, SECOND], "read what 2 entries"),
        ([A, B, replace(READ, size=7)], [FIRST, SECOND], "read what 7 entries"),
        ([A, B, replace(READ, size=1, pointers={"p": "1"})], [FIRST, SECOND], "did not read b, acknowledged before"),
        ([A, B, replace(READ, began=2, ended=2.5)], [FIRST, SECOND], "read b, which began after it"),
    ],
    ids=["lost", "unknown", "twice", "a loser's", "of nothing", "let in", "kept out", "late", "torn", "stale champion",
         "two champions", "of the future", "stale", "early"],
)  # fmt: skip
def test_what_no_order_explains_is_told(operations: list[Operation], entries: list[Entry], told: str) -> None:
    assert told in "; ".join(check(operations, entries))


def test_a_killed_operation_may_have_happened_or_not() -> None:
    killed = replace(B, ended=math.inf, outcome="killed")
    assert check([A, killed, READ], [FIRST, SECOND]) == []
    assert check([A, killed], [FIRST]) == []


@given(st.integers(0, 10_000), st.data())
def test_an_entry_that_goes_missing_or_changes_places_is_found(seed: int, data: st.DataObject) -> None:
    operations, entries = lived(seed)
    moved = [(place, entry.moves[0][0]) for place, entry in enumerate(entries) if entry.moves]
    chosen, pointer = data.draw(st.sampled_from(moved[: len(moved) // 2]))
    following = next(place for place, other in moved if place > chosen and other == pointer)
    swapped = list(entries)
    swapped[chosen], swapped[following] = swapped[following], swapped[chosen]
    assert check(operations, swapped)
    assert check(operations, entries[:chosen] + entries[chosen + 1 :])
