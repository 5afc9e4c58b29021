"""Makes the tenant's key of a project, and puts a new signing key in the place of the old one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.settings import Settings
from keelway.core import Action, Digest, digest_bytes, plain, references
from keelway.errors import IntegrityError, MissingRecordError, StorageError, UsageError

if TYPE_CHECKING:
    from keelway.app.wire import Workspace
    from keelway.ledger import PublicKey, SigningKey, Transaction

_SCHEME = "file:"
_ROLE = "admin"


@dataclass(frozen=True, slots=True)
class RotatedKey:
    """A signing key that took over.

    Attributes:
        name: The name that both keys have.
        old_key: Id of the key that was retired.
        new_key: Id of the key that signs from now on.
        statements: How many signed statements of the old key hold on: of its versions, and of its key for exported models.
        until: How many ledger entries the old key may speak of.
        public_key: The file to hand out from now on.
        finished: Whether the rotation had been left half-done before.
    """

    name: str
    old_key: str
    new_key: str
    statements: int
    until: int
    public_key: str
    finished: bool


def make_tenant_key(root: Path, settings: Settings) -> bool:
    """Write a new tenant's key to the file that the settings name, readable by its owner alone; say that it did.

    Raises:
        UsageError: There is a key or a vault already, or the settings name no file.
        StorageError: The file cannot be written.
    """
    from keelway.ledger import write_atomically
    from keelway.privacy import TenantKey

    reference = settings.privacy.key
    if not reference.startswith(_SCHEME):
        raise UsageError(
            "Keelway makes keys in files only",
            expected=f"privacy.key = {_SCHEME}PATH",
            found=reference,
            fix="Put 64 random hexadecimal digits there yourself, such as those of `openssl rand -hex 32`.",
        )
    path = root / reference.removeprefix(_SCHEME)
    vault = root / settings.privacy.vault.removeprefix("sqlite:").removeprefix("///")
    for there in (path, vault):
        if there.exists():
            raise UsageError(
                "There are keys already",
                expected=f"no {there}",
                found="a file that tokens and sealed files depend on",
                fix="Keep it: without it every token changes and no sealed file can be opened.",
            )
    write_atomically(path, f"{TenantKey.generate().text()}\n".encode(), mode=0o600)
    return True


def rotate_signing_key(at: Workspace, *, comment: str = "") -> RotatedKey:
    """Make a new signing key, have the ledger tell that it took over, and put both halves in their files.

    The old private key is destroyed. A rotation that broke off is finished by the next one.

    Raises:
        UsageError: The settings name no file for the key.
        RefusedError: The principal is no admin.
    """
    from keelway.identity import on_record, require_role
    from keelway.ledger import SigningKey, rotate
    from keelway.register import ModelKey, vouch

    with on_record(Action.ROTATE_KEY, at.settings.signing.name, principal=at.principal, state=at.state, now=at.now()):
        require_role(at.principal, _ROLE)
    place = _key_file(at)
    coming = place.with_name(f"{place.name}.next")
    old, new = SigningKey.load(place), _coming_key(coming, at.settings.signing.name)
    with at.state.snapshot() as tx:
        known = _newest(tx)
    if known in (new.key_id, old.key_id) and known != at.signing.public_key.key_id:
        return _put_in_place(at, new if known == new.key_id else old, coming, place, finished=True)
    old = at.signing.key
    with at.state.transaction() as tx:
        statements = {*_statements(tx, at, old.public), digest_bytes(vouch(ModelKey.of(old).public, key=old))}
        rotate(old, new, statements=statements, actor=at.principal.id, at=at.now(), comment=comment, tx=tx)
    return _put_in_place(at, new, coming, place, finished=False)


def _key_file(at: Workspace) -> Path:
    reference = at.settings.signing.key
    if not reference.startswith(_SCHEME):
        raise UsageError(
            "Keelway changes keys in files only",
            expected=f"signing.key = {_SCHEME}PATH",
            found=reference,
            fix="Fetch the key into a file, name that in signing.key, rotate, and put the new key where the old one was.",
        )
    return at.root / reference.removeprefix(_SCHEME)


def _coming_key(path: Path, name: str) -> SigningKey:
    """Return the key that is to take over: the one of a rotation that broke off, or a new one."""
    from keelway.ledger import SigningKey

    if not path.exists():
        SigningKey.generate(name).save(path)
    return SigningKey.load(path)


def _newest(tx: Transaction) -> str:
    from keelway.ledger import KeyRotation

    newest = tx.newest(KeyRotation, limit=1)
    return newest[0].new_key if newest else ""


def _put_in_place(at: Workspace, key: SigningKey, coming: Path, place: Path, *, finished: bool) -> RotatedKey:
    """Write both halves of the key that the ledger names, and return what came of it."""
    from keelway.ledger import KeyRotation, retired_keys, write_atomically
    from keelway.ledger import PublicKey as Public

    with at.state.snapshot() as tx:
        told = sorted(tx.newest(KeyRotation), key=lambda rotation: rotation.number)
    public = Public(key.name, key.public.raw, retired_keys([each.envelope for each in told], newest=key.public))
    try:
        if finished and key.key_id != _id_in(coming):
            coming.unlink(missing_ok=True)  # made by mistake for a rotation that was further than that
        else:
            coming.replace(place)
    except OSError as error:
        raise StorageError("The new signing key cannot be put in its place", found=str(error)) from error
    write_atomically(at.root / at.settings.signing.public_key, public.pem().encode())
    at.forget_keys()
    last = told[-1]
    return RotatedKey(
        name=key.name,
        old_key=last.old_key,
        new_key=last.new_key,
        statements=last.statements,
        until=last.until,
        public_key=at.settings.signing.public_key,
        finished=finished,
    )


def _id_in(path: Path) -> str:
    from keelway.ledger import SigningKey

    return SigningKey.load(path).key_id if path.exists() else ""


def _statements(tx: Transaction, at: Workspace, key: PublicKey) -> Iterator[Digest]:
    """Yield the signed statements that the model versions name and the key signed."""
    from keelway.ledger import LARGEST_STATEMENT_BYTES, open_statement
    from keelway.register import ModelVersion

    named = {digest for version in tx.newest(ModelVersion) for digest in references(plain(version))}
    for digest in sorted(named):
        try:
            path = at.artifacts.path_of(digest)
            if path.stat().st_size <= LARGEST_STATEMENT_BYTES:
                open_statement(path.read_bytes(), key=key)
                yield digest
        except (MissingRecordError, IntegrityError):
            continue  # no artifact, or none that this key signed
