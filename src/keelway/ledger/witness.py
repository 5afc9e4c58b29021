"""Witnesses: others who sign checkpoints too, after they have seen that each extends the one before.

A witness remembers the last checkpoint that it signed of a log, asks for a proof that the next one extends it, and adds a
line to the note: a C2SP `cosignature/v1`, which says when. Whoever asks for the lines of witnesses he trusts cannot be
shown one ledger while others are shown another.

What is handed to a witness is the request of C2SP tlog-witness:

    old 20
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=

    keelway.example/churn
    42
    ...
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from keelway.errors import IntegrityError, UsageError
from keelway.ledger.checkpoint import Checkpoint, decoded, read_note, verify_checkpoint, verify_extension
from keelway.ledger.keys import PublicKey, SigningKey, write_atomically
from keelway.ledger.merkle import consistency_proof
from keelway.ledger.ports import Log

_COSIGNATURE = b"\x04"  # Ed25519 cosignatures in C2SP signed notes
_TITLE = "cosignature/v1"
_BLOB = struct.Struct(">4sQ64s")  # hash of the key, seconds since 1970, signature


@dataclass(frozen=True, slots=True)
class Quorum:
    """How many of some witnesses have to have signed a checkpoint.

    Attributes:
        keys: The witnesses that are trusted.
        needed: How many of them it takes; 0 asks for none.
    """

    keys: tuple[PublicKey, ...] = ()
    needed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.needed <= len({key.raw for key in self.keys}):
            raise UsageError(
                "So many witnesses can never sign",
                expected=f"0 to {len(self.keys)} witnesses, as many as have a key here",
                found=str(self.needed),
            )

    @property
    def names(self) -> str:
        """The names of the witnesses."""
        return ", ".join(key.name for key in self.keys)

    def is_met(self, text: str) -> bool:
        """Say whether enough witnesses signed a note; a line that does not hold counts for nothing."""
        try:
            self.must_hold(text)
        except IntegrityError:
            return False
        return True

    def must_hold(self, text: str) -> None:
        """Check that enough witnesses signed a note.

        Raises:
            IntegrityError: They did not, or a line of theirs was altered.
        """
        if not self.needed:
            return
        signed = [key.name for key in self.keys if cosigned_at(text, key=key) is not None]
        if len(signed) < self.needed:
            raise IntegrityError(
                "Too few witnesses signed the checkpoint",
                expected=f"{self.needed} of {self.names}",
                found=", ".join(signed) or "none",
                fix="Have it witnessed (`keelway audit witness`), and ask the witnesses who refuse why.",
            )


NO_WITNESSES = Quorum()


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A checkpoint that a witness signed.

    Attributes:
        checkpoint: The checkpoint, with the new line in its text.
        before: The size that the witness had seen before, or None where it saw the log for the first time.
        at: When it signed.
    """

    checkpoint: Checkpoint
    before: int | None
    at: datetime


def cosign(text: str, *, key: SigningKey, at: datetime) -> str:
    """Return a note with one more line by a witness; what the note says is not looked at."""
    _, body, _ = read_note(text)
    seconds = int(at.timestamp())
    blob = _BLOB.pack(witness_hash(key.public), seconds, key.sign(_message(seconds, body)))
    return f"{text}— {key.name} {base64.b64encode(blob).decode()}\n"


def cosigned_at(text: str, *, key: PublicKey) -> datetime | None:
    """Return when a witness signed a note, or None where it did not.

    Raises:
        IntegrityError: There is a line under its name and hash, and it does not hold.
    """
    told, body, lines = read_note(text)
    for name, blob in lines:
        if name == key.name and blob[:4] == witness_hash(key) and len(blob) == _BLOB.size:
            _, seconds, signature = _BLOB.unpack(blob)
            key.verify(signature, _message(seconds, body), what=f"the witness of {told.origin} at size {told.size}")
            return datetime.fromtimestamp(seconds, UTC)
    return None


def witness(
    text: str, proof: Sequence[bytes], *, log_key: PublicKey, key: SigningKey, memory: Path, at: datetime
) -> Witnessed:
    """Sign a checkpoint if it extends the last one that this witness saw of the log, and remember it.

    `proof` is the consistency proof from the size that the witness saw last; `memory` is a folder that is the witness's
    own. The first checkpoint of a log is taken as it comes.

    Raises:
        IntegrityError: It does not extend what the witness saw; the message names both.
    """
    checkpoint = verify_checkpoint(text, key=log_key)
    place = memory / f"{hashlib.sha256(checkpoint.origin.encode()).hexdigest()[:16]}.note"
    before = verify_checkpoint(place.read_text(encoding="utf-8"), key=log_key) if place.exists() else None
    if before is not None:
        _must_extend(before, checkpoint, proof)
    signed = text if cosigned_at(text, key=key.public) else cosign(text, key=key, at=at)
    write_atomically(place, signed.encode())
    return Witnessed(verify_checkpoint(signed, key=log_key), before.size if before else None, at)


def extension_request(log: Log, checkpoint: Checkpoint, *, old: int) -> str:
    """Return what a witness asks for that saw `old` entries: the consistency proof, and the checkpoint.

    Raises:
        UsageError: The checkpoint speaks of fewer entries.
    """
    proof = consistency_proof(old, checkpoint.size, log.nodes)
    return "\n".join([f"old {old}", *(base64.b64encode(step).decode() for step in proof), "", checkpoint.text])


def read_request(text: str) -> tuple[list[bytes], str]:
    """Return the proof and the note of a request to a witness; a bare note has no proof.

    Raises:
        IntegrityError: It is malformed.
    """
    if not text.startswith("old "):
        return [], text
    head, separator, note = text.partition("\n\n")
    if not separator:
        raise IntegrityError("The request to the witness is malformed", expected="a proof and a note", found=head[:80])
    return [decoded(line, "hash") for line in head.split("\n")[1:]], note


def witness_hash(key: PublicKey) -> bytes:
    """Return the four bytes that name a witness's key in signed notes."""
    return hashlib.sha256(key.name.encode() + b"\n" + _COSIGNATURE + key.raw).digest()[:4]


def _must_extend(before: Checkpoint, after: Checkpoint, proof: Sequence[bytes]) -> None:
    if before.size == after.size and before.root == after.root:
        return
    try:
        verify_extension(before, after, list(proof))
    except IntegrityError as error:
        raise IntegrityError(
            "The checkpoint does not extend what this witness signed",
            expected=f"a ledger that begins with the {before.size} entries of root {before.root[:12]}",
            found=f"one of {after.size} entries with root {after.root[:12]}: {error}",
            fix=f"Hand over the proof from {before.size} (`keelway audit proof {before.size}`); if there is none, the "
            "ledger was forked or rewritten.",
        ) from error


def _message(seconds: int, body: bytes) -> bytes:
    return f"{_TITLE}\ntime {seconds}\n".encode() + body
