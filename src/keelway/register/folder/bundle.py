"""A Sigstore bundle with a key: the file `model.sig` that holds the signature over a folder's manifest.

The key method of OpenSSF model-signing: a DSSE envelope around the in-toto statement, and the SHA-256 of the public
key's PEM text as a hint. No certificate and no transparency log take part; Keelway's own ledger is where it is logged.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keelway.core import canonical_json, parse_json
from keelway.errors import IntegrityError, StorageError
from keelway.ledger import write_atomically
from keelway.register.folder.keys import ModelKey, ModelPublicKey
from keelway.register.folder.manifest import SIGNATURE_FILE, FolderManifest, manifest_in, manifest_of, must_agree

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
LARGEST_BYTES = 64 << 20
"""A signature names every file once; a larger one is no signature of a model."""


def sign_folder(folder: Path, *, key: ModelKey) -> Path:
    """Sign what a folder holds and return the signature's file in it; the same folder gives the same bytes.

    Raises:
        IntegrityError: There is nothing to sign, or something that is no file.
        StorageError: The folder cannot be read or written.
    """
    manifest = manifest_of(folder)
    if not manifest.resources:
        raise IntegrityError("There is nothing to sign", expected="at least one file", found=f"none in {folder}")
    path = folder / SIGNATURE_FILE
    write_atomically(path, bundle_of(manifest.statement(), key=key))
    return path


def check_folder(folder: Path, *, key: ModelPublicKey, signature: Path | None = None) -> FolderManifest:
    """Return the manifest that a key signed and that the folder still agrees with.

    Args:
        signature: The bundle; `model.sig` in the folder when None.

    Raises:
        IntegrityError: The signature does not hold, or the folder is not as it was signed.
        StorageError: The folder or the signature cannot be read.
    """
    path = signature or folder / SIGNATURE_FILE
    try:
        if path.is_symlink() or not path.is_file():
            raise IntegrityError("The folder is not signed", expected=str(path), found="no such file")
        if path.stat().st_size > LARGEST_BYTES:
            raise IntegrityError("This is no signature", expected=f"at most {LARGEST_BYTES} bytes", found=str(path))
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"The signature {path} cannot be read", found=str(error)) from error
    signed = manifest_in(open_bundle(data, key=key))
    must_agree(signed, manifest_of(folder, layout=signed.layout))
    return signed


def bundle_of(statement: Mapping[str, Any], *, key: ModelKey) -> bytes:
    """Return the signed bundle of a statement."""
    payload = canonical_json(dict(statement))
    signature = {"sig": base64.b64encode(key.sign(_pae(payload))).decode(), "keyid": ""}
    return canonical_json(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": key.public.hint}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [signature],
            },
        }
    )


def open_bundle(data: bytes, *, key: ModelPublicKey) -> dict[str, Any]:
    """Return the statement in a bundle that the key signed.

    Raises:
        IntegrityError: It is no such bundle, is signed by another key, or was altered.
    """
    try:
        told = parse_json(data)
        media, envelope = told["mediaType"], told["dsseEnvelope"]
        hint = told["verificationMaterial"]["publicKey"].get("hint")
        (signature,) = envelope["signatures"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signed = base64.b64decode(signature["sig"], validate=True)
        kind = envelope["payloadType"]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, binascii.Error) as error:
        raise IntegrityError(
            "This is no model signature with a key", expected="a Sigstore bundle", found=repr(error)[:200]
        ) from error
    if media != MEDIA_TYPE or kind != PAYLOAD_TYPE:
        raise IntegrityError("This is another kind of bundle", expected=MEDIA_TYPE, found=f"{media}, {kind}")
    if hint not in (None, "", key.hint):
        raise IntegrityError("The model is signed by another key", expected=key.hint[:12], found=str(hint)[:12])
    key.verify(signed, _pae(payload), what="a model")
    try:
        statement = parse_json(payload)
    except (ValueError, RecursionError) as error:
        raise IntegrityError("A signed statement is no JSON", found=str(error)[:200]) from error
    if not isinstance(statement, dict):
        raise IntegrityError("A signed statement is malformed", expected="an object", found=type(statement).__name__)
    return statement


def _pae(payload: bytes) -> bytes:
    """Return what is really signed: DSSE's pre-authentication encoding."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
