"""The key that exported models are signed with: ECDSA on P-256, because OpenSSF model-signing knows no Ed25519 keys.

It is derived from the project's signing key (HKDF, RFC 5869), so there is no second secret to keep and to rotate; a
statement that the signing key signs names its public half, so that who trusts the one key can trust the other.
docs/adr/0008-model-signing-key.md tells why.

    key = ModelKey.of(signing_key)
    Path("models.pub").write_text(key.public.pem)
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import Digest, digest_bytes
from keelway.errors import IntegrityError, SettingsError
from keelway.ledger import PublicKey, SigningKey, open_statement, sign_statement, statement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

PURPOSE = b"keelway/model-signing/ecdsa-p256/v1"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of the group of P-256 (NIST SP 800-186, 3.2.1.3)."""
DERIVED_BYTES = 48
"""128 bits more than a scalar has, so that taking the remainder favours none (FIPS 186-5, A.2.1)."""
KEY_NAME = "model-signing-key"
KEY_TYPE = "https://keelway.dev/model-key/v1"
"""An identifier and no address: nothing need be served there."""


@dataclass(frozen=True, slots=True)
class ModelPublicKey:
    """The half of a model's key that everyone may have.

    Attributes:
        pem: The key as SubjectPublicKeyInfo in PEM, on P-256, P-384 or P-521.
    """

    pem: str

    @classmethod
    def load(cls, path: Path) -> ModelPublicKey:
        """Read a key from a file.

        Raises:
            SettingsError: The file is not there, or holds no public key of those curves.
        """
        try:
            text = path.read_text("utf8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError("The key cannot be read", expected="a PEM file", found=str(error)) from error
        return cls.parse(text)

    @classmethod
    def parse(cls, text: str) -> ModelPublicKey:
        """Return the key in PEM text.

        Raises:
            SettingsError: It is no public key, or not on one of those curves.
        """
        return cls(_pem_of(_public(text)))

    @property
    def hint(self) -> str:
        """The SHA-256 of the PEM text, in hexadecimal: how a bundle names the key that signed it."""
        return hashlib.sha256(self.pem.encode()).hexdigest()

    def verify(self, signature: bytes, data: bytes, *, what: str) -> None:
        """Check a signature.

        Raises:
            IntegrityError: It is not this key's signature over this data.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec

        key = _public(self.pem)
        try:
            key.verify(signature, data, ec.ECDSA(_hash_of(key)))
        except InvalidSignature as error:
            raise IntegrityError(
                f"The signature of {what} does not hold",
                expected=f"a signature by the key {self.hint[:12]}",
                found="bytes that were altered, or signed by another key",
                fix="Get the folder again from its source, and make sure that the public key is the signer's.",
            ) from error


@dataclass(frozen=True, slots=True)
class ModelKey:
    """The secret half; never printed and never stored."""

    scalar: int = field(repr=False)

    @classmethod
    def of(cls, key: SigningKey) -> ModelKey:
        """Return the key that belongs to a signing key; always the same."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        made = HKDF(hashes.SHA256(), DERIVED_BYTES, salt=None, info=PURPOSE).derive(key.seed)
        return cls(int.from_bytes(made) % (P256_ORDER - 1) + 1)

    @property
    def public(self) -> ModelPublicKey:
        """The half that everyone may have."""
        return ModelPublicKey(_pem_of(self._key().public_key()))

    def sign(self, data: bytes) -> bytes:
        """Return a signature in DER; the same data gives the same one (RFC 6979)."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        return self._key().sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))

    def _key(self) -> EllipticCurvePrivateKey:
        from cryptography.hazmat.primitives.asymmetric import ec

        return ec.derive_private_key(self.scalar, ec.SECP256R1())


def vouch(public: ModelPublicKey, *, key: SigningKey) -> bytes:
    """Return a signed statement that a model's key is the project's."""
    told = statement({KEY_NAME: _digest(public)}, predicate_type=KEY_TYPE, predicate={"publicKey": public.pem})
    return sign_statement(told, key=key)


def vouched(data: bytes, *, key: PublicKey) -> ModelPublicKey:
    """Return the model's key that a statement of the project's key names.

    Raises:
        IntegrityError: The statement is not the key's, or is about something else.
    """
    told = open_statement(data, key=key)
    predicate, subject = told.get("predicate"), told.get("subject")
    pem = predicate.get("publicKey") if isinstance(predicate, dict) else None
    if told.get("predicateType") != KEY_TYPE or not isinstance(pem, str):
        raise IntegrityError("This statement names no key of models", expected=KEY_TYPE, found=str(told)[:200])
    expected = [{"name": KEY_NAME, "digest": {"sha256": digest_bytes(pem.encode()).removeprefix("sha256:")}}]
    if subject != expected:
        raise IntegrityError("A statement about a key names another one", expected=str(expected), found=str(subject))
    return ModelPublicKey.parse(pem)


def _digest(public: ModelPublicKey) -> Digest:
    return digest_bytes(public.pem.encode())


def _public(text: str) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text[max(text.find("-----BEGIN"), 0) :].encode())
    except ValueError as error:
        raise SettingsError("This is no public key", expected="PEM", found=f"{len(text)} characters") from error
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in ("secp256r1", "secp384r1", "secp521r1"):
        raise SettingsError(
            "This key is of another kind", expected="an EC key on P-256, P-384 or P-521", found=type(key).__name__
        )
    return key


def _pem_of(key: EllipticCurvePublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _hash_of(key: EllipticCurvePublicKey) -> HashAlgorithm:
    """Return the hash that goes with the size of a key, as Sigstore's protobuf specifications pair them."""
    from cryptography.hazmat.primitives import hashes

    return {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[key.curve.key_size]
