"""What a folder holds, file by file with its digest: what an OpenSSF model signature is about.

The layout is that of the `model_signing` library (predicate `https://model_signing/signature/v1.0`): the resources in
the order of their paths, and a root digest that is the SHA-256 of their digests one after another. Nothing outside the
folder is ever looked at: a link, a device and a name that leaves the folder are refused, whatever a signature says.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from keelway.errors import IntegrityError, StorageError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
SIGNATURE_FILE = "model.sig"
BLOCK_BYTES = 1 << 20
HASHES: dict[str, Callable[[], Any]] = {"sha256": hashlib.sha256, "blake2b": hashlib.blake2b}
"""The algorithms of model-signing that Python has itself; BLAKE3 is the third."""


@dataclass(frozen=True, slots=True)
class Serialization:
    """How a folder was turned into resources.

    Attributes:
        hash_type: `sha256` or `blake2b`.
        shard_bytes: Files are hashed in pieces of this size; 0 hashes each as a whole.
        ignored: Paths below the folder that the signature says nothing about.
    """

    hash_type: str = "sha256"
    shard_bytes: int = 0
    ignored: tuple[str, ...] = (SIGNATURE_FILE,)


@dataclass(frozen=True, slots=True)
class FolderManifest:
    """The resources of a folder: name to digest in hexadecimal, in the order of their paths."""

    name: str
    resources: Mapping[str, str]
    layout: Serialization

    @property
    def root(self) -> str:
        """The SHA-256 over all digests in order, in hexadecimal."""
        return hashlib.sha256(b"".join(bytes.fromhex(each) for each in self.resources.values())).hexdigest()

    def statement(self) -> dict[str, Any]:
        """Return the in-toto statement that is signed."""
        serialization: dict[str, Any] = {
            "method": "files",
            "hash_type": self.layout.hash_type,
            "allow_symlinks": False,
            "ignore_paths": list(self.layout.ignored),
        }
        resources = [
            {"name": name, "algorithm": self.layout.hash_type, "digest": digest}
            for name, digest in self.resources.items()
        ]
        return {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": self.name, "digest": {"sha256": self.root}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {"serialization": serialization, "resources": resources},
        }


def manifest_of(folder: Path, *, layout: Serialization | None = None) -> FolderManifest:
    """Return what a folder holds now.

    Raises:
        IntegrityError: It holds a link or something else that is no file, or a file that no piece of would be hashed.
        StorageError: It cannot be read.
    """
    chosen = layout or Serialization()
    found: dict[str, str] = {}
    try:
        for path in sorted(_files(folder, chosen), key=lambda each: PurePosixPath(each).parts):
            found |= _hashed(folder / path, path, chosen)
    except OSError as error:
        raise StorageError(f"The folder {folder} cannot be read", found=str(error)) from error
    return FolderManifest(folder.resolve().name, found, chosen)


def manifest_in(told: Mapping[str, Any]) -> FolderManifest:
    """Return the manifest that a signed statement holds.

    Raises:
        IntegrityError: It is none, is empty, contradicts itself, or names something outside the folder.
    """
    try:
        if told["_type"] != STATEMENT_TYPE or told["predicateType"] != PREDICATE_TYPE:
            raise IntegrityError(
                "This statement is no signature of a model", expected=PREDICATE_TYPE, found=str(told["predicateType"])
            )
        (subject,) = told["subject"]
        predicate = told["predicate"]
        layout = _layout(predicate["serialization"])
        resources = _resources(predicate["resources"], layout)
        manifest = FolderManifest(str(subject["name"]), resources, layout)
        expected = subject["digest"]["sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError("A model's signature is malformed", found=repr(error)[:200]) from error
    if expected != manifest.root:
        raise IntegrityError("A model's manifest contradicts itself", expected=str(expected), found=manifest.root)
    return manifest


def must_agree(signed: FolderManifest, found: FolderManifest) -> None:
    """Refuse a folder that is not as it was signed.

    Raises:
        IntegrityError: A file was changed, added, removed or renamed; at most five of each are named.
    """
    old, new = signed.resources, found.resources
    changed = [name for name in old.keys() & new.keys() if old[name] != new[name]]
    told = [
        f"{what}: {', '.join(sorted(names)[:5])}"
        for what, names in (("changed", changed), ("added", new.keys() - old.keys()), ("gone", old.keys() - new.keys()))
        if names
    ]
    if told:
        raise IntegrityError(
            "The folder is not as it was signed",
            expected=f"{len(old)} files with their digests",
            found="; ".join(told),
            fix="Do not load this model; get the folder again from its source.",
        )


def _layout(told: Mapping[str, Any]) -> Serialization:
    method, hash_type = told["method"], str(told["hash_type"])
    if hash_type not in HASHES:
        raise IntegrityError(
            "This signature uses another hash", expected=" or ".join(sorted(HASHES)), found=hash_type,
            fix="Check it with the `model_signing` tool itself.",
        )  # fmt: skip
    if method not in ("files", "shards"):
        raise IntegrityError("This signature is over something else", expected="files or shards", found=str(method))
    ignored = tuple(_inside(str(each)) for each in told.get("ignore_paths", ()))
    shard_bytes = int(told["shard_size"]) if method == "shards" else 0
    if method == "shards" and shard_bytes < 1:
        raise IntegrityError("A model's signature is malformed", expected="shards of a byte or more", found=str(told))
    return Serialization(hash_type, shard_bytes, ignored)


def _resources(told: list[Mapping[str, Any]], layout: Serialization) -> dict[str, str]:
    found: dict[str, str] = {}
    algorithm = f"{layout.hash_type}-sharded-{layout.shard_bytes}" if layout.shard_bytes else layout.hash_type
    for each in told:
        name, digest = str(each["name"]), str(each["digest"])
        _inside(name)
        if each["algorithm"] != algorithm or len(bytes.fromhex(digest)) != HASHES[layout.hash_type]().digest_size:
            raise IntegrityError("A model's signature is malformed", expected=algorithm, found=str(each)[:200])
        if name in found:
            raise IntegrityError("A model's manifest names a file twice", expected="each file once", found=name)
        found[name] = digest.lower()
    if not found:
        raise IntegrityError(
            "A model's manifest is empty",
            expected="at least one file",
            found="none",
            fix="A signature over nothing proves nothing: sign the folder again once the model is in it.",
        )
    return found


def _inside(name: str) -> str:
    """Return a name that stays below the folder.

    Raises:
        IntegrityError: It would leave the folder, or is spelled in a way that could mean another file.
    """
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or str(path) != name or "\\" in name or "\0" in name:
        raise IntegrityError(
            "A model's manifest names something outside its folder", expected="paths below the folder", found=repr(name)
        )
    return name


def _files(folder: Path, layout: Serialization) -> Iterator[str]:
    """Yield the files below a folder that are not ignored, as they are called in a manifest."""
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        raise IntegrityError("This is no folder", expected="a folder with a model", found=str(folder))
    for place, folders, names in os.walk(folder, onerror=_raise):
        for name in (*folders, *names):
            path = Path(place) / name
            told = path.relative_to(folder).as_posix()
            mode = os.lstat(path).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise IntegrityError(
                    "The folder holds something that is no file",
                    expected="files and folders",
                    found=f"{told}, a {'link' if stat.S_ISLNK(mode) else 'device, pipe or socket'}",
                    fix="Do not load this model: a link can point anywhere.",
                )
            if stat.S_ISREG(mode) and not _ignored(told, layout):
                yield told


def _ignored(name: str, layout: Serialization) -> bool:
    return any(name == each or name.startswith(f"{each}/") for each in layout.ignored)


def _hashed(path: Path, name: str, layout: Serialization) -> dict[str, str]:
    """Return the resources of one file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as stream:
        size = os.fstat(descriptor).st_size
        if not layout.shard_bytes:
            return {name: _hash(stream, size, layout)}
        if not size:
            raise IntegrityError("A signature over shards says nothing of an empty file", found=name)
        starts = range(0, size, layout.shard_bytes)
        ends = [min(start + layout.shard_bytes, size) for start in starts]
        return {
            f"{name}:{start}:{end}": _hash(stream, end - start, layout) for start, end in zip(starts, ends, strict=True)
        }


def _hash(stream: Any, size: int, layout: Serialization) -> str:
    hasher = HASHES[layout.hash_type]()
    while size > 0 and (block := stream.read(min(size, BLOCK_BYTES))):
        hasher.update(block)
        size -= len(block)
    return str(hasher.hexdigest())


def _raise(error: OSError) -> None:
    raise error
