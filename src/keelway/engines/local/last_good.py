"""What is kept of a served model in a folder of this machine: deployments, version records and their bytes.

    FOLDER/ENVIRONMENT/MODEL/deployments.json   the deployments, and which records and bytes their versions need
    FOLDER/ENVIRONMENT/MODEL/pin.json           a rollback that the ledger does not know yet
    FOLDER/artifacts/                           the bytes, each under its digest

Each JSON file begins with the digest of the rest. A version's bytes are its signed artifacts, so whoever reads them checks
signature and digest as if they came from the store. The folder is its owner's alone: who may write there may choose among
the signed versions that it holds, and nothing else.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from keelway.core import (
    Artifact,
    ArtifactKind,
    Digest,
    canonical_json,
    checked_name,
    digest_bytes,
    digest_of,
    parse_json,
    plain,
    revive,
)
from keelway.deploy import Deployment
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.errors import EngineError, IntegrityError, MissingRecordError, StorageError
from keelway.ledger import write_atomically
from keelway.register import ModelVersion
from keelway.serve import Pin

if TYPE_CHECKING:
    from keelway.core import ArtifactStore
    from keelway.serve import LastGood

T = TypeVar("T")
_FIX = "Free some space, or give this user the right to write there."


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A version's record, and the bytes that loading it reads."""

    record: ModelVersion
    artifacts: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class KeptModel:
    """Everything that is kept of one model."""

    deployments: tuple[Deployment, ...] = ()
    versions: dict[Digest, KeptVersion] = field(default_factory=dict)


class FileLastGood:
    """The kept deployments of one model in one environment, in a folder that all models of this machine share.

    Args:
        folder: Where all of them are kept; made when something is kept first.
    """

    def __init__(self, folder: Path, model: str, environment: str) -> None:
        checked_name(model, what="model")
        checked_name(environment, what="environment")
        self._folder = folder
        self._place = folder / environment / model
        self._bytes = LocalArtifacts(folder / "artifacts")
        self._guard = threading.RLock()
        self._loaded: dict[Digest, KeptVersion] = {}
        self._compared: set[Digest] = set()

    def deployments(self) -> tuple[Deployment, ...]:
        """Return the kept deployments, the one that answers first."""
        return self._read().deployments

    def keep(self, deployments: Sequence[Deployment]) -> None:
        """Keep these deployments with what was noted of their versions; forget the rest."""
        with self._guard:
            known = self._known()
            needed = {digest for each in deployments for digest in each.versions.values()}
            versions = {
                digest: known[digest] for digest in sorted(needed) if digest in known and self._holds(known[digest])
            }
            whole = tuple(
                each for each in deployments if {each.versions[name] for name in each.traffic} <= versions.keys()
            )
            kept = KeptModel(whole, versions)
            if kept != self._read_or_nothing():
                _write(self._place / "deployments.json", plain(kept))
            self._forget(known, versions)

    def pin(self) -> Pin | None:
        """Return the pin, if there is one."""
        return _read(self._place / "pin.json", Pin)

    def set_pin(self, pin: Pin) -> None:
        """Put a pin in the place of any other."""
        _write(self._place / "pin.json", plain(pin))

    def remove_pin(self) -> None:
        """Take the pin away."""
        (self._place / "pin.json").unlink(missing_ok=True)

    def record(self, digest: Digest) -> ModelVersion | None:
        """Return the kept record of a version, or None; its own digest was checked."""
        with self._guard:
            kept = self._known().get(digest)
        if kept is None:
            return None
        found = digest_of(kept.record)
        if found != digest:
            raise IntegrityError("A kept version's record is not what was kept", expected=digest, found=found)
        return kept.record

    def note(self, digest: Digest, record: ModelVersion, artifacts: Iterable[Digest]) -> None:
        """Note what a version that was loaded is made of; `keep` writes it down."""
        with self._guard:
            self._loaded[digest] = KeptVersion(record, tuple(sorted(set(artifacts))))

    def bytes_behind(self, store: Callable[[], ArtifactStore]) -> KeptBytes:
        """Return a reader of bytes that are kept here, or are fetched from a store and kept."""
        return KeptBytes(self._bytes, store, self._compared)

    def _holds(self, version: KeptVersion) -> bool:
        return all(digest in self._bytes for digest in version.artifacts)

    def _known(self) -> dict[Digest, KeptVersion]:
        return {**self._read_or_nothing().versions, **self._loaded}

    def _read(self) -> KeptModel:
        return _read(self._place / "deployments.json", KeptModel) or KeptModel()

    def _read_or_nothing(self) -> KeptModel:
        """Return what is kept; what is damaged is as good as nothing where it is written anew."""
        try:
            return self._read()
        except IntegrityError:
            return KeptModel()

    def _forget(self, known: dict[Digest, KeptVersion], kept: dict[Digest, KeptVersion]) -> None:
        """Delete bytes that only forgotten versions needed; other models' lists are looked at too."""
        gone = {digest for version in known.keys() - kept.keys() for digest in known[version].artifacts}
        self._loaded = {digest: version for digest, version in self._loaded.items() if digest in kept}
        if not gone:
            return
        for place in self._folder.glob("*/*/deployments.json"):
            try:
                others = _read(place, KeptModel) or KeptModel()
            except IntegrityError:
                return
            gone -= {digest for version in others.versions.values() for digest in version.artifacts}
        for digest in gone:
            self._bytes.delete(digest)


