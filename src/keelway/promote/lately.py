"""Reads records newest first and no more of them than are looked at: doors that see thousands of promotions stay quick.

What is decided by an order (the last answer, the present admission) takes the order of writing, which a clock that is
set back does not change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from keelway.ledger.ports import Transaction

T = TypeVar("T")
_FIRST, _MORE = 4, 8


def newest_first(kind: type[T], *, parent: str, tx: Transaction) -> Iterator[T]:
    """Yield the records of a class and parent, newest first, in pieces that grow."""
    seen, limit = 0, _FIRST
    while True:
        found = tx.newest(kind, parent=parent, limit=limit)
        yield from found[seen:]
        if len(found) < limit:
            return
        seen, limit = limit, limit * _MORE


def last_first(kind: type[T], *, parent: str, tx: Transaction) -> Iterator[T]:
    """Yield the records under the keys `PARENT/NUMBER`, the last written first, whatever their times say."""
    for number in range(tx.count(kind, parent=parent), 0, -1):
        found = tx.find(kind, f"{parent}/{number}")
        if found is not None:
            yield found
