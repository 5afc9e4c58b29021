"""Key rotation: a new key takes over from an old one, and what the old one signed before still holds.

A rotation is a DSSE envelope that both keys sign: the old one hands over, the new one accepts. It says how many ledger
entries the old key may speak of and which statements it had signed by then, so that whatever it signs later is refused:
a checkpoint of a longer ledger, a statement that is not in the list, a bundle whose checkpoint is too long.

A signature does not tell when it was made. Who steals a retired key can still sign a false ledger that is no longer than
the key's; published checkpoints, witnesses and an audit show that, a signature alone does not.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from keelway.core import Action, Decision, Digest, PrincipalId, canonical_json, parse_json, time_text
from keelway.errors import IntegrityError, UsageError
from keelway.ledger.keys import PublicKey, RetiredKey, SigningKey
from keelway.ledger.ports import Transaction
from keelway.ledger.record import LedgerEntry, record_decision
from keelway.ledger.statement import pae

ROTATION_TYPE = "application/vnd.keelway.key-rotation+json"
_FIELDS = {"at", "name", "new", "old", "statements", "until"}


@dataclass(frozen=True, slots=True)
class KeyRotation:
    """One rotation, as the state keeps it.

    Attributes:
        number: Its number, from 1.
        old_key: Id of the key that was retired.
        new_key: Id of the key that took over.
        until: How many ledger entries the old key may speak of: those up to the one that tells of the rotation.
        statements: How many of its statements hold on.
        envelope: What both keys signed.
    """

    number: int
    old_key: str
    new_key: str
    until: int
    statements: int
    envelope: str


def rotate(
    old: SigningKey,
    new: SigningKey,
    *,
    statements: Collection[Digest],
    actor: PrincipalId,
    at: datetime,
    comment: str = "",
    tx: Transaction,
) -> tuple[PublicKey, LedgerEntry]:
    """Record in the ledger that a new key takes over, and return its public half with the keys that it followed.

    `statements` are the digests of the statements by the old key that shall hold on.

    Raises:
        UsageError: It is the same key, or has another name.
        IntegrityError: The ledger says that the old key was retired before.
    """
    if old.public.raw == new.public.raw or old.name != new.name:
        raise UsageError("This key cannot take over", expected=f"another key named {old.name}", found=new.name)
    must_be_current(old.public, tx=tx)
    until = tx.log.size() + 1
    envelope = _signed(old, new, until=until, statements=statements, at=at)
    rotation = KeyRotation(
        number=tx.count(KeyRotation) + 1,
        old_key=old.key_id,
        new_key=new.key_id,
        until=until,
        statements=len(statements),
        envelope=envelope,
    )
    digest = tx.insert(f"{rotation.number:06d}", rotation, at=at)
    told = Decision(Action.ROTATE_KEY, old.name, True, actor, at, evidence={"rotation": digest}, comment=comment)
    entry = record_decision(told, tx=tx)
    earlier = (*old.earlier, _retired_by(envelope, new.public))
    return replace(new.public, earlier=earlier), entry


def must_be_current(key: PublicKey, *, tx: Transaction) -> None:
    """Check that the ledger does not tell of a key that took over from this one.

    Raises:
        IntegrityError: It does.
    """
    newest = tx.newest(KeyRotation, limit=1)
    if newest and newest[0].new_key != key.key_id:
        raise IntegrityError(
            "This key was retired",
            expected=f"the key {newest[0].new_key[:12]} that took over",
            found=key.key_id[:12],
            fix="Run `keelway keys rotate` again where a rotation broke off; else get the new key.",
        )


def retired_keys(envelopes: Iterable[str], *, newest: PublicKey) -> tuple[RetiredKey, ...]:
    """Return the keys that led to the newest one, oldest first, each checked to have handed over to the next.

    Raises:
        IntegrityError: The chain does not hold.
    """
    follower, chain = newest, []
    for envelope in reversed(list(envelopes)):
        retired = _retired_by(envelope, follower)
        chain.append(retired)
        follower = retired.key
    return tuple(reversed(chain))


def _signed(old: SigningKey, new: SigningKey, *, until: int, statements: Collection[Digest], at: datetime) -> str:
    told = {
        "at": time_text(at),
        "name": old.name,
        "new": new.public.raw.hex(),
        "old": old.public.raw.hex(),
        "statements": sorted(statements),
        "until": until,
    }
    payload = canonical_json(told)
    signatures = [
        {"keyid": key.key_id, "sig": base64.b64encode(key.sign(pae(ROTATION_TYPE, payload))).decode()}
        for key in (old, new)
    ]
    envelope = {"payload": base64.b64encode(payload).decode(), "payloadType": ROTATION_TYPE, "signatures": signatures}
    return canonical_json(envelope).decode()


def _retired_by(envelope: str, follower: PublicKey) -> RetiredKey:
    """Return the key that an envelope retires in favour of another one."""
    try:
        value = parse_json(envelope.encode())
        payload = base64.b64decode(value["payload"], validate=True)
        told = parse_json(payload)
        signatures = {entry["keyid"]: base64.b64decode(entry["sig"], validate=True) for entry in value["signatures"]}
        old = PublicKey(str(told["name"]), bytes.fromhex(told["old"]))
        sound = value["payloadType"] == ROTATION_TYPE and told.keys() == _FIELDS
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, UsageError) as error:
        raise IntegrityError("A key rotation is malformed", expected="a signed rotation", found=str(error)) from error
    if not sound or told["new"] != follower.raw.hex() or told["name"] != follower.name:
        raise IntegrityError(
            "A key rotation leads to another key", expected=follower.key_id[:12], found=str(told.get("new"))[:12]
        )
    for key in (old, follower):
        key.verify(_of(key, signatures), pae(ROTATION_TYPE, payload), what=f"the rotation from {old.key_id[:12]}")
    return RetiredKey(old, int(told["until"]), frozenset(told["statements"]), envelope)


def _of(key: PublicKey, signatures: Mapping[str, Any]) -> bytes:
    return bytes(signatures.get(key.key_id, b""))
