"""Writes decisions into the ledger, in the transaction that makes the change they tell of.

The bytes of a leaf are the canonical JSON of `{"decision": ..., "index": ...}`: the index makes every leaf
unique, so nobody can show one entry in the place of another. A decision that moves pointers is recorded after
they moved, and is refused when they do not stand where it says.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from keelway.core import Decision, Digest, canonical_json, digest_of, parse_json, plain, revive
from keelway.errors import IntegrityError, UsageError
from keelway.ledger.merkle import append, leaf_hash
from keelway.ledger.ports import Transaction


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """Where a decision stands in the ledger.

    Attributes:
        index: Its number, from 0.
        decision: Digest of the decision's record.
        leaf_hash: RFC 9162 hash of the leaf, in hexadecimal.
    """

    index: int
    decision: Digest
    leaf_hash: str


def record_decision(decision: Decision, *, tx: Transaction) -> LedgerEntry:
    """Append a decision to the ledger, inside the transaction of the change it tells of.

    Raises:
        UsageError: A pointer it says it moved does not stand where it says.
    """
    _must_have_moved(decision, tx)
    index = tx.log.size()
    data = leaf_bytes(decision, index)
    hashed = leaf_hash(data)
    tx.log.add_leaf(index, data, append(index, hashed, tx.log.nodes))
    digest = tx.insert(f"{index:012d}", decision, parent=decision.subject, at=decision.at)
    return LedgerEntry(index, digest, hashed.hex())


def decisions(tx: Transaction, *, start: int = 0) -> Iterator[tuple[int, Decision]]:
    """Yield the ledger's decisions with their index, in order, in bounded memory."""
    for index, data in tx.log.leaves(start):
        yield index, decision_in(data, index)


def entry_of(index: int, *, tx: Transaction) -> LedgerEntry:
    """Return where the decision with that index stands."""
    data = tx.log.leaf(index)
    return LedgerEntry(index, digest_of(decision_in(data, index)), leaf_hash(data).hex())


def leaf_bytes(decision: Decision, index: int) -> bytes:
    """Return the bytes of a decision's leaf."""
    return canonical_json({"decision": plain(decision), "index": index})


def leaf_of_text(text: str, index: int) -> bytes:
    """Return the bytes of the leaf of a decision that is given as canonical JSON."""
    return b'{"decision":%b,"index":%d}' % (text.encode(), index)


def decision_in(data: bytes, index: int) -> Decision:
    """Return the decision that a leaf holds.

    Raises:
        IntegrityError: The leaf is no decision, or belongs at another place.
    """
    import msgspec

    try:
        leaf = _decoder().decode(data)
    except msgspec.MsgspecError:
        return _explained(data, index)
    return leaf.decision if leaf.index == index else _explained(data, index)


def _explained(data: bytes, index: int) -> Decision:
    """Return the decision of a leaf that could not be read at once, or say what is wrong with it."""
    try:
        value = parse_json(data)
    except ValueError as error:
        raise IntegrityError(f"Ledger entry {index} is no JSON", found=str(error)) from error
    if not isinstance(value, dict) or value.keys() != {"decision", "index"}:
        raise IntegrityError(f"Ledger entry {index} is no decision", expected="decision and index")
    if value["index"] != index:
        raise IntegrityError("A ledger entry is out of place", expected=f"entry {index}", found=str(value["index"]))
    return revive(value["decision"], Decision)


@functools.cache
def _decoder() -> Any:
    """Return what reads a leaf, made when the first one is read."""
    import msgspec

    fields = [("decision", Decision), ("index", int)]
    return msgspec.json.Decoder(msgspec.defstruct("Leaf", fields, frozen=True, forbid_unknown_fields=True))


def _must_have_moved(decision: Decision, tx: Transaction) -> None:
    if decision.moves and not decision.allowed:
        raise UsageError("A refused decision moves nothing", expected="no moves", found=decision.moves[0].name)
    for move in decision.moves:
        held = tx.pointer(move.name)
        if held is None or held.target != move.after:
            raise UsageError(
                f"The decision says that {move.name} moved",
                expected=move.after,
                found=held.target if held else "no such pointer",
                fix="Move the pointer first, in the same transaction, then record the decision.",
            )
