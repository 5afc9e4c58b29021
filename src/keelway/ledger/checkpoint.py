"""Checkpoints: the size and root of the ledger, signed, in a form that outside tools read.

The text is a C2SP tlog-checkpoint in a C2SP signed note:

    keelway.example/churn
    42
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — keelway.example/ledger Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=

A checkpoint kept outside the database is what shows that somebody rewrote the whole ledger.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass

from keelway.errors import IntegrityError, UsageError
from keelway.ledger.keys import PublicKey, SigningKey
from keelway.ledger.merkle import root, verify_consistency
from keelway.ledger.ports import Log

_DASH = "— "


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed promise about the first `size` entries.

    Attributes:
        origin: The name of the log.
        size: How many entries it has.
        root: Their RFC 9162 root, in hexadecimal.
        text: The signed note.
    """

    origin: str
    size: int
    root: str
    text: str


def sign_checkpoint(log: Log, *, origin: str, key: SigningKey) -> Checkpoint:
    """Return a signed checkpoint of the log as it stands."""
    if not origin or "\n" in origin:
        raise UsageError("This is no origin of a log", expected="one line of text", found=repr(origin))
    size = log.size()
    hashed = root(size, log.nodes)
    body = f"{origin}\n{size}\n{base64.b64encode(hashed).decode()}\n"
    return Checkpoint(origin, size, hashed.hex(), f"{body}\n{note_line(key, key.sign(body.encode()))}")


def verify_checkpoint(text: str, *, key: PublicKey) -> Checkpoint:
    """Return what a checkpoint says, if the key signed it, or one that it followed while that was not yet retired.

    Signatures by other keys (witnesses) are allowed and not looked at.

    Raises:
        IntegrityError: It is malformed, or no signature by the key holds.
    """
    told, body, lines = read_note(text)
    what = f"the checkpoint of {told.origin} at size {told.size}"
    for signature in _by(key, lines):
        key.verify(signature, body, what=what)
        return told
    for retired in reversed(key.earlier):
        for signature in _by(retired.key, lines):
            retired.key.verify(signature, body, what=what)
            retired.must_reach(told.size)
            return told
    raise IntegrityError(
        "The checkpoint is not signed by this key",
        expected=f"a signature by {key.name} ({key.key_id[:12]})",
        found=", ".join(name for name, _ in lines),
    )


def read_note(text: str) -> tuple[Checkpoint, bytes, list[tuple[str, bytes]]]:
    """Return what a note says, the bytes that are signed, and name and blob of every signature line; none is checked.

    Raises:
        IntegrityError: It is malformed.
    """
    body, separator, signatures = text.rpartition("\n\n")
    body += "\n"
    lines = body.split("\n")
    if not separator or len(lines) < 4 or not signatures.endswith("\n"):
        raise _malformed("origin, size, root, an empty line and signatures", repr(text[:80]))
    origin, size_text, root_text = lines[:3]
    if not size_text.isascii() or not size_text.isdigit() or str(int(size_text)) != size_text:
        raise _malformed("a size", repr(size_text))
    hashed = decoded(root_text, "root")
    if not origin or len(hashed) != 32:
        raise _malformed("an origin and a root of 32 bytes", f"{origin!r} and {len(hashed)} bytes")
    return Checkpoint(origin, int(size_text), hashed.hex(), text), body.encode(), list(_signatures(signatures))


def note_line(key: SigningKey, signature: bytes) -> str:
    """Return the signature line of a note."""
    return f"{_DASH}{key.name} {base64.b64encode(key.public.note_hash + signature).decode()}\n"


def must_extend(before: Checkpoint, log: Log, *, size: int) -> None:
    """Check that the log still holds what a checkpoint promised.

    Raises:
        IntegrityError: Entries were removed or changed since.
    """
    if before.size > size:
        raise IntegrityError(
            "The ledger lost entries", expected=f"{before.size} or more, as signed", found=f"{size} entries"
        )
    found = root(before.size, log.nodes).hex()
    if found != before.root:
        raise IntegrityError(
            f"The first {before.size} entries of the ledger were changed after they were signed",
            expected=f"root {before.root}",
            found=f"root {found}",
            fix="Run `keelway audit` to find the first entry that differs.",
        )


def verify_extension(before: Checkpoint, after: Checkpoint, proof: list[bytes]) -> None:
    """Check with a consistency proof alone that one checkpoint extends another (no log needed)."""
    verify_consistency(before.size, after.size, bytes.fromhex(before.root), bytes.fromhex(after.root), proof)


def decoded(text: str, what: str) -> bytes:
    """Return the bytes of canonical base64.

    Raises:
        IntegrityError: It is something else.
    """
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed(f"a {what} in base64", repr(text)) from error
    if base64.b64encode(value).decode() != text:
        raise _malformed(f"a {what} in canonical base64", repr(text))
    return value


def _by(key: PublicKey, lines: list[tuple[str, bytes]]) -> Iterator[bytes]:
    """Yield the signatures under the key's name and hash; a note may carry others."""
    for name, blob in lines:
        if name == key.name and blob[:4] == key.note_hash:
            yield blob[4:]


def _signatures(text: str) -> Iterator[tuple[str, bytes]]:
    for line in text.removesuffix("\n").split("\n"):
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH) or not name or not encoded:
            raise _malformed("a signature line", repr(line))
        yield name, decoded(encoded, "signature")


def _malformed(expected: str, found: str) -> IntegrityError:
    return IntegrityError("The checkpoint is malformed", expected=expected, found=found)
