"""A model version as a folder of files that others can use and check without Keelway.

| file | what it is |
|---|---|
| `model.onnx` | the exported model |
| `model.plan` | the compiled plan, where the model has one |
| `features.json` | the columns it reads, in order, and what its answers are |
| `version.json` | the version's record; its SHA-256 is the digest that the ledger names |
| `card.md` | the model card |
| `bom.cdx.json` | the bill of materials (CycloneDX) |
| `provenance.dsse.json` | the signed statement: what the version was built from (SLSA provenance in DSSE) |
| `model-key.dsse.json` | the project's key says which key signed this folder |
| `model.sig` | the signature over all of it (OpenSSF model-signing, Sigstore bundle) |

The folder appears whole or not at all. Two exports differ only where the card has more to tell, such as a new decision.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keelway.core import Digest, canonical_json, digest_bytes, must_be_artifact, parse_json, plain, revive
from keelway.errors import IntegrityError, SettingsError, StorageError, UsageError
from keelway.ledger import PublicKey, SigningKey
from keelway.register.folder.bundle import check_folder, sign_folder
from keelway.register.folder.keys import ModelKey, ModelPublicKey, vouch, vouched
from keelway.register.load import statement_about
from keelway.register.records import ModelVersion

MODEL, FEATURES, VERSION, CARD, BOM = "model.onnx", "features.json", "version.json", "card.md", "bom.cdx.json"
PLAN = "model.plan"
STATEMENT, MODEL_KEY = "provenance.dsse.json", "model-key.dsse.json"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder that was written or checked.

    Attributes:
        name: What it is a version of; the name in the signature where no version is known.
        files: Each file that is signed, with its SHA-256.
        root: The digest over all of them, in hexadecimal.
        version: Digest of the version's record, where the project's key vouched for it.
        signed_by: The first digits of the hint of the key that signed.
        unsigned: Files there that the signature says nothing about.
    """

    path: str
    name: str
    files: dict[str, str]
    root: str
    version: Digest | None
    signed_by: str
    unsigned: tuple[str, ...] = ()


def export_folder(
    version: ModelVersion,
    folder: Path,
    *,
    onnx: bytes,
    statement: bytes,
    card: str,
    bom: bytes,
    task: str,
    classes: tuple[str, ...],
    key: SigningKey,
    plan: bytes | None = None,
) -> ModelFolder:
    """Write and sign the folder of a version.

    Raises:
        UsageError: There is something at that place already.
        StorageError: It cannot be written.
    """
    model_key = ModelKey.of(key)
    files = {
        MODEL: onnx,
        **({} if plan is None else {PLAN: plan}),
        FEATURES: canonical_json(_features(version, task, classes)),
        VERSION: canonical_json(version),
        CARD: card.encode(),
        BOM: bom,
        STATEMENT: statement,
        MODEL_KEY: vouch(model_key.public, key=key),
    }
    _write(folder, files, model_key)
    return verify_folder(folder, key=key.public)


def verify_folder(folder: Path, *, key: PublicKey | ModelPublicKey, signature: Path | None = None) -> ModelFolder:
    """Check a folder with a public key alone.

    A model's key checks any folder that was signed with one, by Keelway or by other tools. The project's own key checks
    an exported version: that it vouches for the model's key, and that the statement is about these very bytes.

    Raises:
        IntegrityError: Something does not hold; the message names it.
        StorageError: Something cannot be read.
    """
    model_key = key if isinstance(key, ModelPublicKey) else vouched(_read(folder / MODEL_KEY), key=key)
    signed = check_folder(folder, key=model_key, signature=signature)
    version = None if isinstance(key, ModelPublicKey) else _version_in(folder, signed.resources, key=key)
    unsigned = tuple(name for name in signed.layout.ignored if (folder / name).exists())
    return ModelFolder(
        path=str(folder),
        name=version.name if version else signed.name,
        files=dict(signed.resources),
        root=signed.root,
        version=digest_bytes(canonical_json(version)) if version else None,
        signed_by=model_key.hint[:12],
        unsigned=tuple(name for name in unsigned if folder / name != (signature or folder / "model.sig")),
    )


def read_public_key(path: Path) -> PublicKey | ModelPublicKey:
    """Return the public key in a file: the project's (Ed25519) or a model's (EC).

    Raises:
        SettingsError: It is neither.
    """
    try:
        return ModelPublicKey.load(path)
    except SettingsError:
        return PublicKey.load(path)


def _version_in(folder: Path, files: Mapping[str, str], *, key: PublicKey) -> ModelVersion:
    """Return the version that a folder holds, once its signed statement is about this model's bytes."""
    missing = [name for name in (MODEL, VERSION, STATEMENT) if name not in files]
    if missing:
        raise IntegrityError("The signature says nothing of these files", expected="to be signed", found=str(missing))
    try:
        told = parse_json(_signed(folder, VERSION, files))
    except ValueError as error:
        raise IntegrityError(f"{VERSION} cannot be read", expected="JSON", found=str(error)) from error
    version: ModelVersion = revive(told, ModelVersion)
    statement_about(version, _signed(folder, STATEMENT, files), key=key)
    for name, digest in ((MODEL, version.onnx), (PLAN, version.plan)):
        found = f"sha256:{files[name]}" if name in files else None
        if found != digest:
            raise IntegrityError(f"This is not the version's {name}", expected=digest or "none", found=found or "none")
    return version


def _features(version: ModelVersion, task: str, classes: tuple[str, ...]) -> dict[str, Any]:
    answers = {"binary": "the probability of the outcome", "regression": "a number"}
    return {
        "version": version.name,
        "semver": version.semver,
        "entity": version.entity,
        "features": plain(version.features),
        "task": task,
        "classes": list(classes),
        "answer": answers.get(task, "the probability of each class, in this order"),
    }


def _write(folder: Path, files: Mapping[str, bytes], key: ModelKey) -> None:
    """Write all files beside their place, sign them, and move them there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("There is something already", expected="a new or empty folder", found=str(folder))
    scratch = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
        made = scratch / folder.resolve().name
        made.mkdir()
        for name, data in files.items():
            (made / name).write_bytes(data)
        sign_folder(made, key=key)
        made.replace(folder)
    except OSError as error:
        raise StorageError(f"The folder {folder} cannot be written", found=str(error)) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _signed(folder: Path, name: str, files: Mapping[str, str]) -> bytes:
    """Return the bytes of a file, once more compared: it may have been changed since the folder was."""
    data = _read(folder / name)
    must_be_artifact(Digest(f"sha256:{files[name]}"), digest_bytes(data))
    return data


def _read(path: Path) -> bytes:
    try:
        if path.is_symlink():
            raise IntegrityError("A link stands where a file belongs", expected="a file", found=str(path))
        return path.read_bytes()
    except FileNotFoundError as error:
        raise IntegrityError(
            "The folder is no exported version", expected=path.name, found="no such file",
            fix="To check a folder that others signed, name their public key (EC) instead of a project's.",
        ) from error  # fmt: skip
    except OSError as error:
        raise StorageError(f"{path} cannot be read", found=str(error)) from error
