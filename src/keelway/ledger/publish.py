"""Publishes checkpoints outside the database, and reads them back.

A target keeps small texts under names that are never overwritten. Each publication adds two of them:

    000000000042-1f0c5a7be2d49c03.leaves    the hashes of the entries since the checkpoint before
    000000000042-1f0c5a7be2d49c03.note      the checkpoint, a signed note

The number is the size of the ledger, the other part comes from the digest of the note, so that two checkpoints of one
size stand side by side, as they would after a fork. The hashes need no signature: they lead from the root before to the
root that is signed, or they are not believed. They are what lets an audit name the one entry that was changed, where the
whole ledger was written anew.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from keelway.errors import IntegrityError, KeelwayError
from keelway.ledger.checkpoint import Checkpoint, decoded, must_extend, read_note, sign_checkpoint, verify_checkpoint
from keelway.ledger.keys import PublicKey, SigningKey
from keelway.ledger.merkle import leaf_hash
from keelway.ledger.ports import CheckpointTarget, Log

NOTE, LEAVES = ".note", ".leaves"
LEAVES_TITLE = "keelway-leaf-hashes/v1"
_NAME = re.compile(r"\d{12}(-[0-9a-f]{16}\.note)?")


@dataclass(frozen=True, slots=True)
class PublishedLeaves:
    """The hashes of the entries between two checkpoints, as they were published; not to be believed by themselves.

    Attributes:
        start: The number of the first entry.
        hashes: RFC 9162 leaf hashes, one after the other.
    """

    start: int
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Publication:
    """What came of publishing to one target.

    Attributes:
        where: The target.
        size: How many entries its newest checkpoint speaks of now; None where it could not be asked.
        written: Whether a checkpoint was added.
        failed: Why it could not be, or empty.
    """

    where: str
    size: int | None
    written: bool
    failed: str = ""


def publish_checkpoint(
    log: Log, *, origin: str, key: SigningKey, targets: Iterable[CheckpointTarget]
) -> tuple[Checkpoint, tuple[Publication, ...]]:
    """Sign a checkpoint and add it to every target; a target that fails does not keep the others from getting it.

    Raises:
        IntegrityError: The log no longer agrees with the newest checkpoint of a target; nothing is published then.
    """
    checkpoint = sign_checkpoint(log, origin=origin, key=key)
    newest: list[tuple[CheckpointTarget, Checkpoint | None, str]] = []
    for target in targets:
        try:
            before, failed = newest_note(target, key=key.public), ""
        except IntegrityError:
            raise
        except KeelwayError as error:
            before, failed = None, str(error)
        if before is not None:
            must_extend(before, log, size=checkpoint.size)
        newest.append((target, before, failed))
    places = [
        Publication(target.where, None, False, failed) if failed else _add(target, before, checkpoint, log)
        for target, before, failed in newest
    ]
    return checkpoint, tuple(places)


def newest_note(target: CheckpointTarget, *, key: PublicKey) -> Checkpoint | None:
    """Return the checkpoint of the longest ledger at a target, or None where there is none."""
    names = note_names(target)
    return verify_checkpoint(target.get(names[-1]), key=key) if names else None


def note_names(target: CheckpointTarget) -> list[str]:
    """Return the names of the notes at a target, smallest ledger first."""
    return sorted(name for name in target.names() if _NAME.fullmatch(name))


def published_notes(target: CheckpointTarget) -> Iterator[tuple[str, str]]:
    """Yield name and text of every note at a target, smallest ledger first; nothing is checked."""
    for name in note_names(target):
        yield name, target.get(name)


def published_leaves(target: CheckpointTarget, note_name: str) -> PublishedLeaves | None:
    """Return the hashes that were published with a note, or None where there are none.

    Raises:
        IntegrityError: They are malformed.
    """
    name = note_name.removesuffix(NOTE) + LEAVES
    if name not in target.names():
        return None
    lines = target.get(name).removesuffix("\n").split("\n")
    if lines[0] != LEAVES_TITLE or len(lines) < 2 or not lines[1].isdecimal():
        raise IntegrityError("Published leaf hashes are malformed", expected=LEAVES_TITLE, found=repr(lines[0][:40]))
    return PublishedLeaves(int(lines[1]), tuple(decoded(line, "leaf hash") for line in lines[2:]))


def note_name(text: str) -> str:
    """Return the name that a note is published under."""
    size = read_note(text)[0].size
    return f"{size:012d}-{hashlib.sha256(text.encode()).hexdigest()[:16]}{NOTE}"


def _add(target: CheckpointTarget, before: Checkpoint | None, checkpoint: Checkpoint, log: Log) -> Publication:
    """Add a checkpoint to a target: first the hashes, so that no note is without them."""
    if before is not None and before.size == checkpoint.size:
        return Publication(target.where, before.size, False)
    name = note_name(checkpoint.text)
    try:
        start = before.size if before is not None else 0
        target.put(name.removesuffix(NOTE) + LEAVES, "".join(_leaf_lines(log, start, checkpoint.size)))
        target.put(name, checkpoint.text)
    except KeelwayError as error:
        return Publication(target.where, before.size if before else None, False, str(error))
    return Publication(target.where, checkpoint.size, True)


def _leaf_lines(log: Log, start: int, end: int) -> Iterator[str]:
    yield f"{LEAVES_TITLE}\n{start}\n"
    for _, data in log.leaves(start, end):
        yield base64.b64encode(leaf_hash(data)).decode() + "\n"
