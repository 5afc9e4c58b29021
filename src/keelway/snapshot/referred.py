"""Looks which digests records refer to, other than by making versions of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, Digest, parse_json, references
from keelway.snapshot.expire import DoomedFile, ExpiredSnapshot
from keelway.snapshot.manifest import Snapshot

if TYPE_CHECKING:
    from keelway.ledger.ports import Transaction

_MAKING = ("CheckedBatch", DoomedFile.__name__, ExpiredSnapshot.__name__, "RemovedCopy", Snapshot.__name__, "Vacuum")
"""Records that name versions and rows because they are, or made, or ended versions."""
_MAKING_ACTIONS = (Action.SNAPSHOT, Action.COMPACT, Action.VACUUM)


def referred(digests: Collection[Digest], tx: Transaction) -> set[Digest]:
    """Return those of `digests` that a record refers to: a run, a model, a tag, a decision, whatever there is."""
    wanted = set(digests)
    found: set[Digest] = set()
    if not wanted:
        return found
    for kind, text in tx.naming(wanted, besides=_MAKING):
        value = parse_json(text.encode())
        if kind == Decision.__name__ and value["action"] in _MAKING_ACTIONS:
            continue
        found |= wanted.intersection(references(value))
    return found
