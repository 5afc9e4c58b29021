"""Tags: names that people give to versions, and that keep them for good.

A tag is a pointer, so it is moved only by compare-and-swap and every move is in the ledger. A version that ever had a
tag is kept: the record and the decision go on referring to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, Digest, PointerMove, PrincipalId, checked_name, digest_of, short
from keelway.errors import ConflictError, UsageError
from keelway.ledger import record_decision
from keelway.snapshot.expire import must_be_kept
from keelway.snapshot.manifest import Snapshot

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore, Transaction

NEWEST = "newest"
"""The word for the newest version, which is no name for a tag."""


@dataclass(frozen=True, slots=True)
class SnapshotTag:
    """One time that a tag was set.

    Attributes:
        snapshot: Digest of the snapshot's record.
        number: The snapshot's number.
        turn: Counts how often this tag was set, from 1.
    """

    dataset: str
    name: str
    snapshot: Digest
    number: int
    turn: int
    tagged_at: datetime
    by: PrincipalId


def tag(
    snapshot: Snapshot,
    name: str,
    *,
    state: StateStore,
    now: datetime,
    actor: PrincipalId,
    move: bool = False,
    comment: str = "",
) -> SnapshotTag:
    """Give a version a tag; the same tag on the same version again changes nothing.

    Args:
        move: Whether a tag that another version has may be taken from it.

    Raises:
        ConflictError: Another version has the tag.
        MissingRecordError: The version was expired.
    """
    digest = digest_of(snapshot)
    pointer = tag_pointer(snapshot.dataset, _checked_tag(name))
    with state.transaction() as tx:
        must_be_kept([digest], tx)
        held = tx.pointer(pointer)
        before = tx.by_digest(SnapshotTag, held.target) if held else None
        if before is not None and before.snapshot == digest:
            return before
        if before is not None and not move:
            raise ConflictError(
                f"Another version of {snapshot.dataset} is tagged {name}",
                expected=f"a free tag, or version {snapshot.number}",
                found=f"version {before.number}",
                fix="Move it with --move, or take another name.",
            )
        turn = before.turn + 1 if before else 1
        made = SnapshotTag(snapshot.dataset, name, digest, snapshot.number, turn, now, actor)
        told = comment or f"{name}: version {snapshot.number} ({short(snapshot.snapshot_id)})"
        _set(made, held.target if held else None, comment=told, tx=tx)
    return made


def tags(dataset: str, tx: Transaction) -> list[SnapshotTag]:
    """Return where the tags of a dataset stand, by name."""
    return [tx.by_digest(SnapshotTag, held.target) for held in tx.pointers(prefix=tag_pointer(dataset, ""))]


def _set(made: SnapshotTag, before: Digest | None, *, comment: str, tx: Transaction) -> None:
    """Write a tag down, move its pointer and record the decision."""
    record = tx.insert(f"{made.dataset}/{made.name}/{made.turn:06d}", made, parent=made.dataset, at=made.tagged_at)
    change = PointerMove(tag_pointer(made.dataset, made.name), before, record)
    tx.move(change.name, before=change.before, after=change.after, at=made.tagged_at)
    decision = Decision(
        action=Action.TAG,
        subject=made.dataset,
        allowed=True,
        principal=made.by,
        at=made.tagged_at,
        evidence={"tag": record, "snapshot": made.snapshot},
        moves=(change,),
        comment=comment,
    )
    record_decision(decision, tx=tx)


def tag_pointer(dataset: str, name: str) -> str:
    """Return the name of a tag's pointer."""
    return f"tag/{dataset}/{name}"


def looks_like_id(text: str) -> bool:
    """Say whether a text could be the start of an id.

    >>> looks_like_id("deadbeef"), looks_like_id("decade"), looks_like_id("2026-q1")
    (True, False, False)
    """
    return len(text) >= 8 and all(character in "0123456789abcdef" for character in text)


def _checked_tag(name: str) -> str:
    checked_name(name, what="tag")
    if name == NEWEST or looks_like_id(name):
        raise UsageError(
            "This is not a name for a tag", expected="a word that is no id and not `newest`", found=repr(name)
        )
    return name
