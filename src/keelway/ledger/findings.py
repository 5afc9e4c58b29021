"""What an audit finds, and how exactly it can name the first bad entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Harm(StrEnum):
    """What was done to a ledger, as far as it can be told from what is left."""

    EDITED = "edited"  # an entry has other bytes than those it was stored with
    MISPLACED = "misplaced"  # an entry stands where another one stood
    MISSING = "missing"  # an entry is gone from the middle
    CUT = "cut"  # the last entries are gone, and traces of them are left
    RESTORED = "restored"  # the last entries are gone without a trace, as in a copy of an earlier day
    REWRITTEN = "rewritten"  # entries agree with themselves, but not with what was signed
    MOVES = "moves"  # an entry moves a pointer from where the entries before did not leave it
    FORKED = "forked"  # the signer signed two ledgers that cannot both be true
    RECORD = "record"  # an entry's record says something else, or is gone
    EVIDENCE = "evidence"  # what an entry rests on is gone or altered
    POINTER = "pointer"  # a pointer stands where no decision put it
    TREE = "tree"  # stored hashes do not fit the entries
    CHECKPOINT = "checkpoint"  # a checkpoint cannot be believed


_ABOUT_STATE = {Harm.POINTER, Harm.TREE, Harm.CHECKPOINT}
"""Harms that lie beside the entries: they name one only where nothing else does."""
_SIGNED = {Harm.REWRITTEN, Harm.FORKED}
"""Harms whose first entry is the end of what is as it was signed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold.

    Attributes:
        harm: What kind of thing.
        what: A sentence that says what is wrong.
        first: The first entry that may be bad, or None where no entry can be named.
        last: The last that may be the first bad one; the same as `first` where the entry is certain.
    """

    harm: Harm
    what: str
    first: int | None = None
    last: int | None = None


def span(findings: Sequence[Finding]) -> tuple[int, int] | None:
    """Return the first and the last entry that may be the first bad one; None where no entry can be named.

    An entry that is certainly bad explains what was signed around it. Brackets narrow each other: nothing is wrong before
    the last checkpoint that agrees, and something is up to the end of the shortest one.

    >>> span([Finding(Harm.REWRITTEN, "", 4, 8), Finding(Harm.EDITED, "", 6, 6)])
    (6, 6)
    >>> span([Finding(Harm.REWRITTEN, "", 4, 8), Finding(Harm.EDITED, "", 9, 9)])
    (4, 8)
    >>> span([Finding(Harm.REWRITTEN, "", 4, 8), Finding(Harm.MOVES, "", 5, 6)])
    (4, 6)
    """
    named = [
        (each.harm, each.first, each.last) for each in findings if each.first is not None and each.last is not None
    ]
    entries = [each for each in named if each[0] not in _ABOUT_STATE]
    if not entries:
        return min((each[1:] for each in named), default=None)
    certain = min((first for _, first, last in entries if first == last), default=None)
    vague = [each for each in entries if each[1] < each[2]]
    end = min((last for _, _, last in vague), default=None)
    if end is None or (certain is not None and certain <= end):
        assert certain is not None
        return certain, certain
    signed = [first for harm, first, _ in vague if harm in _SIGNED and first <= end]
    return max(signed, default=min(first for _, first, last in vague if last == end)), end
