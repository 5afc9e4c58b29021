"""The signature of an exported version, kept beside it: the door checks by it that others can check the model.

What is exported leaves the house. What stays is its `model.sig` and the statement about the key that signed it, as
artifacts, so that a policy can ask whether a version was ever handed on in a form that OpenSSF model-signing verifies.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keelway.core import ArtifactKind, ArtifactStore, Digest, digest_of
from keelway.errors import IntegrityError, StorageError
from keelway.ledger import PublicKey
from keelway.register.folder.bundle import open_bundle
from keelway.register.folder.export import MODEL, MODEL_KEY, VERSION, ModelFolder
from keelway.register.folder.keys import vouched
from keelway.register.folder.manifest import SIGNATURE_FILE, FolderManifest, manifest_in
from keelway.register.records import ModelVersion


def keep_signature(folder: ModelFolder, *, artifacts: ArtifactStore) -> dict[str, Any]:
    """Keep what proves that a folder was signed, and return what a check of the version says of it.

    Raises:
        StorageError: The folder cannot be read any more.
    """
    try:
        kept = {
            role: artifacts.put_file(Path(folder.path) / name, kind=ArtifactKind.RECORD).digest
            for role, name in (("signature", SIGNATURE_FILE), ("model_key", MODEL_KEY))
        }
    except OSError as error:
        raise StorageError("An exported folder cannot be read", found=str(error)) from error
    return {**kept, "files": len(folder.files), "root": folder.root, "signed_by": folder.signed_by}


def check_kept(
    version: ModelVersion, figures: Mapping[str, Any], *, artifacts: ArtifactStore, key: PublicKey
) -> FolderManifest:
    """Return the manifest that was signed, once the signature holds and is over this version's record and model.

    Args:
        figures: What `keep_signature` returned.

    Raises:
        IntegrityError: The signature does not hold, is by a key that the project's does not vouch for, or is over others.
        MissingRecordError: What was kept is gone.
    """
    model_key = vouched(artifacts.get(Digest(figures["model_key"])), key=key)
    signed = manifest_in(open_bundle(artifacts.get(Digest(figures["signature"])), key=model_key))
    for name, digest in ((VERSION, digest_of(version)), (MODEL, version.onnx)):
        found = signed.resources.get(name)
        if f"sha256:{found}" != digest:
            raise IntegrityError(
                f"The signature is over another {name}", expected=digest, found=f"sha256:{found}" if found else "none"
            )
    return signed
