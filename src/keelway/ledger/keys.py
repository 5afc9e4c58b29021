"""Ed25519 keys with a name: what signs checkpoints, statements and bundles, and what checks them.

    key = SigningKey.generate("keelway.example/ledger")
    key.save(Path("keys/ledger.pem"))
    Path("ledger.pub.pem").write_text(key.public.pem())

A key file is ordinary PKCS#8 or SubjectPublicKeyInfo PEM. The name is a line `Key-Name: ...` above it. Below a public
key stands a line `Rotation: ...` for every key that it followed, oldest first (see `rotation`): what those signed before
they were retired still holds.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from keelway.core import Digest
from keelway.errors import IntegrityError, SettingsError, StorageError, UsageError

DEFAULT_NAME = "keelway"
_NAME_LINE = re.compile(r"^Key-Name: (?P<name>\S+)$", re.MULTILINE)
_ROTATION_LINE = re.compile(r"^Rotation: (.+)$", re.MULTILINE)
_ALGORITHM = b"\x01"  # Ed25519 in C2SP signed notes


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The half of a key that everyone may have.

    Attributes:
        name: Who signs, without blanks and `+`: the name in signed notes.
        raw: The 32 bytes of the Ed25519 key.
        earlier: The keys that this one followed, oldest first.
    """

    name: str
    raw: bytes
    earlier: tuple[RetiredKey, ...] = ()

    def __post_init__(self) -> None:
        if not self.name or "+" in self.name or any(character.isspace() for character in self.name):
            raise UsageError("This is no name for a key", expected="no blanks and no '+'", found=repr(self.name))
        if len(self.raw) != 32:
            raise UsageError("This is no Ed25519 key", expected="32 bytes", found=f"{len(self.raw)} bytes")

    @property
    def key_id(self) -> str:
        """The SHA-256 of the key's 32 bytes, in hexadecimal; names the key in DSSE envelopes."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def note_hash(self) -> bytes:
        """The four bytes that name the key in signed notes."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ALGORITHM + self.raw).digest()[:4]

    def verify(self, signature: bytes, data: bytes, *, what: str) -> None:
        """Check a signature.

        Raises:
            IntegrityError: It is not this key's signature over this data.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except (InvalidSignature, ValueError) as error:
            raise IntegrityError(
                f"The signature of {what} does not hold",
                expected=f"a signature by {self.name} ({self.key_id[:12]})",
                found="bytes that were altered, or signed by another key",
                fix="Get the file again from its source, and make sure that the public key is the signer's.",
            ) from error

    def pem(self) -> str:
        """Return the key as PEM text, with its name and the keys that it followed."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = Ed25519PublicKey.from_public_bytes(self.raw)
        body = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return f"Key-Name: {self.name}\n{body}" + "".join(f"Rotation: {each.envelope}\n" for each in self.earlier)

    @classmethod
    def load(cls, source: Path | str) -> PublicKey:
        """Read a key from a file, or from PEM text.

        Raises:
            SettingsError: The file is not there or holds no Ed25519 public key.
            IntegrityError: A key that it is said to have followed did not hand over to it.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

        text = _text(source)
        if "PRIVATE KEY" in text:
            raise SettingsError(
                "This is a private key",
                expected="the public key",
                found=_shown(source),
                fix="Never hand out the private key; export its public half instead.",
            )
        try:
            key = load_pem_public_key(_pem_part(text))
        except ValueError as error:
            raise SettingsError("This is no public key", expected="PEM", found=_shown(source)) from error
        if not isinstance(key, Ed25519PublicKey):
            raise SettingsError("This key is of another kind", expected="Ed25519", found=type(key).__name__)
        newest = cls(_name_in(text), key.public_bytes(Encoding.Raw, PublicFormat.Raw))
        envelopes = _ROTATION_LINE.findall(text)
        return replace(newest, earlier=_retired(envelopes, newest)) if envelopes else newest


@dataclass(frozen=True, slots=True)
class RetiredKey:
    """A key that handed over to another one.

    Attributes:
        key: The key itself.
        until: How many entries of the ledger it may speak of.
        statements: The digests of the signed statements of it that still hold.
        envelope: The rotation that both keys signed.
    """

    key: PublicKey
    until: int
    statements: frozenset[Digest]
    envelope: str

    def must_know(self, digest: Digest) -> None:
        """Check that the key signed a statement before it was retired.

        Raises:
            IntegrityError: It did not.
        """
        if digest not in self.statements:
            raise _refused(self, f"one of the {len(self.statements)} statements it had signed", f"another: {digest}")

    def must_reach(self, size: int) -> None:
        """Check that a ledger of that size was still the key's to sign.

        Raises:
            IntegrityError: It was not.
        """
        if size > self.until:
            raise _refused(self, f"a ledger of {self.until} entries at most", f"one of {size}")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The secret half of a key; never printed and never stored in a record."""

    name: str
    seed: bytes = field(repr=False)
    earlier: tuple[RetiredKey, ...] = ()

    @classmethod
    def generate(cls, name: str = DEFAULT_NAME) -> SigningKey:
        """Make a new key."""
        return cls(name, os.urandom(32))

    @property
    def public(self) -> PublicKey:
        """The half that everyone may have."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return PublicKey(self.name, key.public_bytes(Encoding.Raw, PublicFormat.Raw), self.earlier)

    @property
    def key_id(self) -> str:
        """The id of the public half."""
        return self.public.key_id

    def sign(self, data: bytes) -> bytes:
        """Return the 64 bytes of an Ed25519 signature."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(data)

    def save(self, path: Path) -> None:
        """Write the key to a new file that only its owner can read.

        Raises:
            StorageError: The file cannot be written.
            UsageError: There is a file already; a lost key cannot be made again.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        if path.exists():
            raise UsageError("There is a key already", expected="a free name", found=str(path))
        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        body = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        write_atomically(path, f"Key-Name: {self.name}\n{body}".encode(), mode=0o600)

    @classmethod
    def load(cls, source: Path | str) -> SigningKey:
        """Read a key from a file, or from PEM text.

        Raises:
            SettingsError: The file is not there or holds no Ed25519 private key.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        text = _text(source)
        try:
            key = load_pem_private_key(_pem_part(text), password=None)
        except (ValueError, TypeError) as error:
            raise SettingsError("This is no private key", expected="unencrypted PEM", found=_shown(source)) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise SettingsError("This key is of another kind", expected="Ed25519", found=type(key).__name__)
        return cls(_name_in(text), key.private_bytes_raw())


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that readers see all of it or the one before.

    Raises:
        StorageError: It cannot be written.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".part-", dir=path.parent)  # made with mode 0600
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise StorageError(
            f"The file {path} cannot be written", found=str(error), fix="Check the disk and the rights of its folder."
        ) from error


def _retired(envelopes: list[str], newest: PublicKey) -> tuple[RetiredKey, ...]:
    from keelway.ledger.rotation import retired_keys

    return retired_keys(envelopes, newest=newest)


def _text(source: Path | str) -> str:
    if isinstance(source, str) and "-----BEGIN" in source:
        return source
    try:
        return Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("The key cannot be read", expected="a PEM file", found=str(error)) from error


def _pem_part(text: str) -> bytes:
    return text[max(text.find("-----BEGIN"), 0) :].encode()


def _name_in(text: str) -> str:
    match = _NAME_LINE.search(text)
    return match["name"] if match else DEFAULT_NAME


def _shown(source: Path | str) -> str:
    return "PEM text" if isinstance(source, str) and "-----BEGIN" in source else str(source)


def _refused(retired: RetiredKey, expected: str, found: str) -> IntegrityError:
    return IntegrityError(
        f"The key {retired.key.key_id[:12]} was retired before it signed this",
        expected=expected,
        found=found,
        fix="Do not trust it: only the new key signs since the rotation.",
    )