class KeptBytes:
    """An artifact store to read from: what is kept, once the real store has shown the same, or cannot show anything.

    What was altered in the store is refused, though a sound copy is kept: somebody was there. Kept bytes that are damaged are
    fetched anew; where that cannot be, they are refused.

    Args:
        compared: What the store has shown to this process; it is asked once for each.

    Attributes:
        used: Every artifact that was read.
    """

    def __init__(self, kept: LocalArtifacts, store: Callable[[], ArtifactStore], compared: set[Digest]) -> None:
        self._kept = kept
        self._store = store
        self._compared = compared
        self._is_down = False
        self.used: set[Digest] = set()

    def get(self, digest: Digest) -> bytes:
        """Return the checked bytes of an artifact.

        Raises:
            IntegrityError: They were altered, in the store or, where it cannot be read, here.
        """
        self.used.add(digest)
        if digest not in self._compared and not self._is_down:
            try:
                return self._fetched(digest)
            except MissingRecordError:
                pass  # as when its disk is not mounted
            except EngineError:
                self._is_down = True  # it is not asked again for the rest of this version
        try:
            return self._kept.get(digest)
        except MissingRecordError:
            return self._fetched(digest)
        except IntegrityError as damage:
            try:
                return self._fetched(digest)
            except (EngineError, MissingRecordError):
                raise damage from None

    def path_of(self, digest: Digest) -> Path:
        """Return a local file that holds the checked bytes."""
        self.get(digest)
        return self._kept.path_of(digest) if digest in self._kept else self._store().path_of(digest)

    def put(self, data: bytes, *, kind: ArtifactKind, name: str = "") -> Artifact:
        """Store bytes in the real store."""
        return self._store().put(data, kind=kind, name=name)

    def put_file(self, path: Path, *, kind: ArtifactKind, name: str = "") -> Artifact:
        """Store a copy of a file in the real store."""
        return self._store().put_file(path, kind=kind, name=name)

    def __contains__(self, digest: object) -> bool:
        """Say whether an artifact is kept or stored."""
        return digest in self._kept or digest in self._store()

    def size_of(self, digest: Digest) -> int | None:
        """Return how many bytes an artifact takes, or None where it is not there."""
        kept = self._kept.size_of(digest)
        return kept if kept is not None else self._store().size_of(digest)

    def delete(self, digest: Digest) -> None:
        """Remove an artifact from the real store."""
        self._store().delete(digest)

    def _fetched(self, digest: Digest) -> bytes:
        data = self._store().get(digest)
        self._compared.add(digest)
        with contextlib.suppress(StorageError):  # a full disk here must not keep a sound version from answering
            self._kept.put(data, kind=ArtifactKind.MODEL)
        return data


def _read(path: Path, kind: type[T]) -> T | None:
    """Return a record that was written, or None where there is none.

    Raises:
        IntegrityError: It is not what was written.
    """
    try:
        head, _, body = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path.name} of a kept model cannot be read", found=str(error)) from error
    found = digest_bytes(body)
    if head.decode(errors="replace") != found:
        raise IntegrityError(
            f"{path.name} of a kept model is damaged",
            expected=head.decode(errors="replace")[:80],
            found=found,
            fix=f"Delete {path}; it is written anew when the state can be read.",
        )
    return revive(parse_json(body), kind)


def _write(path: Path, value: Any) -> None:
    """Write a record and its digest, whole or not at all."""
    body = canonical_json(value)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, digest_bytes(body).encode() + b"\n" + body, mode=0o600)
    except (OSError, StorageError) as error:
        found = error.found if isinstance(error, StorageError) else str(error)
        raise StorageError(f"{path.name} of a served model cannot be kept", found=found, fix=_FIX) from error


if TYPE_CHECKING:
    _last_good: LastGood = FileLastGood(Path(), "", "")
    _bytes: ArtifactStore = KeptBytes(LocalArtifacts(Path()), lambda: LocalArtifacts(Path()), set())
