"""Counts approvals by role: each person fills one seat, and each right to approve is used once.

Somebody with two roles can take the seat of either, never both; so what is missing is found by matching people to
seats, not by counting each role alone.

>>> empty_seats({"approver": 1, "risk-owner": 1}, [("approver", "risk-owner")])
{'risk-owner': 1}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keelway.promote.record import Approval


def empty_seats(seats: Mapping[str, int], holders: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return how many seats of each role stay empty when as many as possible are taken.

    Args:
        seats: How many people of each role are needed.
        holders: The roles of each person who approved.
    """
    chairs = [role for role in sorted(seats) for _ in range(seats[role])]
    taken: dict[int, int] = {}

    def seated(holder: int, tried: set[int]) -> bool:
        for chair, role in enumerate(chairs):
            if chair not in tried and role in holders[holder]:
                tried.add(chair)
                if chair not in taken or seated(taken[chair], tried):
                    taken[chair] = holder
                    return True
        return False

    for holder in range(len(holders)):
        seated(holder, set())
    empty = [role for chair, role in enumerate(chairs) if chair not in taken]
    return {role: empty.count(role) for role in sorted(set(empty))}


def one_a_right(approvals: Sequence[Approval]) -> list[Approval]:
    """Return one approval for each right that was used: the owner's own, or else the first of their delegates."""
    chosen: dict[str, Approval] = {}
    for approval in sorted(approvals, key=lambda one: (one.on_behalf_of is not None, one.at, one.principal)):
        chosen.setdefault(approval.right_of, approval)
    return [chosen[name] for name in sorted(chosen)]
