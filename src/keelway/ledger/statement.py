"""Signed statements: in-toto Statements in DSSE envelopes, as supply-chain tools read them.

A statement says of named digests (its subject) what a predicate says: here SLSA provenance, what something was
built from. The envelope signs the exact bytes, so nothing needs to be canonical to be checked.

>>> pae("application/vnd.in-toto+json", b"{}")
b'DSSEv1 28 application/vnd.in-toto+json 2 {}'
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from keelway.core import DIGEST_PREFIX, Digest, canonical_json, digest_bytes, parse_json, time_text
from keelway.errors import IntegrityError
from keelway.ledger.keys import PublicKey, RetiredKey, SigningKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PROVENANCE_TYPE = "https://slsa.dev/provenance/v1"
_ENVELOPE_KEYS = {"payload", "payloadType", "signatures"}


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding of DSSE: what is really signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_statement(statement: Mapping[str, Any], *, key: SigningKey) -> bytes:
    """Return a DSSE envelope around a statement, as canonical JSON."""
    payload = canonical_json(dict(statement))
    signature = key.sign(pae(PAYLOAD_TYPE, payload))
    return canonical_json(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": key.key_id, "sig": base64.b64encode(signature).decode()}],
        }
    )


def open_statement(envelope: bytes, *, key: PublicKey) -> dict[str, Any]:
    """Return the statement in an envelope that the key signed, or one that it followed before that was retired.

    Raises:
        IntegrityError: It is no envelope, not signed by the key, or was altered.
    """
    statement, signer = opened(envelope, key=key)
    if isinstance(signer, RetiredKey):
        signer.must_know(digest_bytes(envelope))
    return statement


def opened(envelope: bytes, *, key: PublicKey) -> tuple[dict[str, Any], PublicKey | RetiredKey]:
    """Return the statement in an envelope and who signed it: the key, or one that it followed.

    Whether a retired key may have signed it is for the caller to see.

    Raises:
        IntegrityError: It is no envelope, signed by neither, or was altered.
    """
    value = _parsed(envelope, "a signed statement")
    if not is_envelope(value):
        raise IntegrityError("This is no signed statement", expected="a DSSE envelope of an in-toto statement")
    payload = _decoded(value["payload"])
    signatures = [entry for entry in value["signatures"] if isinstance(entry, dict)]
    signature, signer = _signature_of(signatures, key)
    signing = signer if isinstance(signer, PublicKey) else signer.key
    signing.verify(_decoded(signature.get("sig")), pae(PAYLOAD_TYPE, payload), what="a statement")
    statement = _parsed(payload, "a statement")
    if not isinstance(statement, dict) or statement.get("_type") != STATEMENT_TYPE:
        raise IntegrityError("This is no statement", expected=STATEMENT_TYPE, found=repr(payload[:80]))
    return statement, signer


def is_envelope(value: object) -> bool:
    """Say whether a JSON value is a DSSE envelope of an in-toto statement."""
    return (
        isinstance(value, dict)
        and value.keys() == _ENVELOPE_KEYS
        and value["payloadType"] == PAYLOAD_TYPE
        and isinstance(value["signatures"], list)
    )


def statement(subjects: Mapping[str, Digest], *, predicate_type: str, predicate: Mapping[str, Any]) -> dict[str, Any]:
    """Return an in-toto Statement about named digests."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": subject_list(subjects),
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }


def subject_list(subjects: Mapping[str, Digest]) -> list[dict[str, Any]]:
    """Return named digests as a statement's `subject` holds them."""
    return [{"name": name, "digest": _digest_set(digest)} for name, digest in subjects.items()]


def subject_digests(statement: Mapping[str, Any]) -> list[Digest]:
    """Return the digests that a statement is about.

    Raises:
        IntegrityError: Its subject is malformed.
    """
    try:
        return [Digest(DIGEST_PREFIX + str(each["digest"]["sha256"])) for each in statement["subject"]]
    except (KeyError, TypeError) as error:
        raise IntegrityError("A statement is malformed", expected="subjects with digests", found=repr(error)) from error


def provenance(
    subject_name: str,
    subject_digest: Digest,
    *,
    build_type: str,
    parameters: Mapping[str, Any],
    dependencies: Mapping[str, Digest],
    builder: str,
    started: datetime,
    finished: datetime,
    also: Mapping[str, Digest] | None = None,
) -> dict[str, Any]:
    """Return a statement with SLSA provenance: what a thing was built from, by whom, when.

    `build_type` is a URI that says how to read `parameters`, `builder` one that names who or what built it;
    `dependencies` is everything that went in, by name, `also` what else came out.
    """
    predicate = {
        "buildDefinition": {
            "buildType": build_type,
            "externalParameters": dict(parameters),
            "resolvedDependencies": [
                {"name": name, "digest": _digest_set(digest)} for name, digest in sorted(dependencies.items())
            ],
        },
        "runDetails": {
            "builder": {"id": builder},
            "metadata": {"startedOn": time_text(started), "finishedOn": time_text(finished)},
        },
    }
    subjects = {subject_name: subject_digest, **(also or {})}
    return statement(subjects, predicate_type=PROVENANCE_TYPE, predicate=predicate)


def _signature_of(signatures: list[dict[str, Any]], key: PublicKey) -> tuple[dict[str, Any], PublicKey | RetiredKey]:
    """Return the signature by the key or the newest that it followed, and whose it is."""
    for entry in signatures:
        if entry.get("keyid") in (key.key_id, "", None):
            return entry, key
    for retired in reversed(key.earlier):
        for entry in signatures:
            if entry.get("keyid") == retired.key.key_id:
                return entry, retired
    found = ", ".join(str(entry.get("keyid"))[:12] for entry in signatures) or "no signature"
    raise IntegrityError("The statement is signed by another key", expected=key.key_id[:12], found=found)


def _digest_set(digest: Digest) -> dict[str, str]:
    return {"sha256": digest.removeprefix(DIGEST_PREFIX)}


def _parsed(data: bytes, what: str) -> Any:
    try:
        return parse_json(data)
    except ValueError as error:  # also text that is not UTF-8
        raise IntegrityError(f"This is not {what}", expected="JSON", found=str(error)) from error


def _decoded(text: object) -> bytes:
    try:
        value = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise IntegrityError("A statement is malformed", expected="base64", found=repr(text)[:80]) from error
    if base64.b64encode(value).decode() != text:  # two spellings of one value would hide a change
        raise IntegrityError("A statement is malformed", expected="canonical base64", found=repr(text)[:80])
    return value
